"""A message in the index: what lists show of it, and what it is counted by.

Nothing is held twice. An id is the time in microseconds and a random number; a value that messages
are counted by is the number of a text (trap.archive.values).
"""

# ruff: noqa: S608 - what is put into SQL texts are our own column names

from typing import NamedTuple

import msgspec

from trap.archive.facts import FACETS
from trap.archive.fields import Fields
from trap.archive.record import Record
from trap.archive.values import Values, pack_address, pack_name, unpack_address
from trap.envelope import printable
from trap.job import ID_DIGITS

COUNTED = FACETS
"""Columns that messages are counted by."""
SCHEMA = (
    f"""CREATE TABLE message (
    n INTEGER PRIMARY KEY, {", ".join(f"{name} INTEGER" for name in COUNTED)},
    time INTEGER NOT NULL, random INTEGER NOT NULL,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL, attachments INTEGER NOT NULL,
    sha256 BLOB NOT NULL, client_ip BLOB NOT NULL, helo TEXT NOT NULL, mail_from TEXT NOT NULL,
    rcpt_tos TEXT NOT NULL, subject TEXT NOT NULL, sender TEXT NOT NULL, defects TEXT NOT NULL)""",
    "CREATE INDEX message_time ON message (time)",
)
INSERT = f"INSERT INTO message VALUES ({', '.join('?' * (15 + len(COUNTED)))})"
_HALF = 1 << 31
"""Taken from the random part of an id: SQLite keeps 32 bits with a sign in four bytes."""

_encode = msgspec.json.Encoder().encode


class Entry(NamedTuple):
    """A record on its way into the index."""

    record: Record
    offset: int
    fields: Fields
    counted: dict[str, list[str]]
    """What it is counted by: its facets."""


def stamp(job_id: str) -> tuple[int, int]:
    """What a row has of an id."""
    return int(job_id[:ID_DIGITS]), int(job_id[ID_DIGITS:], 16) - _HALF


def job_id(time: int, random: int) -> str:
    """The id that `stamp` took apart."""
    return f"{time:0{ID_DIGITS}d}{random + _HALF:08x}"


def row(n: int, segment: int, entry: Entry, values: Values) -> list[object]:
    """The columns of a message."""
    record, offset, fields, counted = entry
    envelope = record.envelope
    rcpt_tos = [printable(address) for address in envelope.rcpt_tos]
    return [
        n,
        *(values.number(counted[name]) for name in COUNTED if name != "campaign"),
        pack_name(counted["campaign"][0]) if counted["campaign"] else None,
        *stamp(record.id),
        segment,
        offset,
        len(record.message),
        len(fields.attachments),
        record.sha256,
        packed_ip(printable(envelope.client_ip)),
        printable(envelope.helo or ""),
        printable(envelope.mail_from),
        rcpt_tos[0] if len(rcpt_tos) == 1 and rcpt_tos[0][:1] != "[" else _encode(rcpt_tos).decode(),
        fields.subject,
        fields.senders[0] if fields.senders else "",
        "; ".join(fields.defects),
    ]


def packed_ip(text: str) -> bytes | str:
    """An address in 4 or 16 bytes when that says all; else the text as it is.

    >>> packed_ip("192.0.2.1").hex(), packed_ip("unix:/run/x")
    ('c0000201', 'unix:/run/x')
    """
    packed = pack_address(text)
    return text if packed is None else packed


def unpacked_ip(packed: bytes | str) -> str:
    """What `packed_ip` was made of."""
    return packed if isinstance(packed, str) else unpack_address(packed)


def recipients(packed: str) -> list[str]:
    """The recipients as a row has them: a lone one is not made JSON of."""
    if packed[:1] != "[":
        return [packed]
    found: list[str] = msgspec.json.decode(packed, type=list[str])
    return found
