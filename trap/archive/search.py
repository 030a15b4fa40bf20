"""Answers queries from the index, newest message first, a page at a time.

A query's words and facts are one FTS5 expression; its time becomes ranges of numbers, which blocks
tell, and a condition on each row. So a page costs what its rows cost, wherever in the archive it lies.
"""

# ruff: noqa: S608 - what is put into SQL texts are our own column names and table numbers

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from trap.archive import shelves
from trap.archive.index import BLOCK_BITS, MAX_NUMBER, Index
from trap.archive.query import Query
from trap.archive.rows import COUNTED, job_id, recipients, stamp, unpacked_ip
from trap.archive.values import unpack_name
from trap.job import MAX_SIZE, id_time, split_name

_PAGE = 500
"""Rows read at once when all are asked for."""
FOREVER = 1e11
_MAX_RANGES = 100
_COLUMNS = (
    "n", *COUNTED, "time", "random", "segment", "offset", "size", "attachments", "sha256", "client_ip",
    "helo", "mail_from", "rcpt_tos", "subject", "sender", "defects",
)  # fmt: skip

Range = tuple[int, int]
"""Numbers of messages, from the first to the last."""
Window = tuple[str, int, int]
"""The table to search for words, "" for none, and the numbers to look at."""


class Row(NamedTuple):
    """A message as lists show it. Strings are fit for any output."""

    n: int
    """Its place in the order of the archive."""
    id: str
    segment: int
    offset: int
    size: int
    sha256: bytes
    client_ip: str
    helo: str
    mail_from: str
    rcpt_tos: list[str]
    subject: str
    sender: str
    """From header."""
    campaign: str | None
    attachments: int
    """How many."""
    defects: str
    facets: dict[str, list[str]]
    """What it is counted by (trap.archive.facts.FACETS)."""

    @property
    def received_at(self) -> float:
        """When it was accepted, in seconds since the epoch."""
        return id_time(self.id)

    def to_map(self) -> dict[str, Any]:
        """What machines are given of it."""
        return {
            "id": self.id,
            "sha256": self.sha256.hex(),
            "size": self.size,
            "received_at": self.received_at,
            "client_ip": self.client_ip,
            "helo": self.helo,
            "mail_from": self.mail_from,
            "rcpt_tos": self.rcpt_tos,
            "subject": self.subject,
            "campaign": self.campaign,
        }


class Reach(NamedTuple):
    """How far a question goes: what must be true of a row besides the words, and the numbers to look at."""

    match: str
    conditions: str
    values: list[object]
    sizes: bool
    """Sizes are among the conditions."""
    ranges: list[Range]
    """Newest first."""


def find(index: Index, query: Query, below: int = MAX_NUMBER, limit: int = -1) -> Iterator[Row]:
    """The messages a query matches, newest first.

    Args:
        below: only those with smaller numbers.
        limit: at most so many; -1 for all.

    Raises:
        TooSlow: the index's deadline passed before there was a page.
    """
    while limit:
        page = _PAGE if limit < 0 else min(limit, _PAGE)
        with index.question():
            found = hits(index, reach(index, query, 0, below - 1), _COLUMNS, page)
            rows = rows_of(index, found)
        yield from rows
        if len(rows) < page:
            return
        below = rows[-1].n
        limit -= len(rows) if limit > 0 else 0


def newer(index: Index, query: Query, above: int, limit: int) -> list[Row]:
    """The messages a query matches that come right after number `above`, at most `limit`; newest first.

    Raises:
        TooSlow: the index's deadline passed.
    """
    with index.question():
        found = hits(index, reach(index, query, above + 1), _COLUMNS, limit, oldest_first=True)
        return rows_of(index, found)[::-1]


def get(index: Index, wanted: str) -> Row | None:
    """The message with this id."""
    if not split_name(f"{wanted}.0"):
        return None
    return _first(index, "WHERE time = ? AND random = ?", stamp(wanted))


def oldest(index: Index) -> Row | None:
    """The message that was accepted before all others."""
    return _first(index, "ORDER BY time LIMIT 1")


def newest(index: Index) -> Row | None:
    """The message that was accepted after all others."""
    return _first(index, "ORDER BY time DESC LIMIT 1")


def _first(index: Index, which: str, values: Sequence[object] = ()) -> Row | None:
    with index.question():
        found = index.db.execute(f"SELECT {_selected(_COLUMNS)} FROM message AS m {which}", values).fetchall()
        return next(iter(rows_of(index, found)), None)


def place(index: Index, wanted: str, gone: int = 0) -> int | None:
    """The number of a message; `gone` is added to that of the one before it when it is not there.

    None for what is no id.
    """
    if not split_name(f"{wanted}.0"):
        return None
    time, random = stamp(wanted)
    exact = index.db.execute("SELECT n FROM message WHERE time = ? AND random = ?", [time, random]).fetchone()
    if exact:
        return int(exact[0])
    before = "SELECT n FROM message WHERE time <= ? ORDER BY time DESC LIMIT 1"
    found = index.db.execute(before, [time]).fetchone()
    return (found[0] if found else -1) + gone


def reach(index: Index, query: Query, low: int = 0, high: int = MAX_NUMBER) -> Reach:
    """What to look at for a query, among the numbers from `low` to `high`."""
    since, until = (round(min(seconds, FOREVER) * 1_000_000) for seconds in (query.since, query.until))
    dated = query.since > 0 or query.until < FOREVER
    conditions: list[tuple[str, object]] = []
    if dated:
        conditions += [("time >= ?", since), ("time < ?", until)]
    if query.min_size:
        conditions.append(("size >= ?", query.min_size))
    if query.max_size is not None:
        conditions.append(("size <= ?", query.max_size))
    sizes = bool(query.min_size or query.max_size is not None)
    return Reach(
        " AND ".join(filter(None, (query.match and f"({query.match})", _sizes(query) if sizes else ""))),
        "".join(f" AND m.{condition}" for condition, _ in conditions),
        [value for _, value in conditions],
        sizes,
        _ranges(index, since, until, low, high) if dated else [(low, high)],
    )


def _sizes(query: Query) -> str:
    """True of all messages as large as a query wants, and of few others: so few are looked at in vain."""
    most = MAX_SIZE if query.max_size is None else min(query.max_size, MAX_SIZE)
    facts = (shelves.size_fact(bits) for bits in range(query.min_size.bit_length(), most.bit_length() + 1))
    return f"facts : ({' OR '.join(facts)})"


def _ranges(index: Index, since: int, until: int, low: int, high: int) -> list[Range]:
    """The runs of blocks with messages of a time, newest first; the oldest as one when they are many."""
    found = index.db.execute(
        "SELECT min(number), max(number) FROM (SELECT number, number - row_number() OVER (ORDER BY number)"
        " AS run FROM block WHERE until >= ? AND since < ? AND number BETWEEN ? AND ?)"
        " GROUP BY run ORDER BY run DESC",
        [since, until, low >> BLOCK_BITS, high >> BLOCK_BITS],
    ).fetchall()
    if len(found) > _MAX_RANGES:
        found[_MAX_RANGES:] = [(found[-1][0], found[_MAX_RANGES][1])]
    return [
        (max(low, first << BLOCK_BITS), min(high, ((last + 1) << BLOCK_BITS) - 1)) for first, last in found
    ]


def hits(
    index: Index, wanted: Reach, columns: Sequence[str], limit: int, *, oldest_first: bool = False
) -> list[tuple[Any, ...]]:
    """Columns of the messages that are within reach, at most `limit`, in order of their numbers."""
    order = "" if oldest_first else " DESC"
    found: list[tuple[Any, ...]] = []
    for window in windows(index, wanted, oldest_first=oldest_first):
        index.look_at_the_clock()
        rows, values = source(wanted, window)
        number = f"{window[0]}.rowid" if window[0] else "m.n"
        found += index.db.execute(
            f"SELECT {_selected(columns)} FROM {rows} ORDER BY {number}{order} LIMIT ?",
            [*values, limit - len(found)],
        )
        if len(found) >= limit:
            break
    return found


def source(wanted: Reach, window: Window) -> tuple[str, list[object]]:
    """What follows FROM in a question for rows, which are called m, of a window; and its values."""
    table, low, high = window
    if not table:
        return f"message AS m WHERE m.n BETWEEN ? AND ?{wanted.conditions}", [low, high, *wanted.values]
    return (
        f"{table} CROSS JOIN message AS m ON m.n = {table}.rowid"
        f" WHERE {table} MATCH ? AND {table}.rowid BETWEEN ? AND ?{wanted.conditions}",
        [wanted.match, low, high, *wanted.values],
    )


def windows(index: Index, wanted: Reach, *, oldest_first: bool = False) -> list[Window]:
    """Where to look, in order."""
    first, last = (
        index.db.execute(f"SELECT {which}(n) FROM message").fetchone()[0] for which in ("min", "max")
    )
    if first is None:
        return []
    ranges = [(max(first, low), min(last, high)) for low, high in wanted.ranges]
    found = [("", low, high) for low, high in ranges if low <= high]
    if wanted.match:
        found = [
            (
                shelves.table(shelf),
                max(low, shelf << shelves.BITS),
                min(high, ((shelf + 1) << shelves.BITS) - 1),
            )
            for shelf in shelves.numbers(index.db)
            for low, high in ranges
            if low <= high and low >> shelves.BITS <= shelf <= high >> shelves.BITS
        ]
    return found[::-1] if oldest_first else found


def rows_of(index: Index, found: list[tuple[Any, ...]]) -> list[Row]:
    """Rows by all their columns."""
    index.values.load(value for row in found for value in row[1 : len(COUNTED) + 1])
    return [_row(index, row) for row in found]


def _row(index: Index, row: tuple[Any, ...]) -> Row:
    held = dict(zip(_COLUMNS, row, strict=True))
    facets = {name: index.values.texts(held.pop(name)) for name in COUNTED if name != "campaign"}
    campaign = held.pop("campaign")
    facets["campaign"] = [] if campaign is None else [unpack_name(campaign)]
    held["id"] = job_id(held.pop("time"), held.pop("random"))
    held["client_ip"] = unpacked_ip(held["client_ip"])
    held["rcpt_tos"] = recipients(held["rcpt_tos"])
    return Row(**held, campaign=next(iter(facets["campaign"]), None), facets=facets)


def _selected(columns: Sequence[str]) -> str:
    return ", ".join(f"m.{name}" for name in columns)
