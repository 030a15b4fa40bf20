"""A real program of somebody else's as tests run it: our own instance, on loopback, ended with the block.

`Daemon` starts it, knows when it really answers, and does to it what happens to such programs: stops it
politely, kills it, freezes it, starts it again where it was. It is ended by process id, with all that it
started, also when a test fails. What there is to run stands in daemons.py and databases.py.
"""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

START = 60.0
"""Seconds that a daemon has to answer, on a loaded machine."""
POLITE = 10.0
"""Seconds that it has to end when it is asked to."""
LOOPBACK = "127.0.0.1"
OPEN = Path("/tmp")
PREFIX = "daemon-"


class Daemon:
    """A program that listens.

    Args:
        name: of the program.
        home: its directory; there must be one of its own for each.
        command: how it is run, in the foreground.
        answers: whether it does what it is there for; asked again and again until it is true.
        port: where it listens on loopback; 0 for not at all.
        socket: path of its UNIX socket; "" for none.
        ssl_port: where it listens on loopback with TLS.
        user: who it runs as, of those that may not run as root; "" for ourselves.
        environment: beside our own.
        stops: signal that ends it in order.

    Attributes:
        process: the running program.
    """

    def __init__(
        self,
        name: str,
        home: Path,
        command: Sequence[str],
        answers: Callable[["Daemon"], bool],
        *,
        port: int = 0,
        socket: str = "",
        ssl_port: int = 0,
        user: str = "",
        environment: Mapping[str, str] | None = None,
        stops: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name, self.home, self.command, self._answers = name, home, list(command), answers
        self.port, self.socket, self.ssl_port = port, socket, ssl_port
        self.user, self._environment, self._stops = user, dict(environment or {}), stops
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def tcp(self) -> str:
        """Where it listens, as settings write it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def tls(self) -> str:
        """Where it listens with TLS, as settings write it."""
        return f"tls://{LOOPBACK}:{self.ssl_port}"

    @property
    def certificate(self) -> Path:
        """Its certificate, in PEM, which is its own authority."""
        return self.home / "cert.pem"

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self.home / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Of the program itself, not of its children."""
        assert self.process is not None, f"{self.name} does not run"
        return self.process.pid

    def start(self, wait: bool = True) -> Self:
        """Run it, and wait until it answers unless `wait` is false."""
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env={**os.environ, "HOME": str(self.home), "LC_ALL": "C", **self._environment},
                start_new_session=True,
                user=self.user or None,
                group=self.user or None,
                extra_groups=[] if self.user else None,
            )
        if wait:
            self.ready()
        return self

    def ready(self, seconds: float = START) -> None:
        """Wait until it answers."""
        end = time.monotonic() + seconds
        while not self._answers(self):
            if self.process is None or self.process.poll() is not None:
                raise AssertionError(f"{self.name} has ended: {self.log[-3000:]}")
            if time.monotonic() > end:
                raise AssertionError(f"{self.name} does not answer within {seconds:g} s: {self.log[-3000:]}")
            time.sleep(0.02)

    def ask_to_stop(self) -> None:
        """Say that it is to end, and don't wait for it."""
        if self.process is not None:
            self.process.send_signal(self._stops)

    def stop(self, patience: float = POLITE) -> None:
        """End it in order; what is left after `patience` seconds is killed."""
        if self.process is None:
            return
        self.thaw()
        everybody = self._everybody()
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self._end(everybody)

    def kill(self) -> None:
        """End it and its children as kill -9 does."""
        if self.process is not None:
            self._end(self._everybody())

    def restart(self) -> None:
        """Kill it and start it again where it was."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop it and its children in their tracks: the kernel still accepts connections for them."""
        for pid in self._everybody():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run on."""
        for pid in self._everybody():
            _signal(pid, signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Frozen for the length of a block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self.kill()
        if self.home.parent == OPEN and self.home.name.startswith(PREFIX):  # open_to_all() made it
            shutil.rmtree(self.home)

    def _everybody(self) -> list[int]:
        return tree(self.process.pid) if self.process is not None and self.process.poll() is None else []

    def _end(self, everybody: list[int]) -> None:
        for pid in everybody:
            _signal(pid, signal.SIGKILL)
        if self.process is not None:
            # Its process group as well: a child may have been born as we looked.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None


def open_to_all(home: Path) -> Path:
    """A home for a daemon that works as another user than root when root runs it.

    Returns:
        The directory itself where that user comes to it; else one below OPEN, which goes with the daemon.
    """
    if os.geteuid() != 0 or all(path.stat().st_mode & 0o001 for path in (home, *home.parents)):
        return home
    other = Path(tempfile.mkdtemp(prefix=PREFIX, dir=OPEN))
    other.chmod(0o755)
    return other


def tree(pid: int) -> list[int]:
    """A process and all below it, parents first."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                found += tree(int(child))
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def told(address: str | int, question: bytes, *, enough: bytes = b"", seconds: float = 2.0) -> bytes:
    """Ask a question over a connection of its own and hear the answer, empty when there is none.

    Args:
        address: path of a UNIX socket, or a port on loopback.
        question: is sent as it stands; our half is not closed.
        enough: the answer is complete once this is in it; empty: once the other side closes.
        seconds: patience.
    """
    heard = b""
    with suppress(OSError), connected(address, seconds) as sock:
        sock.sendall(question)
        while not enough or enough not in heard:
            more = sock.recv(65536)
            if not more:
                break
            heard += more
    return heard


def connected(address: str | int, seconds: float) -> socket.socket:
    """A connection to a UNIX socket or to a port on loopback, with a time limit."""
    if isinstance(address, int):
        return socket.create_connection((LOOPBACK, address), seconds)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(seconds)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client's context that trusts one certificate."""
    return ssl.create_default_context(cafile=certificate)
