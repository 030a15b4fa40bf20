"""Campaigns as the index counts them: how many copies, and when they came.

A campaign has a row from its second copy on: most messages stay alone, and what is known of those
stands in the messages' own rows, which hold the campaign's name. What a campaign looks like is not
held a second time either: it is read from its newest messages (trap.archive.clusters).
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from trap.archive import shelves
from trap.archive.facts import token
from trap.archive.rows import Entry, stamp
from trap.archive.values import pack_name

SCHEMA = (
    """CREATE TABLE campaign (
    name BLOB PRIMARY KEY,
    archived INTEGER NOT NULL,                          -- messages in the archive
    copies INTEGER NOT NULL,                            -- that were seen, archived or not
    first INTEGER NOT NULL, last INTEGER NOT NULL,      -- when messages were accepted, in s
    newest INTEGER NOT NULL,                            -- number of a message
    hours BLOB                                          -- see `hours`; none when all came within one
    ) WITHOUT ROWID""",
    "CREATE INDEX campaign_copies ON campaign (copies)",
    "CREATE INDEX campaign_first ON campaign (first)",
    "CREATE INDEX campaign_last ON campaign (last)",
)
HOUR = 3600
_HOURS = 72
"""Hours with copies that are told apart, the newest."""
_EARLIER = 100

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[int]).decode

Seen = tuple[int, int, int]
"""Number of a message, the second it was accepted, and how many copies had been seen then; 0: not noted."""


def add(db: sqlite3.Connection, added: list[tuple[int, Entry]]) -> None:
    """Count new messages, before their words are in the index."""
    found: dict[str, list[Seen]] = {}
    for n, entry in added:
        for name in entry.counted["campaign"]:
            second = stamp(entry.record.id)[0] // 1_000_000
            found.setdefault(name, []).append((n, second, _count(entry.record.notes)))
    for name, seen in found.items():
        _add(db, name, seen)


def _add(db: sqlite3.Connection, name: str, seen: list[Seen]) -> None:
    known = db.execute(
        "SELECT archived, copies, first, last, hours FROM campaign WHERE name = ?", [pack_name(name)]
    ).fetchone()
    if known is None:
        if len(seen) == 1 and seen[0][2] == 1:
            return  # as far as anybody knows there is no other
        seen = _earlier(db, name) + seen
        if len(seen) == 1 and not seen[0][2]:
            return
    archived, copies, first, last, packed = known or (0, 0, seen[0][1], 0, None)
    counts = dict(hours(packed, last, copies)) if known else {}
    for _, second, count in seen:
        # Most copies are dropped, and heard of only by the count of the next one that is archived.
        came = max(1, count - copies)
        copies = max(copies, count or copies + 1)
        counts[second - second % HOUR] = counts.get(second - second % HOUR, 0) + came
        first, last = min(first, second), max(last, second)
    archived += len(seen)
    db.execute(
        "REPLACE INTO campaign VALUES (?, ?, ?, ?, ?, ?, ?)",
        [pack_name(name), archived, max(copies, archived), first, last, seen[-1][0], _packed(counts)],
    )


def _earlier(db: sqlite3.Connection, name: str) -> list[Seen]:
    """Messages of a campaign that was thought to have one only, oldest first."""
    found: list[Seen] = []
    for shelf in shelves.numbers(db):
        words = shelves.table(shelf)
        found += db.execute(
            f"SELECT n, time / 1000000, 0 FROM {words} CROSS JOIN message ON n = {words}.rowid"  # noqa: S608
            f" WHERE {words} MATCH ? LIMIT ?",
            [f'facts : "{token("campaign", name)}"', _EARLIER],
        )
    return sorted(found)


def forget(db: sqlite3.Connection, first: int, last: int, segment: int) -> None:
    """Take a segment's messages, which have numbers from `first` to `last`, out of the counts."""
    mine = "SELECT campaign, count(*) AS gone FROM message WHERE n BETWEEN ? AND ? AND segment = ?"
    db.execute(
        f"UPDATE campaign SET archived = archived - gone FROM ({mine} GROUP BY campaign) AS mine"  # noqa: S608
        " WHERE name = mine.campaign",
        [first, last, segment],
    )
    db.execute("DELETE FROM campaign WHERE archived <= 0")


def hours(packed: bytes | None, last: int, copies: int) -> list[tuple[int, int]]:
    """The hours in which copies came and how many did, oldest first, by what a campaign's row has."""
    if packed is None:
        return [(last - last % HOUR, copies)]
    flat = _decode(packed)
    return [(hour * HOUR, count) for hour, count in zip(flat[::2], flat[1::2], strict=True)]


def _packed(counts: Mapping[int, int]) -> bytes | None:
    newest = sorted(counts.items())[-_HOURS:]
    if len(newest) == 1:
        return None
    return _encode([number for hour, count in newest for number in (hour // HOUR, count)])


def _count(notes: Mapping[str, Any]) -> int:
    """How many copies had been seen when a message came, as its stages noted it; 0: they did not."""
    for note in notes.values():
        if isinstance(note, Mapping) and "campaign" in note:
            count = note.get("count")
            return count if type(count) is int and 0 < count < 1 << 60 else 0
    return 0
