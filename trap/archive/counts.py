"""Counts what a query finds: by value, and over time. Both say how much of the archive they saw.

Counting all hits of a common word takes as long as there are hits, so both begin with the newest
and stop at a number or a time; the answer is as large as it is wide.
"""

# ruff: noqa: S608 - what is put into SQL texts are our own column names and table numbers

import time
from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple

from trap.archive.index import BLOCK_BITS, MAX_NUMBER, Index, TooSlow
from trap.archive.query import Query
from trap.archive.rows import COUNTED
from trap.archive.search import Reach, hits, reach, windows
from trap.archive.values import unpack_name

MOST = 50
"""Values told of each facet, the most frequent."""
_PAGE = 1000
_FIRST_STEP = 1 << 14
"""Numbers looked at in the first step of a count over time; each that took little time doubles the next."""
_QUICK = 0.01
_ROWS, _BARE_ROWS = 10_000, 100_000
"""Messages that are counted one by one, with words and without; more are counted by blocks."""
_PART_BITS = 6
_PARTS = 1 << BLOCK_BITS - _PART_BITS
"""Of a block, told apart."""
_SECOND = 1_000_000
_FOREVER = 1e11


class Facets(NamedTuple):
    """How often which values are among the newest messages found."""

    counted: int
    """Messages looked at."""
    complete: bool
    """These are all there are."""
    values: dict[str, list[tuple[str, int]]]
    """The most frequent first."""


class Histogram(NamedTuple):
    """How many messages were found in each of equal stretches of time, the oldest first.

    Times are in seconds since the epoch.
    """

    since: float
    until: float
    width: float
    counts: list[int]
    found: int
    complete: bool
    """All were counted."""
    counted_since: float
    """Back to then they were counted."""


def facets(index: Index, query: Query, sample: int, budget: float) -> Facets:
    """Count the values of the newest messages that a query finds.

    Args:
        sample: look at no more messages.
        budget: seconds it may take.
    """
    counters: list[Counter[Any]] = [Counter() for _ in COUNTED]
    counted, below, complete = 0, MAX_NUMBER, False
    end = time.monotonic() + budget
    with suppress(TooSlow):
        while counted < sample and not complete and (left := end - time.monotonic()) > 0:
            page = min(_PAGE, sample - counted)
            with index.question(left):
                found = hits(index, reach(index, query, 0, below - 1), ("n", *COUNTED), page)
            columns = list(zip(*found, strict=True))
            for counter, values in zip(counters, columns[1:], strict=False):
                counter.update(values)
            complete = len(found) < page
            counted += len(found)
            below = found[-1][0] if found else below
    with index.question():
        return Facets(
            counted,
            complete,
            {name: _named(index, name, c) for name, c in zip(COUNTED, counters, strict=True)},
        )


def _named(index: Index, name: str, counter: Counter[Any]) -> list[tuple[str, int]]:
    del counter[None]
    top = counter.most_common(MOST)
    if name == "campaign":
        return [(unpack_name(packed), count) for packed, count in top]
    index.values.load(value for value, _ in top)
    texts: Counter[str] = Counter()
    for value, count in top:
        for text in index.values.texts(value):
            texts[text] += count
    return texts.most_common(MOST)


def histogram(index: Index, query: Query, buckets: int, budget: float) -> Histogram:
    """Count the messages that a query finds over time.

    Args:
        buckets: how many stretches of time.
        budget: seconds it may take.
    """
    end = time.monotonic() + budget
    with index.question():
        since, until = _period(index, query)
        wanted = reach(index, query)
        left = windows(index, wanted)
    width = (until - since) / buckets
    counts = [0] * buckets
    counted_since, step = until, _FIRST_STEP
    wide = sum(high - low + 1 for _, low, high in left)
    with suppress(TooSlow):
        while left and (begun := time.monotonic()) < end:
            table, low, high = left[0]
            part = (table, max(low, high + 1 - step), high)
            with index.question(end - begun):
                for bucket, count in _counted(index, wanted, part, wide, (since, until, width)):
                    counts[bucket] += count
                counted_since = min(counted_since, _time_of(index, part[1]))
            left[:1] = [(table, low, part[1] - 1)] if part[1] > low else []
            if time.monotonic() - begun < _QUICK:
                step *= 2
    return Histogram(
        since / _SECOND,
        until / _SECOND,
        width / _SECOND,
        counts,
        sum(counts),
        not left,
        counted_since / _SECOND,
    )


def _period(index: Index, query: Query) -> tuple[int, int]:
    """From when to when messages may be found, in microseconds."""
    first, last = (
        index.db.execute(f"SELECT {which}(time) FROM message").fetchone()[0] or 0 for which in ("min", "max")
    )
    since = max(first, round(query.since * _SECOND))
    until = min(last, round(min(query.until, _FOREVER) * _SECOND) - 1) + 1
    return since, max(until, since + _SECOND)


def _counted(
    index: Index, wanted: Reach, part: tuple[str, int, int], wide: int, axis: tuple[int, int, float]
) -> list[tuple[int, int]]:
    """Hits by bucket, for a part of a window; one by one where they can't be many, else by blocks.

    A block's hits lie as evenly in its time as its numbers do.
    """
    table, low, high = part
    since, until, width = axis
    values: list[object] = [low, high, *([wanted.match] if table else [])]
    match = f" AND {table} MATCH ?" if table else ""
    if wanted.sizes or wide <= (_ROWS if table else _BARE_ROWS):
        number = f"{table}.rowid" if table else "m.n"
        source = f"{table} CROSS JOIN message AS m ON m.n = {number}" if table else "message AS m"
        inner = (
            f"SELECT time, 1 AS hits FROM {source} WHERE {number} BETWEEN ? AND ?{match}{wanted.conditions}"
        )
        values += wanted.values
    elif table:
        inner = (
            f"SELECT since + (until - since) * (2 * (part & {_PARTS - 1}) + 1) / {2 * _PARTS} AS time, hits"
            f" FROM (SELECT rowid >> {_PART_BITS} AS part, count(*) AS hits FROM {table}"
            f" WHERE rowid BETWEEN ? AND ?{match} GROUP BY part)"
            f" JOIN block ON number = part >> {BLOCK_BITS - _PART_BITS}"
        )
    else:
        inner = "SELECT (since + until) / 2 AS time, records AS hits FROM block WHERE number BETWEEN ? AND ?"
        values[:2] = [low >> BLOCK_BITS, high >> BLOCK_BITS]
    return index.db.execute(
        f"SELECT CAST((time - ?) / ? AS INTEGER) AS bucket, sum(hits) FROM ({inner})"
        " WHERE time >= ? AND time < ? GROUP BY bucket",
        [since, width, *values, since, until],
    ).fetchall()


def _time_of(index: Index, n: int) -> int:
    """When messages about number `n` were accepted, in microseconds."""
    found = index.db.execute(
        "SELECT since FROM block WHERE number <= ? ORDER BY number DESC LIMIT 1", [n >> BLOCK_BITS]
    ).fetchone()
    return int(found[0]) if found else 0
