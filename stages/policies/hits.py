"""How often each rule hit, kept in one file that all workers of a stage add to.

Each worker holds what it has counted since its last tick, and then adds it to the file under a lock of the
kernel's: read, add, replace. Killed, it loses a tick at most, and nothing is counted twice.
"""

import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from trap.fsio import replace_file

MAX_RULES = 10_000
"""Names kept in the file: those of rules that are gone are forgotten, the longest unused first."""


class Hits(msgspec.Struct):
    """Of one rule."""

    hits: int = 0
    last_at: float = 0.0
    """When the last was counted, in seconds since the epoch; 0: never."""
    last_job: str = ""


class Totals(msgspec.Struct):
    """What the file holds."""

    since: float
    messages: int = 0
    """All that were looked at."""
    rules: dict[str, Hits] = {}


class Counter:
    """Counts.

    Args:
        directory: for the file and its lock.

    Raises:
        OSError: it can't be used.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._path = directory / "hits.json"
        self._lock = directory / "hits.lock"
        self._new = Totals(time.time())

    def count(self, rules: Iterable[str], job_id: str) -> None:
        """Count a message and the rules that it hit."""
        self._new.messages += 1
        for name in rules:
            hits = self._new.rules.setdefault(name, Hits())
            hits.hits += 1
            hits.last_at, hits.last_job = time.time(), job_id

    def save(self, *, wait: bool = False) -> None:
        """Add what was counted to the file.

        Args:
            wait: for another worker that is at it; else the next call will do.

        Raises:
            OSError: it can't be written; nothing is lost, the next call tries again.
        """
        if not self._new.messages:
            return
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            totals = _together(self.read(), self._new)
            replace_file(self._path, msgspec.json.encode(totals))
            self._new = Totals(time.time())
        except BlockingIOError:
            return
        finally:
            os.close(fd)

    def read(self) -> Totals:
        """What the file holds; nothing when there is none, or it is damaged: these are only counts.

        Raises:
            OSError: it can't be read.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Totals)
        except (FileNotFoundError, msgspec.DecodeError):
            return Totals(self._new.since)


def _together(known: Totals, new: Totals) -> Totals:
    rules = dict(known.rules)
    for name, hits in new.rules.items():
        before = rules.get(name, Hits())
        last = max(before, hits, key=lambda each: each.last_at)
        rules[name] = Hits(before.hits + hits.hits, last.last_at, last.last_job)
    if len(rules) > MAX_RULES:
        newest = sorted(rules, key=lambda name: rules[name].last_at, reverse=True)[:MAX_RULES]
        rules = {name: rules[name] for name in newest}
    return Totals(known.since, known.messages + new.messages, rules)
