"""Drops whole segments that are too old, or too many.

Only sealed segments are dropped. A segment's age is that of its newest message. The index hears of
it by itself: the indexer forgets what is no longer there.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from trap import fsio
from trap.archive.index import Index, index_files
from trap.archive.record import Corrupt
from trap.archive.segment import Reader
from trap.archive.store import exclusive, segments


def due(directory: Path, now: float, max_age: float | None, max_bytes: int | None) -> list[Path]:
    """The segments to drop, oldest first.

    Args:
        now: seconds since the epoch.
        max_age: in seconds; drop what is older. None: nothing is too old.
        max_bytes: drop the oldest segments until all of them together have no more, with their shares
            of the index. None: no limit.
    """
    total = 0
    indexed = {} if max_bytes is None else index_shares(directory)
    sealed: list[tuple[float, Path, int]] = []
    for path in segments(directory):
        try:
            size = path.stat().st_size + indexed.get(path.name.removesuffix(path.suffix), 0)
            total += size
            with Reader(path) as reader:
                if seal := reader.seal:
                    sealed.append((seal.last, path, size))
        except (FileNotFoundError, Corrupt):  # gone by another worker's hand; or damaged, for people to see
            continue
    drop = []
    for last, path, size in sorted(sealed):
        too_old = max_age is not None and last < now - max_age
        too_many = max_bytes is not None and total > max_bytes
        if not too_old and not too_many:
            break
        drop.append(path)
        total -= size
    return drop


def index_shares(directory: Path) -> dict[str, int]:
    """Bytes of the index that are a segment's, by its name: each message's share is the same.

    Free pages belong to none. The file does not shrink, but what is indexed next takes them. What was
    dropped keeps its own share as long as the index has it, words longer than rows: no other segment
    goes for it.
    """
    if not index_files(directory):
        return {}
    try:
        with closing(Index.open(directory)) as index:
            known, messages = index.segments(), index.numbered() or 1
            used = index.used()
    except sqlite3.Error:  # without an index to read, the segments alone count until there is one
        return {}
    return {name: used * each.records // messages for name, each in known.items()}


def enforce(directory: Path, now: float, max_age: float | None, max_bytes: int | None) -> list[Path]:
    """Drop what is due; returns it.

    RACE: several workers may do this at once. All find the same segments, and dropping one that is
    gone is what was asked for; who counts late finds less and drops less. (test_two_at_once)
    """
    dropped = due(directory, now, max_age, max_bytes)
    for path in dropped:
        with exclusive(path.parent):  # who packs it just now looks whether it is still there
            fsio.unlink(str(path))
    return dropped
