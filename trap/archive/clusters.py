"""Campaigns as people look at them: the largest, the latest, and what their copies look like."""

# ruff: noqa: S608 - what is put into SQL texts are our own column and table names

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from trap.archive import shelves
from trap.archive.campaigns import hours, pack_name, unpack_name
from trap.archive.facts import token
from trap.archive.index import Index

ORDERS = {"size": "copies", "last": "last", "first": "number"}
"""How campaigns may be ordered, the largest or latest first, and the columns for that."""
_SAMPLE = 8
"""Messages looked at, the newest."""
_SUBJECTS = 3
_COLUMNS = "number, name, archived, copies, first, last, newest, hours"


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
    """A page of campaigns.

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
        values: list[object] = []
        if before is not None:
            values = _one(index, f"{column}, number", before)
            if not values:
                return []
        found = index.db.execute(
            f"SELECT {_COLUMNS} FROM campaign {f'WHERE ({column}, number) < (?, ?)' * bool(values)}"
            f" ORDER BY {column} DESC, number DESC LIMIT ?",
            [*values, limit],
        ).fetchall()
        return [_campaign(index, row) for row in found]


def campaign(index: Index, name: str) -> Campaign | None:
    """The campaign with this name."""
    with index.question():
        found = _one(index, _COLUMNS, name)
        return _campaign(index, found) if found else None


def copies(index: Index, names: Collection[str]) -> dict[str, int]:
    """How many copies of some campaigns were seen, by name; no look at what they look like."""
    marks = ", ".join("?" * len(names))
    with index.question():
        found = index.db.execute(
            f"SELECT name, copies FROM campaign WHERE name IN ({marks})", [*map(pack_name, names)]
        )
        return {unpack_name(name): seen for name, seen in found}


def _one(index: Index, columns: str, name: str) -> list[Any]:
    found = index.db.execute(f"SELECT {columns} FROM campaign WHERE name = ?", [pack_name(name)]).fetchone()
    return [*(found or ())]


def _campaign(index: Index, row: Sequence[Any]) -> Campaign:
    number, packed, archived, copies, first, last, newest, rate = row
    name = unpack_name(packed)
    sample = _newest(index, number, name, newest, 1 if archived == 1 else _SAMPLE)
    index.values.load(value for each in sample for value in each[1:])
    networks, domains = (
        list(dict.fromkeys(text for each in sample for text in index.values.texts(each[column])))
        for column in (1, 2)
    )
    subjects = list(dict.fromkeys(each[0] for each in sample))[:_SUBJECTS]
    return Campaign(
        name, archived, copies, first, last, hours(rate, last, copies), subjects, networks, domains
    )


def _newest(index: Index, number: int, name: str, newest: int, count: int) -> list[tuple[Any, ...]]:
    """Subject, network and domain of the newest messages: of those on the shelf of the newest one."""
    columns = "subject, network, domain"
    found = index.db.execute(f"SELECT {columns} FROM message WHERE n = ? AND campaign = ?", [newest, number])
    if count == 1 and (row := found.fetchone()):
        return [row]
    shelf = newest >> shelves.BITS
    if shelf not in shelves.numbers(index.db):
        return []
    words = shelves.table(shelf)
    return index.db.execute(
        f"SELECT {columns} FROM {words} CROSS JOIN message AS m ON m.n = {words}.rowid"
        f" WHERE {words} MATCH ? AND {words}.rowid <= ? ORDER BY {words}.rowid DESC LIMIT ?",
        [f'facts : "{token("campaign", name)}"', newest, count],
    ).fetchall()
