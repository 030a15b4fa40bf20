"""The words of the index: one contentless FTS5 table, a shelf, for each 2^18 numbers of messages.

Row ids are the messages' numbers, so that most of what is told of a word is small differences. A
search goes through the shelves newest first and stops when it has enough; a rare word is looked up
in each, that is four times for a million messages. Contentless tables can't delete rows before
SQLite 3.43: the words of forgotten messages stay, and find nothing, as nothing in the table
`message` has their numbers; a shelf without messages is dropped whole. So a number is never given twice.
"""

# ruff: noqa: S608 - what is put into SQL texts are our own column names and table numbers

import sqlite3
from collections.abc import Iterable
from itertools import groupby

from trap.archive.facts import token, tokens
from trap.archive.query import COLUMNS
from trap.archive.rows import Entry
from trap.archive.text import searchable
from trap.envelope import printable

BITS = 18
SCHEMA = (
    """CREATE TABLE shelf (
    number INTEGER PRIMARY KEY,         -- n >> 18
    records INTEGER NOT NULL,           -- numbers given
    state INTEGER NOT NULL DEFAULT 0)   -- 1: merged; 2: being dropped""",
)
_MERGED, _DROPPING = 1, 2
_WORDS = f"""CREATE VIRTUAL TABLE words_{{}} USING fts5 ({", ".join(COLUMNS)},
    content='', columnsize=0, tokenize='unicode61 remove_diacritics 2')"""
_SETTINGS = {"automerge": 16, "crisismerge": 128, "hashsize": 4 << 20}
"""Of FTS5: a full shelf is merged anyway, so before that words are merged less often than by default, which
takes a quarter off what they cost; and never all of a level at once, which would take seconds."""
_MERGE_PAGES = 200
"""Written in one step: some 10 ms."""
_DROP_PAGES = 2000
_MAX_ENVELOPE = 64 << 10
_MAX_URLS = 64 << 10


def table(shelf: object) -> str:
    """Name of a shelf's table."""
    return f"words_{shelf}"


def following(db: sqlite3.Connection) -> int:
    """The number that the next message gets."""
    last = db.execute("SELECT number, records FROM shelf ORDER BY number DESC LIMIT 1").fetchone()
    return (last[0] << BITS) + last[1] if last else 0


def numbers(db: sqlite3.Connection) -> list[int]:
    """The shelves that may be searched, newest first."""
    found = db.execute("SELECT number FROM shelf WHERE state < ? ORDER BY number DESC", [_DROPPING])
    return [number for (number,) in found]


def add(db: sqlite3.Connection, added: Iterable[tuple[int, Entry]]) -> None:
    """Take up the words of messages with new numbers."""
    for shelf, entries in groupby(added, lambda numbered: numbered[0] >> BITS):
        some = list(entries)
        if not db.execute("SELECT 1 FROM shelf WHERE number = ?", [shelf]).fetchone():
            db.execute(_WORDS.format(shelf))
            for name, value in _SETTINGS.items():
                db.execute(f"INSERT INTO {table(shelf)} ({table(shelf)}, rank) VALUES (?, ?)", [name, value])
        db.execute(
            "INSERT INTO shelf (number, records) VALUES (?1, ?2)"
            " ON CONFLICT DO UPDATE SET records = records + ?2",
            [shelf, len(some)],
        )
        db.executemany(
            f"INSERT INTO {table(shelf)} (rowid, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)})",
            ([n, *_words(entry)] for n, entry in some),
        )


def _words(entry: Entry) -> list[str]:
    envelope, fields = entry.record.envelope, entry.fields
    columns = (
        fields.subject,
        "\n".join([printable(envelope.mail_from), *fields.senders]),
        "\n".join([*map(printable, envelope.rcpt_tos), *fields.recipients]),
        "\n".join(file.name for file in fields.attachments),
        f"{printable(envelope.client_ip)}\n{printable(envelope.helo or '')}",
    )
    words = [searchable(column, _MAX_ENVELOPE) for column in columns]
    urls = searchable("\n".join(fields.urls), _MAX_URLS)
    facts = [size_fact(len(entry.record.message).bit_length()), *tokens(entry.record, fields, entry.counted)]
    return [*words, fields.text, urls, " ".join(facts)]


def size_fact(bits: int) -> str:
    """The fact that a message's size has so many bits."""
    return token("size", str(bits))


def tidy(db: sqlite3.Connection) -> bool:
    """Do one step of merging a full shelf or dropping an empty one; returns whether there is more to do."""
    last = (following(db) - 1) >> BITS
    for number, state in db.execute("SELECT number, state FROM shelf WHERE number < ?", [last]).fetchall():
        if state == _DROPPING:
            _drop_some(db, number)
        elif not db.execute(
            "SELECT 1 FROM message WHERE n BETWEEN ? AND ? LIMIT 1",
            [number << BITS, ((number + 1) << BITS) - 1],
        ).fetchone():
            _mark(db, number, _DROPPING)
        elif state != _MERGED:
            _merge_some(db, number)
        else:
            continue
        return True
    return False


def _mark(db: sqlite3.Connection, number: int, state: int) -> None:
    db.execute("UPDATE shelf SET state = ? WHERE number = ?", [state, number])


def _merge_some(db: sqlite3.Connection, number: int) -> None:
    """One step of what 'optimize' does at once, for many seconds."""
    words = table(number)
    before = db.total_changes
    db.execute(f"INSERT INTO {words} ({words}, rank) VALUES ('merge', ?)", [_MERGE_PAGES])
    if db.total_changes - before < 2:  # FTS5's manual, 6.6: then there was nothing to do
        _mark(db, number, _MERGED)


def _drop_some(db: sqlite3.Connection, number: int) -> None:
    """Let go of a part of a table that nobody looks at any more, or of what is left of it."""
    pages = f"{table(number)}_data"
    gone = db.execute(
        f"DELETE FROM {pages} WHERE id IN (SELECT id FROM {pages} WHERE id > 10 LIMIT ?)", [_DROP_PAGES]
    ).rowcount
    if gone < _DROP_PAGES:
        db.execute(f"DROP TABLE {table(number)}")
        db.execute("DELETE FROM shelf WHERE number = ?", [number])
