"""Counts what a query finds over time, the newest first, for as long as it may; says how far it came."""

# ruff: noqa: S608 - what is put into SQL texts are our own column names and table numbers

import time
from contextlib import suppress
from typing import NamedTuple

from trap.archive.index import BLOCK_BITS, Index, TooSlow
from trap.archive.query import Query
from trap.archive.search import FOREVER, Reach, Window, reach, source, windows

_FIRST_STEP = 1 << 13
"""Numbers looked at in the first step; a step that took little time doubles the next."""
_QUICK = 0.006
_ROWS, _BARE_ROWS = 10_000, 50_000
"""Messages that are counted one by one, with words and without; more are counted by blocks."""
_PART_BITS = 6
_PARTS = 1 << BLOCK_BITS - _PART_BITS
"""Of a block, told apart: hits lie as evenly in its time as numbers do."""
_SECOND = 1_000_000
_EVEN = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(hours * 3600 for hours in (1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 672, 1344, 2688)),
)
"""Seconds that people count in."""


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


def histogram(index: Index, query: Query, buckets: int, budget: float, *, even: bool = False) -> Histogram:
    """Count the messages that a query finds over time.

    Args:
        buckets: how many stretches of time.
        budget: seconds it may take.
        even: let each be a whole minute, hour or day, or some of them; they may be fewer then.
    """
    end = time.monotonic() + budget
    with index.question():
        first_time, end_time = _period(index, query)
        wanted = reach(index, query)
        left = windows(index, wanted)
    wide = sum(high - low + 1 for _, low, high in left)
    if not wanted.match and wide <= _BARE_ROWS:
        left = [("", 0, 0)] if left else []  # counted at once, whatever their numbers
    since, width = float(first_time), (end_time - first_time) / buckets
    if even:
        since, width, buckets = _even(first_time, end_time, buckets)
    until = round(since + width * buckets)
    counts = [0] * buckets
    counted_since, step = until, _FIRST_STEP
    with suppress(TooSlow):
        while left and (begun := time.monotonic()) < end:
            table, low, high = left[0]
            first = max(low, high + 1 - step) if table else low
            inner, values = _hits(wanted, (table, first, high), wide)
            with index.question(end - begun + _QUICK):
                found = index.db.execute(
                    f"SELECT CAST((time - ?) / ? AS INTEGER) AS bucket, sum(hits) FROM ({inner})"
                    " WHERE time >= ? AND time < ? GROUP BY bucket",
                    [since, width, *values, first_time, end_time],
                ).fetchall()
                counted_since = min(counted_since, _time_of(index, first))
            for bucket, count in found:
                counts[bucket] += count
            left[:1] = [(table, low, first - 1)] if first > low else []
            if time.monotonic() - begun < _QUICK:
                step *= 2
    return Histogram(
        since=since / _SECOND,
        until=until / _SECOND,
        width=width / _SECOND,
        counts=counts,
        found=sum(counts),
        complete=not left,
        counted_since=counted_since / _SECOND,
    )


def _period(index: Index, query: Query) -> tuple[int, int]:
    """From when to when messages may be found, in microseconds."""
    first, last = (
        index.db.execute(f"SELECT {which}(time) FROM message").fetchone()[0] or 0 for which in ("min", "max")
    )
    since = max(first, round(query.since * _SECOND))
    until = min(last + 1, round(min(query.until, FOREVER) * _SECOND))
    return since, max(until, since + _SECOND)


def _even(since: int, until: int, most: int) -> tuple[float, float, int]:
    """Where stretches of an even length begin that hold a period, their length, and how many they are."""
    for width in (seconds * _SECOND for seconds in _EVEN):
        start = since - since % width
        count = -(-(until - start) // width)
        if count <= most:
            break
    else:
        width = -(-(until - since) // most)
        start, count = since, most
    return start, width, count


def _hits(wanted: Reach, part: Window, wide: int) -> tuple[str, list[object]]:
    """A question for the times of what is found in a part and how often it is, and its values.

    Args:
        wide: how many numbers there are in all parts together.
    """
    table, low, high = part
    if not wanted.match:
        if wide <= _BARE_ROWS:
            return "SELECT time, 1 AS hits FROM message", []
        return (
            "SELECT (since + until) / 2 AS time, records AS hits FROM block WHERE number BETWEEN ? AND ?",
            [low >> BLOCK_BITS, high >> BLOCK_BITS],
        )
    if wanted.sizes or wide <= _ROWS:
        rows, values = source(wanted, part)
        return f"SELECT m.time AS time, 1 AS hits FROM {rows}", values
    return (
        f"SELECT since + (until - since) * (2 * (part & {_PARTS - 1}) + 1) / {2 * _PARTS} AS time, hits"
        f" FROM (SELECT rowid >> {_PART_BITS} AS part, count(*) AS hits FROM {table}"
        f" WHERE {table} MATCH ? AND rowid BETWEEN ? AND ? GROUP BY part)"
        f" JOIN block ON number = part >> {BLOCK_BITS - _PART_BITS}",
        [wanted.match, low, high],
    )


def _time_of(index: Index, n: int) -> int:
    """When messages about number `n` were accepted, in microseconds."""
    found = index.db.execute(
        "SELECT since FROM block WHERE number <= ? ORDER BY number DESC LIMIT 1", [n >> BLOCK_BITS]
    ).fetchone()
    return int(found[0]) if found else 0
