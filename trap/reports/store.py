"""The file of a book, and what is read from it."""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import zstandard

from trap.job import Job
from trap.reports.held import Held
from trap.reports.report import Report, State

BUSY = 5.0
"""Seconds to wait for others that write the same book."""
SUFFIX = ".db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS report (
    id TEXT PRIMARY KEY, recipient TEXT NOT NULL, campaign TEXT NOT NULL, state TEXT NOT NULL,
    jobs INTEGER NOT NULL DEFAULT 0, later INTEGER NOT NULL DEFAULT 0, carried INTEGER NOT NULL DEFAULT 0,
    base INTEGER NOT NULL DEFAULT 0, count INTEGER NOT NULL DEFAULT 0,
    first REAL NOT NULL, last REAL NOT NULL, created REAL NOT NULL, changed REAL NOT NULL, due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, released INTEGER NOT NULL DEFAULT 0, word TEXT NOT NULL DEFAULT '',
    sent REAL NOT NULL DEFAULT 0, text BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS of_campaign ON report (campaign, recipient, created);
CREATE INDEX IF NOT EXISTS in_state ON report (state, due);
CREATE INDEX IF NOT EXISTS by_change ON report (changed);
CREATE INDEX IF NOT EXISTS by_sending ON report (sent);
CREATE TABLE IF NOT EXISTS copy (report TEXT, job TEXT, data BLOB, PRIMARY KEY (report, job)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (job TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_FIELDS = """id, recipient, campaign, state, max(jobs + carried, count - base) AS weight, first, last,
    created, changed, due, attempts, released, word, sent"""


class Store:
    """A book to read.

    Args:
        directory: of all books.
        queue: the reporter's.

    Raises:
        OSError: it can't be opened, or is damaged.
    """

    def __init__(self, directory: Path, queue: str) -> None:
        self.path = directory / f"{queue}{SUFFIX}"
        self.held = Held(directory, queue)
        try:
            self._db = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = wal")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise OSError(f"{self.path}: {error}") from error
        self.path.chmod(0o600)
        self._db.row_factory = sqlite3.Row
        self._pack = zstandard.ZstdCompressor(level=3)

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
        rows = self._db.execute(
            f"SELECT {_FIELDS} FROM report WHERE state IN ('gathering', 'retracting') AND due <= ?"  # noqa: S608
            f" AND id NOT IN ({marks}) ORDER BY state DESC, due LIMIT ?",
            (time.time(), *without, limit),
        )
        return [_report(row) for row in rows]

    def next_due(self) -> float:
        """When the next report is due; infinity when none is."""
        row = self._db.execute(
            "SELECT min(due) FROM report WHERE state IN ('gathering', 'retracting')"
        ).fetchone()
        return row[0] if row[0] is not None else float("inf")

    def copies(self, report: str) -> list[Job]:
        """The copies that are kept of a report's campaign, the oldest first."""
        rows = self._db.execute("SELECT job, data FROM copy WHERE report = ? ORDER BY job", (report,))
        unpack = zstandard.ZstdDecompressor()
        return [Job.decode(row["job"], unpack.decompress(row["data"])) for row in rows]

    def sent_since(self, moment: float) -> list[float]:
        """When reports were sent since then, the oldest first."""
        rows = self._db.execute("SELECT sent FROM report WHERE sent > ? ORDER BY sent", (moment,))
        return [row[0] for row in rows]

    def waiting(self) -> int:
        """How many reports are not sent yet."""
        found: int = self._db.execute("SELECT count(*) FROM report WHERE state = 'gathering'").fetchone()[0]
        return found

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
        rows = self._db.execute(
            f"SELECT {_FIELDS} FROM report WHERE {' AND '.join(wanted)} ORDER BY changed DESC, id LIMIT ?",  # noqa: S608
            (*values, limit),
        )
        return [_report(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many reports there are in each state."""
        rows = self._db.execute("SELECT state, count(*) FROM report GROUP BY state")
        return {row[0]: row[1] for row in rows}

    def find(self, begin: str) -> list[Report]:
        """Reports whose id begins so."""
        if not begin.isalnum():
            return []
        rows = self._db.execute(f"SELECT {_FIELDS} FROM report WHERE id GLOB ? LIMIT 10", (f"{begin}*",))  # noqa: S608
        return [_report(row) for row in rows]

    def text(self, report: str) -> bytes:
        """What was sent, to the byte; empty when nothing was, or it told check sums only."""
        row = self._db.execute("SELECT text FROM report WHERE id = ?", (report,)).fetchone()
        return zstandard.ZstdDecompressor().decompress(row["text"]) if row and row["text"] else b""


def _report(row: sqlite3.Row) -> Report:
    return msgspec.convert({**row, "released": bool(row["released"])}, Report)
