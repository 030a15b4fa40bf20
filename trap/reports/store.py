"""The file of a book, and what is read from it."""

import errno
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from trap.fsio import create, link, unlink
from trap.job import Job
from trap.reports.held import Held
from trap.reports.report import Report, State

BUSY = 5.0
"""Seconds to wait for others that write the same book."""
MAX_LOG = 16 << 20
"""Bytes of SQLite's log of what was written that are kept on the disk when it is done."""
SUFFIX = ".db"

_PASSING = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
}
"""What SQLite says of trouble that ends by itself."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS report (
    id TEXT PRIMARY KEY, recipient TEXT NOT NULL, campaign TEXT NOT NULL, state TEXT NOT NULL,
    jobs INTEGER NOT NULL DEFAULT 0, later INTEGER NOT NULL DEFAULT 0, carried INTEGER NOT NULL DEFAULT 0,
    base INTEGER NOT NULL DEFAULT 0, count INTEGER NOT NULL DEFAULT 0,
    first REAL NOT NULL, last REAL NOT NULL, created REAL NOT NULL, changed REAL NOT NULL, due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, released INTEGER NOT NULL DEFAULT 0, word TEXT NOT NULL DEFAULT '',
    sent REAL NOT NULL DEFAULT 0, doubtful INTEGER NOT NULL DEFAULT 0, begun INTEGER NOT NULL DEFAULT 0,
    text BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS of_campaign ON report (campaign, recipient, created);
CREATE INDEX IF NOT EXISTS in_state ON report (state, due);
CREATE INDEX IF NOT EXISTS by_change ON report (changed);
CREATE INDEX IF NOT EXISTS by_sending ON report (sent);
CREATE TABLE IF NOT EXISTS copy (report TEXT, job TEXT, data BLOB, PRIMARY KEY (report, job)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reached (report TEXT, trap BLOB, PRIMARY KEY (report, trap)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (job TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_FIELDS = """id, recipient, campaign, state, max(jobs + carried, count - base) AS weight, first, last,
    created, changed, due, attempts, released, word, sent, doubtful, begun,
    (SELECT count(*) FROM reached WHERE report = id) AS traps"""


class Store:
    """A book to read.

    Args:
        directory: of all books.
        queue: the reporter's.
        patience: seconds to wait for others that write it.

    All of its methods raise OSError when it can't be read or written.

    Raises:
        OSError: it can't be opened, or is damaged.
    """

    def __init__(self, directory: Path, queue: str, patience: float = BUSY) -> None:
        self.path = directory / f"{queue}{SUFFIX}"
        self.held = Held(directory, queue)
        try:
            if not self.path.exists():
                self._make()
            self._db = sqlite3.connect(self.path, timeout=patience, isolation_level=None)
            self._db.execute(f"PRAGMA journal_size_limit = {MAX_LOG}")
            self._db.execute("PRAGMA synchronous = normal")
            self._db.execute("SELECT 1 FROM report, copy, reached, seen LIMIT 1")
        except sqlite3.Error as error:
            raise self._told(error) from error
        self._db.row_factory = sqlite3.Row
        self._pack = zstandard.ZstdCompressor(level=3)

    def _make(self) -> None:
        """An empty book; it is complete when it gets its name, for others may make it just now."""
        new = f"{self.path}-{os.urandom(4).hex()}"
        os.close(create(new))  # SQLite's other files get the permissions of this one
        try:
            with closing(sqlite3.connect(new, isolation_level=None)) as db:
                db.execute("PRAGMA auto_vacuum = incremental")
                db.execute("PRAGMA journal_mode = wal")
                db.executescript(_SCHEMA)
            link(new, str(self.path), sync=True)
        finally:
            unlink(new)

    @staticmethod
    def queues(directory: Path) -> list[str]:
        """The reporters that have a book."""
        with suppress(FileNotFoundError):
            return sorted(path.stem for path in directory.glob(f"*{SUFFIX}"))
        return []

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def due(self, limit: int, without: Sequence[str] = ()) -> list[Report]:
        """Reports whose time has come, the longest due first; what a person wants taken back before all."""
        marks = ", ".join("?" * len(without))
        found: list[Report] = []
        for state in ("retracting", "gathering"):  # each by the index: there may be thousands
            rows = self._rows(
                f"SELECT {_FIELDS} FROM report WHERE state = ? AND due <= ?"  # noqa: S608
                f" AND id NOT IN ({marks}) ORDER BY due LIMIT ?",
                (state, time.time(), *without, limit - len(found)),
            )
            found += map(_report, rows)
        return found

    def copies(self, report: str) -> list[Job]:
        """The copies that are kept of a report's campaign, the oldest first."""
        rows = self._rows("SELECT job, data FROM copy WHERE report = ? ORDER BY job", (report,))
        unpack = zstandard.ZstdDecompressor()
        return [Job.decode(row["job"], unpack.decompress(row["data"])) for row in rows]

    def sent_since(self, moment: float) -> list[float]:
        """When reports were sent since then, the oldest first."""
        return [
            row[0] for row in self._rows("SELECT sent FROM report WHERE sent > ? ORDER BY sent", (moment,))
        ]

    def waiting(self) -> int:
        """How many reports are not sent yet."""
        (row,) = self._rows("SELECT count(*) FROM report WHERE state = 'gathering'")
        return int(row[0])

    def size(self) -> int:
        """Bytes that are in use in its file; what was forgotten is filled again, and given back slowly."""
        page, pages, free = (
            self._rows(f"PRAGMA {what}")[0][0] for what in ("page_size", "page_count", "freelist_count")
        )
        return int(page * (pages - free))

    def reports(
        self, states: Sequence[State] = (), campaign: str = "", recipient: str = "", limit: int = 100
    ) -> list[Report]:
        """Reports, the newest first.

        Args:
            states: those in these states only.
            campaign: those of this campaign only.
            recipient: those to this recipient only.
            limit: at most so many.
        """
        wanted, values = ["1"], list[str]()
        if states:
            wanted.append(f"state IN ({', '.join('?' * len(states))})")
            values += states
        for column, value in (("campaign", campaign), ("recipient", recipient)):
            if value:
                wanted.append(f"{column} = ?")
                values.append(value)
        rows = self._rows(
            f"SELECT {_FIELDS} FROM report WHERE {' AND '.join(wanted)} ORDER BY changed DESC, id LIMIT ?",  # noqa: S608
            (*values, limit),
        )
        return [_report(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many reports there are in each state."""
        return {row[0]: row[1] for row in self._rows("SELECT state, count(*) FROM report GROUP BY state")}

    def find(self, begin: str) -> list[Report]:
        """Reports whose id begins so."""
        if not begin.isalnum():
            return []
        rows = self._rows(f"SELECT {_FIELDS} FROM report WHERE id GLOB ? LIMIT 10", (f"{begin}*",))  # noqa: S608
        return [_report(row) for row in rows]

    def text(self, report: str) -> bytes:
        """What was sent, to the byte; empty when nothing was, or it told check sums only."""
        for row in self._rows("SELECT text FROM report WHERE id = ? AND text IS NOT NULL", (report,)):
            return zstandard.ZstdDecompressor().decompress(row["text"])
        return b""

    def _rows(self, question: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """What is found."""
        try:
            return self._db.execute(question, values).fetchall()
        except sqlite3.Error as error:
            raise self._told(error) from error

    def _change(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Change rows; how many."""
        try:
            return self._db.execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise self._told(error) from error

    def _script(self, statements: str) -> None:
        """Have statements carried out to their ends."""
        try:
            self._db.executescript(statements)
        except sqlite3.Error as error:
            raise self._told(error) from error

    def _told(self, error: sqlite3.Error) -> OSError:
        """For people: what is wrong, and what to do where it does not pass by itself."""
        text = f"{self.path}: {error}"
        if not isinstance(error, sqlite3.OperationalError):  # those are of locks and room
            text += "; it says what was sent: bring back a copy, or move it away and much may be sent again"
        told = OSError(text)
        told.errno = _PASSING.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        return told


def _report(row: sqlite3.Row) -> Report:
    return msgspec.convert(dict(row), Report, strict=False)
