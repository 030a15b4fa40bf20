"""The files in which campaigns are remembered, one for each slice of time, and who may touch them.

All workers share them. Whoever holds the lock on the directory makes, moves and removes slices; the
others see at their next transaction that a file is not the one they opened. A slice that a disk
damaged is moved aside, and what it remembered forgotten: better than no memory at all. When there
is more than the disk is to hold, slices get shorter, and the oldest is forgotten before its time.
"""

import fcntl
import logging
import math
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SLICES = 4
"""Slices in the span to remember."""
BUSY_MS = 10_000
"""How long a worker waits for another's transaction."""
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

log = logging.getLogger("spamtrap.dedup")

_NAME = re.compile(r"(\d{1,12})-(\d{1,12})\.slice")
_SCHEMA = """
PRAGMA journal_mode = wal;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS campaign (
    id INTEGER PRIMARY KEY, first REAL, count INTEGER, window_start REAL, window_count INTEGER);
CREATE TABLE IF NOT EXISTS digest (
    n INTEGER PRIMARY KEY, campaign INTEGER, exact INTEGER, sketch BLOB);
CREATE TABLE IF NOT EXISTS band (key INTEGER, n INTEGER, PRIMARY KEY (key, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sighting (
    job TEXT PRIMARY KEY, campaign INTEGER, count INTEGER, window_count INTEGER,
    exact INTEGER, similarity REAL, dropped INTEGER) WITHOUT ROWID;
COMMIT;
"""


class Slices:
    """The slices in one directory. Not for threads; any number of processes may share it.

    Args:
        directory: where they are, `<begin>-<end>.slice` in seconds since the epoch.
        remember: for how many seconds a slice is kept after its end.
        max_bytes: of all slices together; a part of a batch more while it is written.
    """

    def __init__(self, directory: Path, remember: float, max_bytes: int) -> None:
        self._directory = directory
        self._remember = remember
        self._max_bytes = max_bytes
        self._span = remember / SLICES
        self._slices: dict[int, sqlite3.Connection] = {}
        """By the time they begin at, in seconds since the epoch; the newest, the current one, first."""
        self._files: dict[int, tuple[Path, int]] = {}
        """Path and inode of each slice."""
        self._asked = 0
        """The slice that was asked last: when it answers that it is damaged, it is that one."""
        self._end = 0

    def turn(self, now: float) -> None:
        """Begin a new slice when it is time or the current one is full, and forget the oldest."""
        if self._slices and now < self._end and self._unmoved() and not self._full():
            return
        # RACE: another worker may still be in a transaction on the slice before; the few copies it
        # is counting are then not seen here.
        with self._lock():
            self._open(now)

    def repair(self, error: sqlite3.DatabaseError) -> bool:
        """Move the slice aside that `error` came from, if it says that the file is damaged.

        The next transaction goes on without what it remembered, and so do other workers.

        Returns:
            Whether it is worth another try.
        """
        if not _damaged(error) or self._asked not in self._files:
            return False
        path, inode = self._files[self._asked]
        self.close()
        with self._lock():
            # RACE: another worker was faster, and there is a new one already.
            # (test_a_damaged_slice_is_moved_aside_once)
            if _inode(path) == inode:
                self._move_aside(path, error)
        return True

    def each(self) -> Iterator[tuple[int, sqlite3.Connection]]:
        """The slices with their begin, newest first."""
        for begin, db in self._slices.items():
            self._asked = begin
            yield begin, db

    @property
    def current(self) -> sqlite3.Connection:
        """The newest slice, the only one that is written."""
        return next(self.each())[1]

    def close(self) -> None:
        """Close the files."""
        for db in self._slices.values():
            db.close()
        self._slices = {}
        self._files = {}

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Only who holds it makes, moves or removes slices."""
        guard = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield
        finally:
            os.close(guard)

    def _unmoved(self) -> bool:
        """Whether the slices are still those that were opened: another worker may have moved one aside."""
        return all(_inode(path) == inode for path, inode in self._files.values())

    def _full(self) -> bool:
        """Whether the current slice takes more than its share of the disk."""
        current = next(iter(self._files.values()))[0]
        return _size(current) > self._max_bytes / SLICES

    def _open(self, now: float) -> None:
        """Open what is to be remembered, and a slice for now; unlink the rest."""
        self.close()
        names = filter(None, map(_NAME.fullmatch, os.listdir(self._directory)))
        found = sorted((int(name[1]), int(name[2])) for name in names)
        # A clock set back leaves slices in the future; the newest goes on. Not if that would be for
        # longer than anything is remembered.
        oldest, latest = now - self._remember, now + self._remember
        kept = [(begin, end) for begin, end in found if end >= oldest and begin <= latest]
        newest = kept[-1][1] if kept else 0
        if newest <= now:
            number = now // self._span  # all workers cut at multiples of the span
            kept.append((max(newest, int(number * self._span)), math.ceil((number + 1) * self._span)))
        elif _size(self._path(*kept[-1])) > self._max_bytes / SLICES and kept[-1][0] < int(now):
            kept.append((int(now), newest))
        room = self._max_bytes - self._max_bytes / SLICES  # the current one grows by its share yet
        while len(kept) > 1 and sum(_size(self._path(*each)) for each in kept) > room:
            kept.pop(0)
        for each in set(found).difference(kept):
            _remove(self._path(*each))
        for begin, end in reversed(kept):
            path = self._path(begin, end)
            try:
                self._slices[begin] = _connect(path)
            except sqlite3.DatabaseError as error:
                if not _damaged(error):
                    raise
                self._move_aside(path, error)
                self._slices[begin] = _connect(path)
            self._files[begin] = path, _inode(path)
        self._end = kept[-1][1]

    def _path(self, begin: int, end: int) -> Path:
        return self._directory / f"{begin}-{end}.slice"

    def _move_aside(self, path: Path, error: sqlite3.DatabaseError) -> None:
        """Keep a damaged slice, and none before it, for people to look at."""
        for before in self._directory.glob("*.damaged"):
            before.unlink(missing_ok=True)
        aside = path.with_name(f"{path.name}.damaged")
        path.rename(aside)
        _remove(path)  # its log must not be taken for that of the next one
        log.error("%s: %s; moved to %s, what it remembered is forgotten", path, error, aside.name)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = normal")
        db.execute("PRAGMA mmap_size = 2147418112")
        # Bands fall anywhere in the file: seldom checkpoints write a page less often.
        db.execute("PRAGMA wal_autocheckpoint = 8000")
        db.executescript(_SCHEMA)  # also when killed before it was done
    except BaseException:  # whatever it was: it is raised again
        db.close()
        raise
    return db


def _damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is at fault, not a lock or a full disk."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED


def _inode(path: Path) -> int:
    """Of a file; 0 when there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _size(path: Path) -> int:
    """Bytes of a slice and its log; 0 when there is none."""
    total = 0
    for each in (path, path.with_name(f"{path.name}-wal")):
        with suppress(FileNotFoundError):
            total += each.stat().st_size
    return total


def _remove(path: Path) -> None:
    """Remove a slice with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
