"""Brings the index up to date with the segments. One code path: after mail came in, after a crash,
and when the index is made anew.

    python -m trap.archive.indexer DIRECTORY

The archive stage runs this as a child process, so that parsing, which costs ten times what storing
does, takes no time from storing, and a parser that crashes takes nobody along. It indexes whenever
a line comes in on its standard input, and ends when that is closed: when its parent is gone. Of
several on one archive, one is at work; the others wait for its lock.
"""

import datetime
import errno
import heapq
import logging
import os
import resource
import select
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from trap import fsio
from trap.archive.index import Index, replace
from trap.archive.record import Corrupt
from trap.archive.rows import Entry
from trap.archive.segment import Frame, Reader
from trap.archive.store import lock, segments
from trap.archive.suspect import SUFFIX, Suspect
from trap.job import ID_DIGITS, new_id

log = logging.getLogger("spamtrap.archive")

REBUILD_LOCK = "reindex.lock"
_BATCH_RECORDS = 512
_BATCH_SECONDS = 1.0
_BATCH_BYTES = 32 << 20
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
    for _ in _in_turns([(_begun(path), _segment(index, path, done)) for path in unfinished]):
        if stop():
            return
    for _ in range(_TIDY_STEPS):
        if stop() or not index.tidy():
            return


def _in_turns(lines: list[tuple[str, Iterator[str]]]) -> Iterator[str]:
    """Go on with what comes first, again and again.

    So messages are numbered nearly as they came, also when several workers wrote a segment each.

    Args:
        lines: what each begins with, or something near; and what goes on with it when it is asked what
            follows after that.
    """
    heap = [(start, number, line) for number, (start, line) in enumerate(lines)]
    heapq.heapify(heap)
    while heap:
        _, number, line = heap[0]
        following = next(line, None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following, number, line))
            yield following


def _begun(path: Path) -> str:
    """What the ids of messages begin with that came when a segment was begun."""
    try:
        moment = datetime.datetime.strptime(path.name.partition("-")[0] + "+0000", "%Y%m%dT%H%M%S.%fZ%z")
    except ValueError:  # somebody gave it another name
        return ""
    return new_id(moment.timestamp())[:ID_DIGITS]


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


def _segment(index: Index, path: Path, done: Callable[[int], None]) -> Iterator[str]:
    """Index a segment by the handful; yields the id of the message each begins with, before that."""
    try:
        with Reader(path) as reader:
            known = index.segments().get(reader.name)
            since, sealed, end = known.indexed_to if known else 0, reader.seal is not None, reader.end
            if since > end:
                # What we indexed was cut off again: its writer could not sync it. Read all of it anew.
                index.forget(reader.name)
                since = 0
            at = since or reader.start
            frames = reader.frames(at)
            frame = next(frames, None)
            with Suspect(index.path, reader.name) as suspect:
                while frame:
                    yield frame.id
                    entries, until, frame = _batch(reader, frame, frames, suspect)
                    if not index.add(reader.name, since, until, entries, complete=False):
                        return
                    done(until - at)
                    since = at = until
            if sealed:
                index.add(reader.name, since, end, [], complete=True)
    except FileNotFoundError:
        return  # retention took it just now
    except Corrupt as error:
        log.debug("%s is not indexed: %s", path.name, error)


def _batch(
    reader: Reader, frame: Frame, frames: Iterator[Frame], suspect: Suspect
) -> tuple[list[Entry], int, Frame | None]:
    """Some parsed records, soon to be committed; where they end; and the frame that follows."""
    entries: list[Entry] = []
    size, begun = 0, time.monotonic()
    following: Frame | None = frame
    while following:
        frame = following
        if entry := _entry(reader, frame, suspect):
            entries.append(entry)
        size += frame.message_bytes
        following = next(frames, None)
        if (
            len(entries) >= _BATCH_RECORDS
            or size >= _BATCH_BYTES
            or time.monotonic() - begun > _BATCH_SECONDS
        ):
            break
    suspect.none()
    return entries, frame.end, following


def _entry(reader: Reader, frame: Frame, suspect: Suspect) -> Entry | None:
    try:
        record = reader.record(frame)
    except Corrupt as error:
        log.error("%s at %d can't be indexed: %s", reader.name, frame.offset, error)
        return None
    return Entry(record, frame.offset, suspect.extract(record, frame.offset))


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
                catch_up(directory, index, parent.overdue)
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
