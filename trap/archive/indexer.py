"""Brings the index up to date with the segments. One code path: after mail came in, after a crash,
and when the index is made anew.

    python -m trap.archive.indexer DIRECTORY

The archive stage runs this as a child process, so that parsing, which costs ten times what storing
does, takes no time from storing, and a parser that crashes takes nobody along. It indexes whenever
a line comes in on its standard input, and ends when that is closed: when its parent is gone. Of
several on one archive, one is at work; the others wait for its lock.
"""

import errno
import logging
import os
import resource
import select
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trap import fsio
from trap.archive import turns
from trap.archive.index import Index, replace
from trap.archive.record import Corrupt
from trap.archive.segment import Reader
from trap.archive.store import lock, segments
from trap.archive.suspect import SUFFIX

log = logging.getLogger("spamtrap.archive")

REBUILD_LOCK = "reindex.lock"
_GRACE = 5.0
"""Seconds we go on after our parent is gone."""
_PATIENCE = 10.0
_TROUBLE = 5.0
_MEMORY = 4 << 30
_IDLE = 1.0
"""Seconds between two looks when nobody says that there is something new."""
_TIDY_STEPS = 10
"""Of what can wait, between two looks."""
_GATHER = 0.25
"""Seconds between two looks at least: a look costs as much as ten messages, a commit as much as five."""


def catch_up(
    directory: Path,
    index: Index,
    stop: Callable[[], bool] = lambda: False,
    done: Callable[[int], None] = lambda _: None,
) -> None:
    """Index what is not indexed yet, and forget what was dropped.

    Args:
        stop: asked after every batch whether to leave the rest for later.
        done: told how many bytes of segments were indexed.
    """
    known = index.segments()
    present = {path.name.removesuffix(path.suffix): path for path in segments(directory)}
    for name in known.keys() - present.keys():
        index.forget(name)
    unfinished = [path for name, path in present.items() if name not in known or not known[name].complete]
    for _ in turns.index(index, unfinished, done):
        if stop():
            return
    for _ in range(_TIDY_STEPS):
        if stop() or not index.tidy():
            return


def ends(directory: Path, index: Index) -> dict[str, tuple[int, int]]:
    """Where the records of each segment that is not known whole begin and end at the moment."""
    known = index.segments()
    found = {}
    for path in segments(directory):
        name = path.name.removesuffix(path.suffix)
        if name not in known or not known[name].complete:
            try:
                with Reader(path) as reader:
                    found[name] = (reader.start, reader.end)
            except (FileNotFoundError, Corrupt):
                continue
    return found


def behind(index: Index, goal: dict[str, tuple[int, int]]) -> int:
    """How many bytes of segments are not indexed, up to where they ended when `ends` looked."""
    known = index.segments()
    return sum(
        max(0, end - max(start, known[name].indexed_to if name in known else 0))
        for name, (start, end) in goal.items()
    )


def settle(
    directory: Path,
    index: Index,
    patience: float = _PATIENCE,
    done: Callable[[int], None] = lambda _: None,
) -> int:
    """Wait until everything that is archived now is indexed; index it ourselves when nobody else does.

    Args:
        patience: seconds to wait for a running trap's indexer.
        done: told how many bytes of segments were indexed by us.

    Returns:
        How many bytes of segments are still not indexed.
    """
    limit = time.monotonic() + patience
    goal = ends(directory, index)
    while (left := behind(index, goal)) and time.monotonic() < limit:
        with lock(directory) as ours:
            if ours:
                catch_up(directory, index, done=done)
                return behind(index, goal)
        time.sleep(0.05)
    return left


def rebuild(
    directory: Path,
    stop: Callable[[], bool] = lambda: False,
    done: Callable[[int], None] = lambda _: None,
) -> None:
    """Make the index anew from nothing but the segments, and let it take the old one's place.

    The old one answers until then. Running workers go on to the new one by themselves.

    Args:
        stop: asked now and then whether to give it up.
        done: told how many bytes of segments were indexed.

    Raises:
        BlockingIOError: somebody else is at it.
    """
    with lock(directory, REBUILD_LOCK) as ours:
        if not ours:
            raise BlockingIOError(errno.EAGAIN, "another process is rebuilding the index", str(directory))
        made = directory / "index.rebuilding"
        for suffix in ("", "-wal", "-shm"):
            fsio.unlink(os.fspath(made) + suffix)
        index = Index(made)
        catch_up(directory, index, stop, done)
        while not stop() and index.tidy():
            pass
        index.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        index.close()
        if not stop():
            replace(directory, made)
        fsio.unlink(os.fspath(made) + SUFFIX)


class _Parent:
    """Listens to standard input: a line says there is something new, its end that the parent is gone."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._gone = 0.0
        self._heard = False
        self._looked = 0.0
        os.set_blocking(self._fd, False)

    @property
    def gone(self) -> bool:
        """Whether nobody waits for us any more."""
        self._hear()
        return self._gone > 0

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            while not self._gone and (data := os.read(self._fd, 65536)) is not None:
                self._heard = True
                if not data:
                    self._gone = time.monotonic()

    def overdue(self) -> bool:
        """Whether it is time to stop, although not all is done."""
        return self.gone and time.monotonic() - self._gone > _GRACE

    def wait(self, seconds: float) -> None:
        """Wait until something is heard, or was since the last wait, and it is time for another look."""
        # RACE: a line that comes while we look, and is read when we ask whether our parent is gone, is
        # about what we may not have seen. (test_what_is_said_while_it_looks_is_not_forgotten)
        if not self._heard:
            select.select([self._fd], [], [], seconds)
        time.sleep(max(0.0, self._looked + _GATHER - time.monotonic()))
        self._hear()
        self._heard = False
        self._looked = time.monotonic()


def serve(directory: Path) -> None:
    """Index until standard input is closed."""
    parent = _Parent()
    while not parent.gone:
        try:
            with lock(directory) as ours:
                if ours:
                    _work(directory, parent)
            if not ours:
                parent.wait(_IDLE)
        except (sqlite3.Error, OSError) as error:
            log.error("the index can't be written: %s", error)
            time.sleep(_TROUBLE)


def _work(directory: Path, parent: _Parent) -> None:
    try:
        index = Index.open(directory)
        try:
            while not index.replaced:
                catch_up(directory, index, lambda: parent.overdue() or index.replaced)
                if parent.gone:
                    return
                parent.wait(_IDLE)
        finally:
            index.close()
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:  # locked, full: not damaged
            raise
        log.error("the index can't be used (%s); making it anew", error)
        rebuild(directory, parent.overdue)


def main() -> None:
    """Entry point of the child process."""
    logging.basicConfig(level=logging.WARNING, format="archive indexer: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for our parent, who tells us
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, hard))  # a parser that wants more gets a MemoryError
    serve(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
