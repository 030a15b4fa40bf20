"""Keeps the indexer running beside the archive stage."""

import logging
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import trap

log = logging.getLogger("spamtrap.archive")

_AGAIN = 10.0
"""Seconds between two starts of an indexer that keeps dying."""
_PATIENCE = 10.0
"""Seconds an indexer may take to end, once told."""


class Indexer:
    """The child process that indexes an archive. It ends when we do, however we do."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None
        self._started = float("-inf")

    def poke(self) -> None:
        """Say that there is something new; (re)starts the child when it is not there. Never waits."""
        child = self._child
        if child and child.poll() is not None:
            log.warning("the indexer ended with status %s", child.returncode)
            self._discard(child)
            child = self._child = None
        if not child and time.monotonic() - self._started > _AGAIN:
            child = self._child = self._start()
        if child and child.stdin:
            with suppress(BlockingIOError, BrokenPipeError):  # it has heard enough, or is gone
                os.write(child.stdin.fileno(), b"\n")

    def close(self) -> None:
        """Let the child finish what is left, but not for long."""
        child, self._child = self._child, None
        if child:
            self._discard(child)

    def _start(self) -> subprocess.Popen[bytes]:
        self._started = time.monotonic()
        root = str(Path(trap.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        child = subprocess.Popen(
            [sys.executable, "-m", "trap.archive.indexer", str(self._directory)],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        if child.stdin:
            os.set_blocking(child.stdin.fileno(), False)
        return child

    def _discard(self, child: subprocess.Popen[bytes]) -> None:
        if child.stdin:
            child.stdin.close()
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
