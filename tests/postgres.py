"""A PostgreSQL of Debian's packages on a free port, for the tests that need one."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

import psutil

USERS = ("postgres", "nobody")  # the server refuses to run as root
TRIES = 5


def binaries() -> Path | None:
    """Returns the folder of PostgreSQL's programs, the newest; None where there are none."""
    folders: list[Path] = []
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True).stdout.strip()
        folders.append(Path(told))
    if (found := shutil.which("initdb")) is not None:
        folders.append(Path(found).resolve().parent)
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(4))[::-1]
    return next((one for one in folders if (one / "initdb").exists() and (one / "postgres").exists()), None)


class Postgres:
    """A server that can be killed and started again.

    Attributes:
        port: on 127.0.0.1.
    """

    password = "p@ss:w/ rd"  # with what a URL must escape

    def __init__(self) -> None:
        programs = binaries()
        assert programs is not None
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # sockets' names are short
        self._user = next((name for name in USERS if _exists(name)), None) if os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        (self._folder / "password").write_text(self.password)
        self._run("initdb", "-D", "data", "-A", "scram-sha-256", "-U", "automc", "--no-sync", "--pwfile=password")
        settings = "fsync = off\nshared_buffers = 16MB\nmax_connections = 40\nlisten_addresses = '127.0.0.1'\n"
        settings += f"unix_socket_directories = '{self._folder}'\nlogging_collector = off\nlc_messages = 'C'\n"
        with (self._folder / "data" / "postgresql.conf").open("a") as file:
            file.write(settings)
        for left in reversed(range(TRIES)):
            self.port = _free_port()
            try:
                self.start()
                return
            except subprocess.CalledProcessError:  # somebody else took the port
                if not left:
                    raise

    @property
    def address(self) -> str:
        """The server's URL without a database, as somebody would write it."""
        return f"postgresql://automc:p%40ss%3Aw%2F rd@127.0.0.1:{self.port}"

    def database(self) -> str:
        """Makes a database; returns its URL."""
        import psycopg

        name = f"db{uuid.uuid4().hex[:12]}"
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="automc", password=self.password, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy".encode())
        return f"{self.address}/{name}"

    def start(self) -> None:
        """Starts it, and returns once it answers."""
        self._run("pg_ctl", "-D", "data", "-w", "-t", "60", "-l", "log", "-o", f"-p {self.port}", "start")

    def kill(self) -> None:
        """Ends the server and all that serve its connections with -9."""
        pid = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=20)
        # what is left of a server that was killed keeps the next one out until its memory is let go
        (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def close(self) -> None:
        """Ends it and deletes all it had."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        log = self._folder / "said"
        with log.open("w") as said:  # a server that goes on in the background would hold a pipe open
            done = subprocess.run(command, cwd=self._folder, user=self._user, stdout=said, stderr=said)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, log.read_text())


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
