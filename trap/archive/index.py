"""The index: one SQLite file that finds messages in the segments, and can be thrown away.

* A message's key is made of its job id, so keys sort by time. The rows of `message` lie in that
  order on disk, a page of a list is `key < ? ORDER BY key DESC LIMIT ?`, and neither OFFSET nor
  COUNT(*) is ever needed, also with ten million rows.
* Words are in one contentless FTS5 table a segment, with the same keys as row ids: a search goes
  through them newest first and stops when it has enough; a segment that is dropped takes its
  table along, with no row deleted from any other. (Contentless tables can't delete rows before
  SQLite 3.43.)
* How far a segment is indexed is committed together with the rows, so nothing is indexed twice
  or left out, whoever is killed when.
* A rebuilt index is a new file with the next number; who has the old one open goes on to it.
"""

# ruff: noqa: S608 - what is put into SQL texts are our own column names and table numbers

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from trap import fsio
from trap.archive.fields import Fields
from trap.archive.query import packed_ip
from trap.archive.record import Record, campaign_of
from trap.archive.text import searchable
from trap.archive.writer import Place
from trap.envelope import printable
from trap.job import ID_DIGITS

_FILE = re.compile(r"index-(\d+)\.db")
_VERSION = 1
"""Of the tables below. An index of another version is made anew: spamtrap archive reindex."""
_BUSY = 30.0
_RANDOM_BITS = 11
"""Of the random part of an id, in its key. With 52 bits of microseconds they last until 2112."""
_MAX_KEY = (1 << 63) - 1
_MAX_ENVELOPE = 64 << 10

_SCHEMA = """
CREATE TABLE segment (
    n INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
    indexed_to INTEGER NOT NULL DEFAULT 0,      -- byte of the segment
    complete INTEGER NOT NULL DEFAULT 0,        -- sealed, and indexed to its end
    records INTEGER NOT NULL DEFAULT 0, message_bytes INTEGER NOT NULL DEFAULT 0,
    first INTEGER NOT NULL DEFAULT 0, last INTEGER NOT NULL DEFAULT 0);     -- keys
CREATE TABLE message (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL,
    size INTEGER NOT NULL, sha256 BLOB NOT NULL, ip BLOB, client_ip TEXT NOT NULL, helo TEXT NOT NULL,
    mail_from TEXT NOT NULL, rcpt_tos TEXT NOT NULL, subject TEXT NOT NULL, sender TEXT NOT NULL,
    campaign TEXT, attachments INTEGER NOT NULL, defects TEXT NOT NULL);
CREATE INDEX message_segment ON message (segment);
CREATE INDEX message_ip ON message (ip) WHERE ip IS NOT NULL;
CREATE INDEX message_campaign ON message (campaign) WHERE campaign IS NOT NULL;
"""
_WORDS = """CREATE VIRTUAL TABLE words_{} USING fts5 (subject, sender, recipient, attachment, origin, body,
    content='', columnsize=0, tokenize='unicode61 remove_diacritics 2')"""

encode_json = msgspec.json.Encoder().encode


class Entry(NamedTuple):
    """A record on its way into the index."""

    record: Record
    offset: int
    fields: Fields


class Known(NamedTuple):
    """What the index knows of a segment."""

    n: int
    name: str
    indexed_to: int
    complete: bool
    records: int
    message_bytes: int
    first: int
    last: int


def key_of(job_id: str) -> int:
    """The key of a job, but for the rare case that another one has it already."""
    random_part = int(job_id[ID_DIGITS:], 16) >> (32 - _RANDOM_BITS)
    return min((int(job_id[:ID_DIGITS]) << _RANDOM_BITS) | random_part, _MAX_KEY)


def key_at(seconds: float) -> int:
    """The smallest key of a job accepted at `seconds` since the epoch or later."""
    return max(0, min(int(min(seconds, 1e11) * 1_000_000) << _RANDOM_BITS, _MAX_KEY))


def index_files(directory: Path) -> list[Path]:
    """The index files of an archive, the one in use last."""
    numbered = [
        (int(m[1]), path) for path in directory.glob("index-*.db") if (m := _FILE.fullmatch(path.name))
    ]
    return [path for _, path in sorted(numbered)]


class Index:
    """One connection to an archive's index.

    Args:
        path: the database file; made when it is not there.

    Raises:
        sqlite3.Error: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None)
        try:
            self.db.execute("PRAGMA synchronous = NORMAL")
            self.db.execute("PRAGMA cache_size = -65536")
            if not self._made():
                self.db.execute("PRAGMA journal_mode = WAL")
                self._make()
            if self.db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise sqlite3.DatabaseError("made by another version of spamtrap")
        except BaseException:
            self.db.close()
            raise

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the index of an archive, a new one if there is none."""
        files = index_files(directory)
        return cls(files[-1] if files else directory / "index-1.db")

    def _made(self) -> bool:
        return bool(self.db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'message'").fetchone())

    def _make(self) -> None:
        with self.transaction():
            if not self._made():  # another process was faster
                for statement in _SCHEMA.split(";"):
                    self.db.execute(statement)
                self.db.execute(f"PRAGMA user_version = {_VERSION}")

    @property
    def replaced(self) -> bool:
        """Whether a rebuilt index has taken the place of this one: open it anew."""
        return index_files(self.path.parent)[-1:] != [self.path]

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; one writer at a time, others wait for half a minute."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def segments(self) -> dict[str, Known]:
        """What is known of every segment, by name."""
        return {known.name: known for known in self._known()}

    def places(self, ids: Sequence[str]) -> dict[str, Place]:
        """Where those of the jobs are that are indexed."""
        rows = self.db.execute(
            "SELECT m.id, s.name, m.offset, m.sha256 FROM json_each(?) AS asked JOIN message AS m"
            " ON m.key BETWEEN asked.value ->> 0 AND (asked.value ->> 0) + 15 AND m.id = asked.value ->> 1"
            " JOIN segment AS s ON s.n = m.segment",
            [encode_json([[key_of(job_id), job_id] for job_id in ids]).decode()],
        )
        return {job_id: Place(*place) for job_id, *place in rows}

    def add(self, name: str, since: int, until: int, entries: Iterable[Entry], complete: bool) -> bool:
        """Index records of a segment.

        Args:
            name: of the segment.
            since: how far it was indexed when the records were read.
            until: how far it is now.
            entries: what lies between.
            complete: it is sealed and this is its end.

        Returns:
            False, and nothing is done, when the segment is not indexed to `since`: another process did it.
        """
        with self.transaction():
            self.db.execute("INSERT OR IGNORE INTO segment (name) VALUES (?)", [name])
            known = self._known("WHERE name = ?", [name])[0]
            if known.indexed_to != since:
                return False
            if not known.indexed_to:
                self.db.execute(_WORDS.format(known.n))
            added = [(key, entry) for entry in entries if (key := self._insert(known.n, entry))]
            keys = [key for key, _ in added]
            self.db.execute(
                "UPDATE segment SET indexed_to = ?, complete = ?, records = ?, message_bytes = ?,"
                " first = ?, last = ? WHERE n = ?",
                [
                    until,
                    complete,
                    known.records + len(added),
                    known.message_bytes + sum(len(entry.record.message) for _, entry in added),
                    min([known.first, *keys] if known.first else keys, default=0),
                    max([known.last, *keys]),
                    known.n,
                ],
            )
        if complete:
            self.db.execute(f"INSERT INTO words_{known.n} (words_{known.n}) VALUES ('optimize')")
        return True

    def forget(self, name: str) -> None:
        """Drop all that is known of a segment: it was dropped, or must be read again."""
        with self.transaction():
            row = self.db.execute("SELECT n FROM segment WHERE name = ?", [name]).fetchone()
            if row:
                self.db.execute(f"DROP TABLE IF EXISTS words_{row[0]}")
                self.db.execute("DELETE FROM message WHERE segment = ?", row)
                self.db.execute("DELETE FROM segment WHERE n = ?", row)

    def _known(self, where: str = "", values: Sequence[object] = ()) -> list[Known]:
        rows = self.db.execute(f"SELECT {', '.join(Known._fields)} FROM segment {where}", values)
        return [Known(*row) for row in rows]

    def _insert(self, n: int, entry: Entry) -> int | None:
        """Add one record; None when its job is in the index already, archived twice around a crash."""
        key = key_of(entry.record.id)
        while taken := self.db.execute("SELECT id FROM message WHERE key = ?", [key]).fetchone():
            if taken[0] == entry.record.id:
                return None
            key += 1
        self.db.execute(_INSERT, [key, entry.record.id, n, *_row(entry)])
        self.db.execute(
            f"INSERT INTO words_{n} (rowid, subject, sender, recipient, attachment, origin, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [key, *_words(entry)],
        )
        return key


_INSERT = "INSERT INTO message VALUES (" + ", ".join("?" * 16) + ")"


def _row(entry: Entry) -> list[object]:
    record, offset, fields = entry
    envelope = record.envelope
    campaign = campaign_of(record.notes)
    rcpt_tos = [printable(address) for address in envelope.rcpt_tos]
    return [
        offset,
        len(record.message),
        record.sha256,
        packed_ip(envelope.client_ip),
        printable(envelope.client_ip),
        printable(envelope.helo or ""),
        printable(envelope.mail_from),
        encode_json(rcpt_tos).decode(),
        fields.subject,
        fields.senders[0] if fields.senders else "",
        None if campaign is None else printable(campaign),
        len(fields.attachments),
        "; ".join(fields.defects),
    ]


def _words(entry: Entry) -> list[str]:
    envelope, fields = entry.record.envelope, entry.fields
    campaign = campaign_of(entry.record.notes)
    files = [f"{file.name} {file.sha256}" for file in fields.attachments]
    columns = (
        fields.subject,
        "\n".join([printable(envelope.mail_from), *fields.senders]),
        "\n".join([*map(printable, envelope.rcpt_tos), *fields.recipients]),
        "\n".join(files),
        "\n".join(map(printable, (envelope.client_ip, envelope.helo or "", campaign or ""))),
    )
    return [*(searchable(column, _MAX_ENVELOPE) for column in columns), fields.text]


def replace(directory: Path, rebuilt: Path) -> None:
    """Let a rebuilt index, closed, take the place of the one in use."""
    old = index_files(directory)
    number = int(old[-1].stem.removeprefix("index-")) + 1 if old else 1
    fsio.rename(str(rebuilt), str(directory / f"index-{number}.db"), sync=True)
    for file in old:
        for suffix in ("", "-wal", "-shm", "-parsing"):
            fsio.unlink(os.fspath(file) + suffix)
