"""Load on the service, over loopback: 100 clients while a campaign runs, then 200 idle event streams.

``python benchmarks/service/load.py [--seconds 20 --clients 100 --streams 200]``. Starts a server of its own with user
data of its own, measures a small latency table, starts a campaign on the digits. Clients ask, each as soon as it was
answered: one half of them the latency table for ten operators, the other half the list of campaigns. Then streams of
one campaign's events are opened and left idle. Goals: no error, 250 ms at the 99th percentile; 300 MiB for the streams,
by the server's resident memory before and after. Everything shares the machine's cores: the clients' work is in the
latencies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil

CAMPAIGN = {"task": "digits", "name": "load", "config": {"budget": "macs<=30%", "agent": "random", "evaluations": 2000}}
EACH = 32  # streams of one client that the server bears
COMMAND = [sys.executable, "-P", "-m", "automc.cli"]


def tokens(count: int, environment: dict[str, str]) -> list[str]:
    """Makes tokens: the server bounds what one client may have at a time."""
    made = []
    for number in range(count):
        command = [*COMMAND, "token", "create", f"client{number}", "--role", "runner", "--json"]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        made.append(json.loads(done.stdout)["token"])
    return made


def begin(folder: Path, environment: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    """Starts a server; returns it and its address."""
    server = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--out", str(folder / "runs")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    found = re.search(r"http://\S+?(?=;|\s|$)", line)
    if found is None:
        raise SystemExit(f"the server did not start: {line}")
    return server, found[0]


async def ask(host: str, port: int, request: bytes, until: float) -> list[tuple[float, int]]:
    """Asks over one connection until it is time; returns seconds and status of each answer.

    Plain HTTP/1.1: the clients of libraries take longer than the server does, on the same cores.
    """
    reader, writer = await asyncio.open_connection(host, port)
    found = []
    while time.monotonic() < until:
        start = time.monotonic()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length is None:
            raise SystemExit(f"an answer without a length: {head!r}")
        await reader.readexactly(int(length[1]))
        found.append((time.monotonic() - start, int(head.split()[1])))
    writer.close()
    return found


def written(method: str, address: str, token: str, content: object = None) -> bytes:
    """Returns a request as it is sent."""
    body = b"" if content is None else json.dumps(content).encode()
    head = [f"{method} /api/v1{address} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


def knows(token: str) -> dict[str, str]:
    """Returns the header of somebody who knows a token."""
    return {"Authorization": f"Bearer {token}"}


async def load(url: str, clients: int, seconds: float, known: list[str]) -> dict[str, Any]:
    """Returns what clients saw."""
    options: dict[str, Any] = {"base_url": f"{url}/api/v1", "trust_env": False, "headers": knows(known[0])}
    with httpx2.Client(**options) as client:
        table = client.get("/tables").json()[0]["id"]
        rows = client.get(f"/tables/{table}/operators", params={"limit": 10}).json()["items"]
    query = {"operators": [row["operator"] for row in rows]}
    kinds = {
        "table queries": written("POST", f"/tables/{table}/query", known[0], query),
        "campaign lists": written("GET", "/campaigns", known[0]),
    }
    host, port = url.removeprefix("http://").split(":")
    until = time.monotonic() + seconds
    tasks = {
        name: [asyncio.create_task(ask(host, int(port), request, until)) for _ in range(clients // 2)]
        for name, request in kinds.items()
    }
    answer: dict[str, Any] = {}
    for name, running in tasks.items():
        found = [one for part in await asyncio.gather(*running) for one in part]
        times = 1000 * np.array([seconds for seconds, _ in found])
        answer[name] = {
            "answers": len(found),
            "a second": round(len(found) / seconds),
            "errors": sum(status != 200 for _, status in found),
            "ms, median": round(float(np.median(times)), 1),
            "ms, 99th percentile": round(float(np.quantile(times, 0.99)), 1),
            "ms, longest": round(float(times.max()), 1),
        }
    return answer


async def idle(url: str, server: psutil.Process, streams: int, seconds: float, known: list[str]) -> dict[str, Any]:
    """Returns what idle streams cost the server."""
    before, busy = server.memory_info().rss, sum(server.cpu_times()[:2])
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", trust_env=False, timeout=None, limits=limits) as client:
        ready = 0

        async def listen(token: str) -> None:
            nonlocal ready
            async with client.stream("GET", "/campaigns/load/events", headers=knows(token)) as stream:
                if stream.status_code != 200:
                    return
                async for _ in stream.aiter_lines():
                    ready += 1
                    break
                await asyncio.sleep(3600)

        tasks = [asyncio.create_task(listen(known[number % len(known)])) for number in range(streams)]
        await asyncio.sleep(seconds)
        after = server.memory_info().rss
        used = sum(server.cpu_times()[:2]) - busy
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "streams": ready,
        "MiB more": round((after - before) / 2**20, 1),
        "MiB in all": round(after / 2**20, 1),
        "share of a core": round(used / seconds, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {
            "AUTOMC_HOME": str(folder / "home"),
            "AUTOMC_STORAGE": f"sqlite:///{folder / 'campaigns.db'}",
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        measure = ["latency", "measure", "digits", "--minutes", "0.2", "--networks", "3"]
        subprocess.run([*COMMAND, *measure], env=environment, cwd=folder, check=True, capture_output=True)
        known = tokens(-(-arguments.streams // EACH), environment)
        server, url = begin(folder, environment)
        try:
            httpx2.post(
                f"{url}/api/v1/campaigns", json=CAMPAIGN, headers=knows(known[0]), trust_env=False, timeout=60
            ).raise_for_status()
            while (
                httpx2.get(f"{url}/api/v1/campaigns/load", headers=knows(known[0]), trust_env=False).json()[
                    "evaluations"
                ]
                < 3
            ):
                time.sleep(0.5)
            process = psutil.Process(server.pid)
            before = sum(process.cpu_times()[:2])
            answer = {"load": asyncio.run(load(url, arguments.clients, arguments.seconds, known))}
            answers = sum(one["answers"] for one in answer["load"].values())
            answer["server, ms of processor an answer"] = round(
                1000 * (sum(process.cpu_times()[:2]) - before) / answers, 3
            )
            httpx2.post(
                f"{url}/api/v1/campaigns/load/pause", headers=knows(known[0]), trust_env=False, timeout=60
            ).raise_for_status()
            while (
                httpx2.get(f"{url}/api/v1/campaigns/load", headers=knows(known[0]), trust_env=False).json()["state"]
                == "running"
            ):
                time.sleep(0.5)
            answer["streams"] = asyncio.run(idle(url, process, arguments.streams, arguments.seconds, known))
            print(json.dumps(answer, indent=1))
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
            for process in psutil.process_iter():  # what drives campaigns outlives the server
                try:
                    if process.environ().get("AUTOMC_STORAGE") == environment["AUTOMC_STORAGE"]:
                        process.kill()
                except psutil.Error:
                    continue


if __name__ == "__main__":
    main()
