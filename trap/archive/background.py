"""The processes beside the archive stage: the indexer, and the packer when there is something to pack."""

import logging
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from trap import spawn
from trap.archive.packer import waiting

log = logging.getLogger("spamtrap.archive")

_DAY = 86400.0
"""Seconds after which it is tried again to pack what could not be: the disk was full, or it is damaged."""
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
        child = _started("trap.archive.indexer", str(self._directory))
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


class Packer:
    """The child process that packs sealed segments, as long as there are any. It ends when we do.

    Args:
        directory: the archive's root.
        level: of zstd.
    """

    def __init__(self, directory: Path, level: int) -> None:
        self._directory = directory
        self._level = level
        self._child: subprocess.Popen[bytes] | None = None
        self._packed: set[str] = set()
        self._tried: dict[str, float] = {}

    def look(self) -> None:
        """Start it when a segment waits that it was not given lately. Never waits."""
        if self._child and self._child.poll() is None:
            return
        now = time.monotonic()
        names = {path.name for path in waiting(self._directory, self._packed)}
        self._tried = {
            name: when for name, when in self._tried.items() if name in names and when > now - _DAY
        }
        if names - self._tried.keys():
            self._tried |= dict.fromkeys(names, now)
            self._child = _started("trap.archive.packer", str(self._directory), str(self._level))

    def close(self) -> None:
        """End it; what it was at is done anew another time."""
        child, self._child = self._child, None
        if child:
            child.kill()
            child.wait()
            if child.stdin:
                child.stdin.close()


def _started(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = spawn.command(module, *arguments)
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=spawn.environment())
