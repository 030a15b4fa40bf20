"""A pyzord of our own on loopback, as the library brings it; its counts lie in a Redis."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from daemon import LOOPBACK, Daemon
from databases import redis
from support import free_port

PING = b"Op: ping\nThread: 4711\nPV: 2.1\nUser: anonymous\n\n"
ACCESS = """\
check report ping pong info whitelist : anonymous trap : allow
"""
KEY = "7c4a8d09ca3762af61e59520943dc26494f8941b"
"""Of the account `trap`."""


class Pyzord(Daemon):
    """A pyzord."""

    def counted(self, digest: str) -> int:
        """How often a digest was reported."""
        client: Any = pytest.importorskip("pyzor.client").Client(timeout=5)
        return int(client.check(digest, (LOOPBACK, self.port))["Count"])


@contextmanager
def running_pyzord(directory: Path, access: str = ACCESS) -> Iterator[Pyzord]:
    """One that answers, ended with the block.

    Args:
        directory: one of its own; there are two users, anonymous and `trap`.
        access: who may do what, as of pyzord.access.
    """
    pytest.importorskip("redis")
    program = Path(sys.executable).with_name("pyzord")
    if not program.exists():
        pytest.skip("pyzord is not installed: pip install pyzor")
    home, store, port = directory / "pyzord", directory / "redis", free_port()
    home.mkdir()
    store.mkdir()
    (home / "pyzord.access").write_text(access)
    (home / "pyzord.passwd").write_text(f"trap : {KEY}\n")
    with redis(store) as counts:
        command = [
            sys.executable,
            str(program),
            f"--homedir={home}",
            f"--address={LOOPBACK}",
            f"--port={port}",
        ]
        command += ["--database-engine=redis", f"--dsn={LOOPBACK},{counts.port},,0"]
        with Pyzord("pyzord", home, command, _answers, port=port) as daemon:
            yield daemon


def _answers(daemon: Daemon) -> bool:
    with suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect((LOOPBACK, daemon.port))
        sock.send(PING)
        return b"Code: 200" in sock.recv(8192)
    return False
