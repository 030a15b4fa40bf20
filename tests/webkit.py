"""A visitor of the web interface, without a browser: Starlette's own client, and an archive to look at."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from archivekit import config_at, fill
from starlette.testclient import TestClient
from support import eventually, free_port

from trap.config import Config
from trap.web.app import build

__all__ = ["HOME", "Visitor", "answers", "config_at", "fill", "running", "served", "visitor"]

HOME = "http://127.0.0.1:8025"


class Visitor(TestClient):
    """Asks for pages as a browser does: keeps cookies, says where a form came from, follows no redirect."""

    def act(self, path: str, page: str = "/messages", **fields: str) -> Any:
        """Submit a form: with the token that `page` shows, from an address of ours."""
        token = re.search(r'name="csrf" value="([^"]+)"', self.get(page).text)
        assert token, f"{page} has no form"
        return self.post(path, data={"csrf": token[1], **fields}, headers={"Origin": HOME})


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """A real server of the trap below a directory, in a process of its own: its address."""
    with running(directory) as (address, _):
        yield address


@contextmanager
def running(directory: Path) -> Iterator[tuple[str, int]]:
    """As `served`: address and pid."""
    port = free_port()
    command = [sys.executable, "-m", "trap", "--dir", str(directory), "web", "--port", str(port)]
    with (directory / "web.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        eventually(lambda: answers(port), 30, f"an answer; {(directory / 'web.log').read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        assert process.wait(30) == 0


def answers(port: int) -> bool:
    """Whether somebody listens on a port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextmanager
def visitor(config: Config) -> Iterator[Visitor]:
    """Somebody who looks at the web interface of a trap."""
    with Visitor(build(config), base_url=HOME, follow_redirects=False, raise_server_exceptions=False) as made:
        yield made
