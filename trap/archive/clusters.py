"""Campaigns as people look at them: the largest, the latest, and what their copies look like."""

# ruff: noqa: S608 - what is put into SQL texts are our own column and table names

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from trap.archive import search
from trap.archive.campaigns import hours
from trap.archive.facts import token
from trap.archive.index import MAX_NUMBER, Index
from trap.archive.query import Query
from trap.archive.values import pack_name, unpack_name

ORDERS = {"size": "copies", "last": "last", "first": "first"}
"""How campaigns may be ordered, the largest or latest first, and the columns for that."""
_SAMPLE = 8
"""Messages looked at, the newest."""
_SUBJECTS = 3
_COLUMNS = "name, archived, copies, first, last, newest, hours"


class Campaign(NamedTuple):
    """Near-copies of one message. Times are in seconds since the epoch; strings are fit for any output."""

    name: str
    archived: int
    """Messages in the archive."""
    copies: int
    """How many the dedup stage knew of when the last of them was archived."""
    first: float
    last: float
    hours: list[tuple[int, int]]
    """When an hour began and how many copies came in it; only hours with some, the newest."""
    subjects: list[str]
    """Of its newest messages, as are networks and domains."""
    networks: list[str]
    domains: list[str]

    def to_map(self) -> dict[str, Any]:
        """What machines are given of it."""
        return self._asdict()


def campaigns(index: Index, order: str, before: str | None, limit: int) -> list[Campaign]:
    """A page of the campaigns of which there are two copies at least.

    Args:
        order: one of ORDERS.
        before: name of the campaign to go on after.
        limit: at most so many.

    Raises:
        KeyError: there is no such order.
        TooSlow: the index's deadline passed.
    """
    column = ORDERS[order]
    with index.question():
        values: Sequence[object] = ()
        if before is not None and not (values := _one(index, f"{column}, name", before)):
            return []
        found = index.db.execute(
            f"SELECT {_COLUMNS} FROM campaign {f'WHERE ({column}, name) < (?, ?)' * bool(values)}"
            f" ORDER BY {column} DESC, name DESC LIMIT ?",
            [*values, limit],
        ).fetchall()
        return [_campaign(index, row) for row in found]


def campaign(index: Index, name: str) -> Campaign | None:
    """The campaign with this name, also when there is one copy only."""
    with index.question():
        if found := _one(index, _COLUMNS, name):
            return _campaign(index, found)
        for n, time in _newest(index, name, MAX_NUMBER, ("n", "time"), 1):
            second = time // 1_000_000
            return _campaign(index, (pack_name(name), 1, 1, second, second, n, None))
    return None


def copies(index: Index, names: Collection[str]) -> dict[str, int]:
    """How many copies of some campaigns were seen, by name; no look at what they look like."""
    marks = ", ".join("?" * len(names))
    with index.question():
        found = index.db.execute(
            f"SELECT name, copies FROM campaign WHERE name IN ({marks})", [*map(pack_name, names)]
        )
        return {**dict.fromkeys(names, 1), **{unpack_name(name): seen for name, seen in found}}


def _one(index: Index, columns: str, name: str) -> Sequence[Any]:
    found = index.db.execute(f"SELECT {columns} FROM campaign WHERE name = ?", [pack_name(name)]).fetchone()
    return found or ()


def _campaign(index: Index, row: Sequence[Any]) -> Campaign:
    packed, archived, seen, first, last, newest, rate = row
    name = unpack_name(packed)
    sample = _newest(index, name, newest, ("subject", "network", "domain"), min(archived, _SAMPLE))
    index.values.load(value for each in sample for value in each[1:])
    networks, domains = (
        list(dict.fromkeys(text for each in sample for text in index.values.texts(each[column])))
        for column in (1, 2)
    )
    subjects = list(dict.fromkeys(each[0] for each in sample))[:_SUBJECTS]
    return Campaign(name, archived, seen, first, last, hours(rate, last, seen), subjects, networks, domains)


def _newest(
    index: Index, name: str, newest: int, columns: Sequence[str], limit: int
) -> list[tuple[Any, ...]]:
    """Columns of the newest messages of a campaign, from number `newest` down."""
    query = Query(match=f'facts : "{token("campaign", name)}"')
    return search.hits(index, search.reach(index, query, 0, newest), columns, limit)
