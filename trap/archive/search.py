"""Answers queries from the index, newest message first, a page at a time."""

# ruff: noqa: S608 - what is put into SQL texts are our own column names and table numbers

import heapq
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from trap.archive.index import Index, Known, key_at, key_of
from trap.archive.query import Query
from trap.job import id_time, split_name

_decode_list = msgspec.json.Decoder(list[str]).decode


class Row(NamedTuple):
    """A message as lists show it. Strings are fit for any output."""

    key: int
    """Its place in the order of time; what `find` goes on from."""
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


_COLUMNS = ", ".join(f"m.{name}" for name in Row._fields)


def find(index: Index, query: Query, before: int | None = None, limit: int = -1) -> Iterator[Row]:
    """The messages a query matches, newest first.

    Args:
        before: go on after the row with this key.
        limit: at most so many; -1 for all.
    """
    low = key_at(query.since)
    high = key_at(query.until) - 1
    if before is not None:
        high = min(high, before - 1)
    if not query.words and not query.without:
        yield from _select(
            index,
            f"SELECT {_COLUMNS} FROM message AS m WHERE m.key BETWEEN ? AND ?",
            [low, high],
            query,
            limit,
        )
        return
    parts = [
        part for part in index.segments().values() if part.records and part.first <= high and part.last >= low
    ]
    rows = _merged([(part, _in_segment(index, part, query, low, high, limit)) for part in parts])
    for count, row in enumerate(rows):
        if count == limit:
            return
        yield row


def get(index: Index, job_id: str) -> Row | None:
    """The message with this id."""
    if not split_name(f"{job_id}.0"):
        return None
    # SQLite adds: it has larger numbers than a key may be.
    rows = index.db.execute(
        f"SELECT {_COLUMNS} FROM message AS m WHERE key BETWEEN ?1 AND ?1 + 15 AND id = ?2",
        [key_of(job_id), job_id],
    )
    return next(map(_row, rows), None)


def oldest(index: Index) -> Row | None:
    """The message that was accepted before all others."""
    return next(
        map(_row, index.db.execute(f"SELECT {_COLUMNS} FROM message AS m ORDER BY key LIMIT 1")), None
    )


def _in_segment(index: Index, part: Known, query: Query, low: int, high: int, limit: int) -> Iterator[Row]:
    words = f"words_{part.n}"
    without = " OR ".join(query.without)
    if query.words:
        match = " AND ".join([*query.words, *query.hints])
        sql = (
            f"SELECT {_COLUMNS} FROM {words} CROSS JOIN message AS m ON m.key = {words}.rowid"
            f" WHERE {words} MATCH ? AND {words}.rowid BETWEEN ? AND ?"
        )
        values: list[object] = [f"({match}) NOT ({without})" if without else match, low, high]
    else:
        sql = (
            f"SELECT {_COLUMNS} FROM message AS m WHERE m.key BETWEEN ? AND ? AND m.segment = ?"
            f" AND m.key NOT IN (SELECT rowid FROM {words} WHERE {words} MATCH ?)"
        )
        values = [max(low, part.first), min(high, part.last), part.n, without]
    yield from _select(index, sql, values, query, limit, words + ".rowid" if query.words else "m.key")


def _select(
    index: Index, sql: str, values: list[object], query: Query, limit: int, order: str = "m.key"
) -> Iterator[Row]:
    for condition, more in query.conditions:
        sql += f" AND {condition}"
        values = [*values, *more]
    yield from map(_row, index.db.execute(f"{sql} ORDER BY {order} DESC LIMIT ?", [*values, limit]))


def _row(row: tuple[Any, ...]) -> Row:
    values = dict(zip(Row._fields, row, strict=True))
    return Row(**{**values, "rcpt_tos": _decode_list(values["rcpt_tos"])})


def _merged(parts: list[tuple[Known, Iterator[Row]]]) -> Iterator[Row]:
    """The rows of all segments, newest first. One that holds nothing newer is not asked before its time."""
    waiting = sorted(parts, key=lambda part: part[0].last)
    running: list[tuple[int, int, Row, Iterator[Row]]] = []
    while waiting or running:
        while waiting and (not running or waiting[-1][0].last >= -running[0][0]):
            known, rows = waiting.pop()
            if row := next(rows, None):
                heapq.heappush(running, (-row.key, known.n, row, rows))
        if running:
            _, n, row, rows = running[0]
            yield row
            if following := next(rows, None):
                heapq.heapreplace(running, (-following.key, n, following, rows))
            else:
                heapq.heappop(running)
