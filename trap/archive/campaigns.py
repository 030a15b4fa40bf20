"""Campaigns as the index counts them: how many copies, and when they came.

Rows are numbered as campaigns came up; a message's row has the number. What a campaign looks like is
not held a second time: it is read from its newest messages (trap.archive.clusters).
"""

import re
import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from trap.archive.facts import facets
from trap.archive.rows import Entry, stamp

SCHEMA = (
    """CREATE TABLE campaign (
    number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,
    archived INTEGER NOT NULL,                          -- messages in the archive
    copies INTEGER NOT NULL,                            -- that were seen, archived or not
    first INTEGER NOT NULL, last INTEGER NOT NULL,      -- when messages were accepted, in s
    newest INTEGER NOT NULL,                            -- number of a message
    hours BLOB)                                         -- see `hours`; none when all came within one""",
    "CREATE INDEX campaign_copies ON campaign (copies)",
    "CREATE INDEX campaign_last ON campaign (last)",
)
HOUR = 3600
_HOURS = 72
"""Hours with copies that are told apart, the newest."""
_HEX = re.compile("[0-9a-f]{12}")
"""Names as the dedup stage makes them: half as long as bytes."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[int]).decode

Seen = tuple[int, int, int]
"""Number of a message, the second it was accepted, and how many copies had been seen then; 0: not noted."""


def add(db: sqlite3.Connection, added: list[tuple[int, Entry]]) -> dict[str, int]:
    """Count new messages.

    Returns:
        The numbers of their campaigns, by name.
    """
    found: dict[str, list[Seen]] = {}
    for n, entry in added:
        for name in facets(entry.record, entry.fields)["campaign"]:
            second = stamp(entry.record.id)[0] // 1_000_000
            found.setdefault(name, []).append((n, second, _count(entry.record.notes)))
    return {name: _add(db, name, seen) for name, seen in found.items()}


def _add(db: sqlite3.Connection, name: str, seen: list[Seen]) -> int:
    known = db.execute(
        "SELECT number, archived, copies, first, last, hours FROM campaign WHERE name = ?", [pack_name(name)]
    ).fetchone()
    number, archived, copies, first, last, packed = known or (None, 0, 0, seen[0][1], 0, None)
    counts = dict(hours(packed, last, copies)) if known else {}
    for _, second, count in seen:
        # Most copies are dropped, and heard of only by the count of the next one that is archived.
        came = max(1, count - copies)
        copies = max(copies, count or copies + 1)
        hour = second - second % HOUR
        counts[hour] = counts.get(hour, 0) + came
        first, last = min(first, second), max(last, second)
    archived += len(seen)
    values = [
        number,
        pack_name(name),
        archived,
        max(copies, archived),
        first,
        last,
        seen[-1][0],
        _packed(counts),
    ]
    stored = db.execute(
        "INSERT INTO campaign VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET"
        " archived = excluded.archived, copies = excluded.copies, first = excluded.first,"
        " last = excluded.last, newest = excluded.newest, hours = excluded.hours",
        values,
    )
    return int(stored.lastrowid or 0) if number is None else int(number)


def forget(db: sqlite3.Connection, first: int, last: int, segment: int) -> None:
    """Take a segment's messages, which have numbers from `first` to `last`, out of the counts."""
    mine = "SELECT campaign, count(*) AS gone FROM message WHERE n BETWEEN ? AND ? AND segment = ?"
    db.execute(
        f"UPDATE campaign SET archived = archived - gone FROM ({mine} GROUP BY campaign) AS mine"  # noqa: S608
        " WHERE campaign.number = mine.campaign",
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


def pack_name(name: str) -> bytes | str:
    """A campaign's name as its row has it."""
    return bytes.fromhex(name) if _HEX.fullmatch(name) else name


def unpack_name(packed: bytes | str) -> str:
    """The name that `pack_name` made small."""
    return packed if isinstance(packed, str) else packed.hex()


def _count(notes: Mapping[str, Any]) -> int:
    """How many copies had been seen when a message came, as its stages noted it; 0: they did not."""
    for note in notes.values():
        if isinstance(note, Mapping) and "campaign" in note:
            count = note.get("count")
            return count if type(count) is int and 0 < count < 1 << 60 else 0
    return 0
