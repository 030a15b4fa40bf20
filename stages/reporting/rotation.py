"""Files that others fetch: what was added is published in them, whole, when a time is over or they are large.

What is added lies in a database first, under an id, and once only. From there it is published: a file is
complete when it gets its name, and never changes after that, so whoever reads one never sees half of it, nor
twice the same in two of them. The newest is also called `latest`; older ones are compressed, and removed when
they are too old.

    feed-20261120T070312Z-1041.jsonl.gz     the time and number of the first thing in it
    feed-20261120T071812Z-1077.jsonl
    latest.jsonl -> feed-20261120T071812Z-1077.jsonl

Killing its process at any moment loses nothing: which file a thing belongs to is settled before that file is
written, so the same file is written again. One process at a time may use it, as a reporter's sender does.
"""

import gzip
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from trap.config import Duration, Size
from trap.fsio import make_directory, rename, unlink, write
from trap.stage import Unavailable
from trap.units import Base

RETRY = 30.0
"""Seconds until another try, when a file could not be written."""
CLEANING = 600.0
"""Seconds between two looks for what is too old."""
REMEMBERED = 7 * 86_400.0
"""Seconds for which ids are known longer than their files are kept: so late nothing is told a second time."""
LINK = "latest"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS thing (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at REAL NOT NULL, text BLOB, file TEXT
);
CREATE INDEX IF NOT EXISTS waiting ON thing (number) WHERE file IS NULL;
CREATE INDEX IF NOT EXISTS unwritten ON thing (file) WHERE text IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_time ON thing (at);
"""

log = logging.getLogger("spamtrap.feed")


class Files(Base, frozen=True):
    """When a file is full, and how long it stays."""

    every: Duration = Duration("15m")
    """A file is published so long after the first thing in it came, at the latest."""
    size: Size = Size("10MB")
    """Or when there is so much for it."""
    keep: Duration = Duration("30d")
    """Age at which files are removed."""

    def check(self) -> None:
        """Whether they make sense.

        Raises:
            ValueError: they don't.
        """
        if not self.every or not self.size:
            raise ValueError("files: every and size: must be more than nothing")
        if self.keep < self.every:
            raise ValueError("files: keep: must not be shorter than every")


class Rotation:
    """The files of one directory.

    Args:
        database: path of what is not published yet.
        directory: of the files; made when it is not there.
        suffix: of their names, with its dot.
        together: makes the bytes of a file of what is in it.
        files: when they are published and removed.

    Raises:
        OSError: the directory or the database can't be used.
    """

    def __init__(
        self,
        database: Path,
        directory: Path,
        suffix: str,
        together: Callable[[Sequence[bytes]], bytes],
        files: Files,
    ) -> None:
        self._database, self._directory, self._files = database, directory, files
        self._suffix, self._together = suffix, together
        self._named = re.compile(rf"feed-(\d{{8}}T\d{{6}}Z)-\d+{re.escape(suffix)}(\.gz)?")
        self._trouble = ""
        self._due = 0.0
        self._cleaned = 0.0
        make_directory(directory)
        try:
            self._db = sqlite3.connect(database, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = wal")
            self._db.execute("PRAGMA synchronous = full")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise OSError(f"{database}: {error}") from error
        database.chmod(0o600)

    def add(self, name: str, text: bytes) -> bool:
        """Have a thing published; it is safe once the call returns.

        Args:
            name: its id; what was added under it before stays as it is.
            text: its bytes.

        Returns:
            Whether it is new.

        Raises:
            Unavailable: it can't be written down, or what is there can't be published.
        """
        if self._trouble:
            raise Unavailable(self._trouble)
        try:
            return bool(
                self._db.execute(
                    "INSERT OR IGNORE INTO thing (id, at, text) VALUES (?, ?, ?)", (name, time.time(), text)
                ).rowcount
            )
        except sqlite3.Error as error:
            raise Unavailable(f"{self._database}: {error}") from error

    def turn(self) -> None:
        """Publish what is due, and remove what is too old. To be called about once a second."""
        now = time.monotonic()
        if now < self._due:
            return
        try:
            self.publish(all_of_it=False)
            self._compress()
            if now > self._cleaned:
                self._cleaned = now + CLEANING
                self._clean()
        except (OSError, sqlite3.Error) as error:
            self._due = now + RETRY
            trouble = f"files in {self._directory}: {error}"
            if not self._trouble:
                log.warning("can't be published, what is new waits: %s", trouble)
            self._trouble = trouble
        else:
            if self._trouble:
                log.warning("files in %s can be published again", self._directory)
            self._trouble = ""

    def publish(self, *, all_of_it: bool = True) -> None:
        """Publish everything, or what is due.

        Raises:
            OSError, sqlite3.Error: it can't be written; nothing of it is lost.
        """
        while self._settle(all_of_it):
            pass
        files = self._db.execute(
            "SELECT file, min(number) FROM thing WHERE text IS NOT NULL AND file IS NOT NULL"
            " GROUP BY file ORDER BY 2"
        )
        for file, _ in files.fetchall():
            rows = self._db.execute("SELECT text FROM thing WHERE file = ? ORDER BY number", (file,))
            self._place(file, self._together([row[0] for row in rows]))
            self._point_to(file)
            self._db.execute("UPDATE thing SET text = NULL WHERE file = ?", (file,))

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _settle(self, all_of_it: bool) -> bool:
        """Say what belongs into the next file, if there is enough for one; whether there was."""
        first: tuple[int, float] | None = None
        size = last = 0
        full = False
        for number, at, length in self._db.execute(
            "SELECT number, at, length(text) FROM thing WHERE file IS NULL ORDER BY number"
        ):
            if size and size + length > self._files.size:
                full = True
                break
            first, last, size = first or (number, at), number, size + length
        if first is None:
            return False
        # Also when the clock was set back: it must not wait for years.
        waited = abs(time.time() - first[1])
        if not (all_of_it or full or size >= self._files.size or waited >= self._files.every):
            return False
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(first[1]))
        self._db.execute(
            "UPDATE thing SET file = ? WHERE file IS NULL AND number <= ?",
            (f"feed-{stamp}-{first[0]}{self._suffix}", last),
        )
        return True

    def _place(self, name: str, data: bytes) -> None:
        """Write a file whole, under a name that is not listed, then give it its own; group may read it."""
        hidden = f"{self._directory}/.{name}.tmp"
        unlink(hidden)
        write(hidden, [data], sync=True)
        os.chmod(hidden, 0o640)
        rename(hidden, f"{self._directory}/{name}", sync=True)

    def _point_to(self, name: str) -> None:
        hidden = f"{self._directory}/.{LINK}.tmp"
        unlink(hidden)
        os.symlink(name, hidden)
        rename(hidden, f"{self._directory}/{LINK}{self._suffix}", sync=True)

    def _compress(self) -> None:
        """Compress one file that is not the newest: there may be many, and others wait meanwhile."""
        plain = [match[0] for match in self._published() if not match[2]]
        if len(plain) > 1:
            oldest = min(plain, key=self._order)
            data = (self._directory / oldest).read_bytes()
            self._place(f"{oldest}.gz", gzip.compress(data, mtime=0))
            unlink(f"{self._directory}/{oldest}")

    def _order(self, name: str) -> int:
        """By number: the clock may have been set."""
        return int(name.removesuffix(".gz").removesuffix(self._suffix).rpartition("-")[2])

    def _clean(self) -> None:
        """Remove what is too old, but for the newest file."""
        before = time.time() - self._files.keep
        oldest = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(before))
        published = sorted(self._published(), key=lambda match: self._order(match[0]))
        for match in published[:-1]:
            if match[1] < oldest:
                unlink(f"{self._directory}/{match[0]}")
        self._db.execute(
            "DELETE FROM thing WHERE at < ? AND file IS NOT NULL AND text IS NULL", (before - REMEMBERED,)
        )

    def _published(self) -> list[re.Match[str]]:
        return [match for name in os.listdir(self._directory) if (match := self._named.fullmatch(name))]
