"""A device far away, on which ``automc device serve`` runs (`automc.devices.server`)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from pydantic import ValidationError

from automc import progress
from automc.devices.addresses import find_token
from automc.devices.bench import Bench
from automc.devices.child import Feeds, save_inputs
from automc.devices.device import Device
from automc.devices.line import Line, Lost, Unknown
from automc.devices.protocol import PROTOCOL, JobRequest
from automc.errors import AutoMCError, RuntimeFailure

PATIENCE = 60.0
"""Seconds for which a device that does not answer is asked again."""
_PAUSE = 1.0  # seconds between two attempts
_WAIT = 2  # seconds for which the device may hold an answer back: every answer disturbs what it measures
_RESTARTS = 3  # what the device forgets more often than this may be what ends it


class RemoteBench(Bench):
    """A machine far away.

    Args:
        url: ``http://host:port``.
        threads: threads of one inference.
        batch: examples in one inference.
        token: the secret that its owner gave; by default what `find_token` finds.
        patience: seconds for which it is asked again when it stops answering.

    Raises:
        ConfigError: the address makes no sense, or there is no token or a wrong one.
        RuntimeFailure: it does not answer, or not as a device of this version does.
    """

    def __init__(
        self, url: str, threads: int = 1, batch: int = 1, token: str | None = None, patience: float = PATIENCE
    ) -> None:
        self._line, self._patience = Line(url, token or find_token()), patience
        self.name = self._line.url
        try:
            said = self._line.ask("GET", "/device", params={"threads": threads, "batch": batch})
        except (Lost, Unknown) as error:
            raise RuntimeFailure(
                f"{self.name} does not answer ({error}); is `automc device serve` running there, and the tunnel open?"
            ) from None
        if said.get("protocol") != PROTOCOL:
            raise RuntimeFailure(
                f"{self.name} speaks protocol {str(said.get('protocol'))[:20]}, this AutoMC {PROTOCOL}; "
                "install the same version on both sides"
            )
        try:
            self.device = Device.model_validate(said.get("device"))
        except ValidationError:
            raise _nonsense(self.name, "its description") from None
        if (self.device.threads, self.device.batch) != (threads, batch):
            raise _nonsense(self.name, "its description")

    def run(
        self,
        action: str,
        description: str,
        steps: int,
        models: Sequence[Path],
        inputs: Sequence[Feeds] = (),
        **arguments: Any,
    ) -> Any:
        """Runs one action there, anew where the device was started anew meanwhile."""
        with tempfile.TemporaryDirectory(prefix="automc-") as name, progress.bar(description, steps) as bar:
            files = {f"model{i}.onnx": Path(path) for i, path in enumerate(models)}
            files |= {path.name: path for path in save_inputs(Path(name), inputs)}
            for path in files.values():
                if not path.is_file():
                    raise RuntimeFailure(f"{description}: no file {path}")
            try:
                request = JobRequest.model_validate(
                    {
                        "protocol": PROTOCOL,
                        "device": self.device,
                        "action": action,
                        "arguments": arguments,
                        "models": len(models),
                        "inputs": len(inputs),
                        "size": sum(path.stat().st_size for path in files.values()),
                    }
                )
            except ValidationError as error:
                first = error.errors()[0]
                raise RuntimeFailure(
                    f"{description}: cannot be sent to {self.name}: {first['loc'][0]}: {first['msg']}"
                ) from None
            errand = _Errand(
                self._line, request, files, lambda note, done: bar.show(f"{description}{note and f': {note}'}", done)
            )
            try:
                answer = errand.insist(self._patience)
            except AutoMCError as error:
                raise type(error)(f"{description}: {error}") from None
        if not _fits(answer, action, len(models), arguments):
            raise _nonsense(self.name, "what it measured")
        return answer


class _Errand:
    """One job, from sending it to its answer."""

    def __init__(
        self, line: Line, request: JobRequest, files: dict[str, Path], tell: Callable[[str, int], None]
    ) -> None:
        self._line, self._request, self._files, self._tell = line, request, files, tell
        self._name = uuid4().hex
        self._sent = self._was_sent = False
        self._restarts = 0

    def insist(self, patience: float) -> Any:
        """Returns the device's answer, however often it goes away for a while; cancels the job where that fails."""
        silent: float | None = None
        try:
            while True:
                try:
                    if not self._sent:
                        self._send()
                    said = self._line.ask("GET", f"/jobs/{self._name}", params={"wait": _WAIT})
                    silent = None
                    if self._read(said):
                        return said.get("answer")
                except Lost as error:
                    now = time.monotonic()
                    silent = now if silent is None else silent
                    if now - silent >= patience:
                        raise RuntimeFailure(
                            f"{self._line.url} has stopped answering ({error}) and did not come back within "
                            f"{patience:g} s; start it again there, then repeat this command"
                        ) from None
                    self._tell(f"{self._line.url} does not answer, asking again for {patience - now + silent:.0f} s", 0)
                    self._sent = False  # it may come back without the job
                    time.sleep(min(_PAUSE, patience))
                except Unknown:
                    self._start_anew()
        finally:
            with suppress(Lost, Unknown, AutoMCError):
                self._line.ask("DELETE", f"/jobs/{self._name}", timeout=2.0)

    def _send(self) -> None:
        """Sends everything that the device does not have yet."""
        said = self._line.ask("PUT", f"/jobs/{self._name}", json=self._request.model_dump(mode="json"))
        if said.get("state") == "uploading":
            if self._was_sent:
                self._start_anew()
            for name, path in self._files.items():
                self._line.ask("PUT", f"/jobs/{self._name}/{name}", file=path)
        self._sent = self._was_sent = True

    def _start_anew(self) -> None:
        self._restarts += 1
        if self._restarts > _RESTARTS:
            raise RuntimeFailure(
                f"{self._line.url} lost this measurement {self._restarts} times; does it run out of memory? "
                "Look at what `automc device serve` says there"
            )
        self._tell(f"{self._line.url} was started anew, sending it again", 0)
        self._sent = self._was_sent = False

    def _read(self, said: dict[str, Any]) -> bool:
        """Tells where the job stands; returns whether it is done."""
        state, steps, before = said.get("state"), said.get("steps"), said.get("before", 0)
        if state not in ("uploading", "waiting", "running", "done", "failed") or not isinstance(steps, int):
            raise _nonsense(self._line.url, "what it says of a measurement")
        if state == "failed":
            said_so = " ".join(str(said.get("message")).split())[:500]
            raise RuntimeFailure(f"{said_so} (on {self._line.url})")
        if state == "uploading":  # all was sent: it was to another server on that port
            self._start_anew()
        else:
            self._tell(f"waiting at {self._line.url}, {before} before it" if state == "waiting" else "", steps)
        return state == "done"


def _fits(answer: Any, action: str, models: int, arguments: dict[str, Any]) -> bool:
    """Says whether an answer has the form that the runner gives it, as far as whatever reads it relies on that."""
    if action != "clock":
        return isinstance(answer, list) and len(answer) == models and all(isinstance(each, dict) for each in answer)
    try:
        times, energy = np.array(answer["us"], dtype=float), answer["uj"]
        known = energy is None or np.array(energy, dtype=float).shape == times.shape[:2]
    except (ValueError, TypeError, KeyError):
        return False
    return known and times.shape == (models, arguments["passes"], arguments["runs"]) and bool((times > 0).all())


def _nonsense(url: str, what: str) -> RuntimeFailure:
    return RuntimeFailure(f"{url}: {what} makes no sense; install the same AutoMC on both sides")
