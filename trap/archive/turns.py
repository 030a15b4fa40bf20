"""Indexes segments by the handful, each time of the one whose next message is the oldest.

So messages are numbered nearly as they came, also when several workers wrote a segment each.
"""

import heapq
import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from trap.archive.facts import facets
from trap.archive.index import Index
from trap.archive.record import Corrupt
from trap.archive.rows import Entry
from trap.archive.segment import Frame, Reader
from trap.archive.suspect import Suspect

log = logging.getLogger("spamtrap.archive")

_BATCH_RECORDS = 512
_BATCH_SECONDS = 1.0
_BATCH_BYTES = 32 << 20
_SIDE_BY_SIDE = 16
"""Segments that are open at once, in the order they were begun: more than there are workers."""


def index(into: Index, paths: list[Path], done: Callable[[int], None]) -> Iterator[None]:
    """Index segments from where that ended; comes back before every handful.

    Args:
        done: told how many bytes of segments were indexed.
    """
    lines = ((number, _segment(into, path, done)) for number, path in enumerate(paths))
    heap = [("", number, line) for number, line in islice(lines, _SIDE_BY_SIDE)]
    while heap:
        _, number, line = heap[0]
        following = next(line, None)
        if following is not None:
            heapq.heapreplace(heap, (following, number, line))
            yield
            continue
        heapq.heappop(heap)
        for number, line in islice(lines, 1):
            heapq.heappush(heap, ("", number, line))


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
    fields = suspect.extract(record, frame.offset)
    return Entry(record, frame.offset, fields, facets(record, fields))
