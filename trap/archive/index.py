"""The index: one SQLite file that finds messages in the segments, and can be thrown away.

* A message's number `n` is one more than that of the message indexed before, and never given twice.
  Newest first is `n` downwards: a page of a list is `n < ? ORDER BY n DESC LIMIT ?`, and neither
  OFFSET nor COUNT(*) is ever needed, also with ten million rows.
* A block is 512 numbers, and `block` says from when its messages are: so a date becomes a range of
  numbers, and a count by numbers a count over time.
* Words and exact facts lie in FTS5 tables of 2^18 numbers each (trap.archive.shelves).
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

from trap import fsio
from trap.archive import campaigns, rows, shelves
from trap.archive.questions import Questions, TooSlow
from trap.archive.rows import Entry
from trap.archive.values import Values
from trap.archive.writer import Place

__all__ = ["BLOCK_BITS", "MAX_NUMBER", "Index", "Known", "TooSlow", "index_files", "replace"]

_FILE = re.compile(r"index-(\d+)\.db")
_VERSION = 2
"""Of the tables below. An index of another version is made anew: spamtrap archive reindex."""
_BUSY = 30.0
_STATEMENTS = 512
"""Prepared statements kept by a connection: each shelf has its own."""
BLOCK_BITS = 9
MAX_NUMBER = (1 << 62) - 1

_SETTINGS = """
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -65536;
PRAGMA mmap_size = 1073741824;
PRAGMA secure_delete = OFF;
"""
_SCHEMA = (
    """CREATE TABLE segment (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
    indexed_to INTEGER NOT NULL DEFAULT 0,      -- byte of the segment
    complete INTEGER NOT NULL DEFAULT 0,        -- sealed, and indexed to its end
    records INTEGER NOT NULL DEFAULT 0, message_bytes INTEGER NOT NULL DEFAULT 0,
    first INTEGER NOT NULL DEFAULT 0, last INTEGER NOT NULL DEFAULT 0)      -- numbers of messages""",
    """CREATE TABLE block (
    number INTEGER PRIMARY KEY,                         -- n >> BLOCK_BITS
    since INTEGER NOT NULL, until INTEGER NOT NULL,     -- when its first and last were accepted, in us
    records INTEGER NOT NULL)""",
    *rows.SCHEMA,
    *campaigns.SCHEMA,
    *shelves.SCHEMA,
    *Values.SCHEMA,
)
_STAMPED = "SELECT {} FROM message WHERE time = ? AND random = ?"
_BLOCKS = f"""INSERT INTO block SELECT n >> {BLOCK_BITS} AS number, min(time), max(time), count(*)
    FROM message WHERE n BETWEEN ? AND ? GROUP BY number
    ON CONFLICT DO UPDATE SET since = min(since, excluded.since), until = max(until, excluded.until),
    records = records + excluded.records"""


class Known(NamedTuple):
    """What the index knows of a segment."""

    number: int
    name: str
    indexed_to: int
    complete: bool
    records: int
    message_bytes: int
    first: int
    """Number of its first message."""
    last: int


def index_files(directory: Path) -> list[Path]:
    """The index files of an archive, the one in use last."""
    numbered = [
        (int(m[1]), path) for path in directory.glob("index-*.db") if (m := _FILE.fullmatch(path.name))
    ]
    return [path for _, path in sorted(numbered)]


class Index(Questions):
    """One connection to an archive's index.

    Args:
        path: the database file; made when it is not there.

    Raises:
        sqlite3.Error: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            sqlite3.connect(
                path,
                timeout=_BUSY,
                isolation_level=None,
                cached_statements=_STATEMENTS,
                check_same_thread=False,  # used by one at a time, but closed by whoever ends that one
            )
        )
        self.values = Values(self.db)
        try:
            for setting in _SETTINGS.split(";"):
                self.db.execute(setting)
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
        while True:
            path = next(reversed(index_files(directory)), directory / "index-1.db")
            try:
                return cls(path)
            except sqlite3.OperationalError:
                # RACE: a rebuilt index took its place after we had looked for it (test_all_at_once).
                if index_files(directory)[-1:] in ([], [path]):
                    raise

    def _made(self) -> bool:
        return bool(self.db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'message'").fetchone())

    def _make(self) -> None:
        with self.transaction():
            if not self._made():  # another process was faster
                for statement in _SCHEMA:
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
            self.values.forget()
            raise
        self.db.execute("COMMIT")

    def segments(self) -> dict[str, Known]:
        """What is known of every segment, by name."""
        return {known.name: known for known in self._known()}

    def places(self, ids: Sequence[str]) -> dict[str, Place]:
        """Where those of the jobs are that are indexed."""
        names = {known.number: known.name for known in self._known()}
        places = {}
        for job_id in ids:
            row = self.db.execute(
                "SELECT segment, offset, sha256 FROM message WHERE time = ? AND random = ?",
                rows.stamp(job_id),
            ).fetchone()
            if row:
                places[job_id] = Place(names[row[0]], *row[1:])
        return places

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
            added = self._new(entries)
            self._insert(known.number, added)
            first = known.first if known.records or not added else added[0][0]
            self.db.execute(
                "UPDATE segment SET indexed_to = ?, complete = ?, records = records + ?,"
                " message_bytes = message_bytes + ?, first = ?, last = ? WHERE number = ?",
                [
                    until,
                    complete,
                    len(added),
                    sum(len(entry.record.message) for _, entry in added),
                    first,
                    added[-1][0] if added else known.last,
                    known.number,
                ],
            )
        return True

    def _new(self, entries: Iterable[Entry]) -> list[tuple[int, Entry]]:
        """Those that are not in the index already, archived twice around a crash, with their numbers."""
        newest = self.db.execute("SELECT max(time) FROM message").fetchone()[0] or 0
        fresh: dict[str, Entry] = {}
        for entry in entries:
            stamp = rows.stamp(entry.record.id)
            if stamp[0] > newest or not self.db.execute(_STAMPED.format("1"), stamp).fetchone():
                fresh.setdefault(entry.record.id, entry)
        return list(enumerate(fresh.values(), shelves.following(self.db)))

    def _insert(self, segment: int, added: list[tuple[int, Entry]]) -> None:
        if not added:
            return
        campaigns.add(self.db, added)
        self.db.executemany(rows.INSERT, (rows.row(n, segment, entry, self.values) for n, entry in added))
        shelves.add(self.db, added)
        self.db.execute(_BLOCKS, [added[0][0], added[-1][0]])

    def forget(self, name: str) -> None:
        """Drop all that is known of a segment: it was dropped, or must be read again.

        Its words stay, unseen, until all messages of their shelf are gone.
        """
        with self.transaction():
            for known in self._known("WHERE name = ?", [name]):
                begin, end = known.first >> BLOCK_BITS, known.last >> BLOCK_BITS
                mine = [known.first, known.last, known.number]
                campaigns.forget(self.db, *mine)
                self.db.execute("DELETE FROM message WHERE n BETWEEN ? AND ? AND segment = ?", mine)
                self.db.execute("DELETE FROM block WHERE number BETWEEN ? AND ?", [begin, end])
                self.db.execute(_BLOCKS, [begin << BLOCK_BITS, ((end + 1) << BLOCK_BITS) - 1])
                self.db.execute("DELETE FROM segment WHERE number = ?", [known.number])

    def tidy(self) -> bool:
        """Do a small piece of what can wait: nobody who writes meanwhile waits long.

        Returns:
            Whether there is more to do.
        """
        with self.transaction():
            return shelves.tidy(self.db)

    def numbered(self) -> int:
        """How many messages take room: also those that are forgotten, as long as their words are there."""
        return int(self.db.execute("SELECT total(records) FROM shelf").fetchone()[0])

    def used(self) -> int:
        """Bytes of the file that are in use."""
        pages, free, size = (
            self.db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int(pages - free) * int(size)

    def used_by_rows(self) -> int | None:
        """Bytes of all that is not words; reads all rows. None when this SQLite can't tell (no dbstat)."""
        tables = self.db.execute("SELECT name FROM sqlite_schema WHERE rootpage > 0").fetchall()
        words = shelves.table("")
        try:
            found = [
                self.db.execute(
                    "SELECT pgsize FROM dbstat WHERE name = ? AND aggregate = 1", table
                ).fetchone()[0]
                for table in tables
                if not table[0].startswith(words)
            ]
        except sqlite3.OperationalError:
            return None
        return sum(map(int, found))

    def offsets(self, known: Known) -> dict[int, str]:
        """Where the messages of a segment are, as the index has it: their ids by offset."""
        found = self.db.execute(
            "SELECT offset, time, random FROM message WHERE n BETWEEN ? AND ? AND segment = ?",
            [known.first, known.last, known.number],
        )
        return {offset: rows.job_id(*stamp) for offset, *stamp in found}

    def _known(self, where: str = "", values: Sequence[object] = ()) -> list[Known]:
        found = self.db.execute(f"SELECT {', '.join(Known._fields)} FROM segment {where}", values)
        return [Known(*row) for row in found]


def replace(directory: Path, rebuilt: Path) -> None:
    """Let a rebuilt index, closed, take the place of the one in use."""
    old = index_files(directory)
    number = int(old[-1].stem.removeprefix("index-")) + 1 if old else 1
    fsio.rename(str(rebuilt), str(directory / f"index-{number}.db"), sync=True)
    for file in old:
        for suffix in ("", "-wal", "-shm", "-parsing"):
            fsio.unlink(os.fspath(file) + suffix)
