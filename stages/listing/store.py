"""What is known of whom: evidence, removals, what was allowed by hand, and what is published.

One SQLite file in the stage's state directory, shared by all workers and the command line. A batch is one
transaction: killed at any moment, all of it is there or nothing, and a job that comes again is counted once.
Of recipients nothing is kept but keyed hashes. When the file gets too large, what has the lowest score goes:
so a flood of names that came once drives out nothing but itself.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import NamedTuple

from stages.listing import score
from stages.listing.tables import connect, is_damaged, set_aside
from stages.listing.terms import LISTS, MOST_WITNESSES, Bar
from trap.job import ID_DIGITS

FILE = "listings.db"
REMEMBER = 2 * 86400.0
"""Seconds for which a job that was counted is known: longer than any waits in its queue."""
_CLEANED = 5000
"""Rows that are removed at a time."""
_LEFT = 0.75
"""Share of the bytes there may be that is left when there were too many."""

MOST = 100_000
"""Entries on a list: who owns a network of IPv6 has a /64 for each message, and all are looked through."""
AHEAD = 86400.0
"""Seconds that a hit may be ahead of the clock. What is more was counted while the clock was wrong, and would
be over the bar until then."""

TRAP, NETWORK, SYSTEM = range(3)
"""Kinds of witnesses: recipients, networks, autonomous systems."""

_SEEN = "(SELECT count(*) FROM witness WHERE entry = n AND kind = {} AND at >= :since)"
_ENTRIES = f"""SELECT list, key, also, level, hits, first, last, {_SEEN.format(TRAP)} AS traps,
    coalesce(nullif({_SEEN.format(SYSTEM)}, 0), {_SEEN.format(NETWORK)}) AS networks FROM entry WHERE """  # noqa: S608
_CANDIDATES = (
    _ENTRIES
    + """list = :list AND level >= :level AND last BETWEEN :since AND :until
    AND traps >= :traps AND networks >= :networks ORDER BY level DESC LIMIT :most"""
)


class Hit(NamedTuple):
    """What one message says of one entry."""

    list: str
    key: str
    also: str = ""
    """Another check sum of the same file."""


class Entry(NamedTuple):
    """What is known of one entry; times in seconds since the epoch."""

    list: str
    key: str
    also: str
    level: float
    hits: int
    first: float
    last: float
    traps: int
    networks: int


class Store:
    """The file. Not for threads; any number of processes may share it.

    Args:
        directory: where it lies.
        bars: what it takes, by list: half-lives and expiries are used.
        max_bytes: of the file.

    Raises:
        sqlite3.Error: it can't be opened.
    """

    def __init__(self, directory: Path, bars: Mapping[str, Bar], max_bytes: int) -> None:
        self.path = directory / FILE
        self._bars = bars
        self._max_bytes = max_bytes
        self._db: sqlite3.Connection | None = None
        self._opened: int | None = None
        """Inode of the file."""

    @property
    def db(self) -> sqlite3.Connection:
        """The open file."""
        if self._db is None:
            try:
                self._db = connect(self.path, self._bars)
            finally:
                self._opened = self.path.stat().st_ino if self.path.exists() else None
        return self._db

    def repair(self, error: sqlite3.Error) -> bool:
        """Begin anew when the file is damaged: nobody is listed for what nobody knows any more.

        Returns:
            Whether it was: then it is worth another try.
        """
        if not is_damaged(error):
            return False
        self.close()
        # Another worker may have been faster: then what has the name now is a new one.
        if self.path.exists() and self.path.stat().st_ino == self._opened:
            set_aside(self.path, error)
        return True

    def close(self) -> None:
        """Close the file; whoever needs it opens it again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; others wait.

        Raises:
            sqlite3.OperationalError: others hold it for too long, or it can't be written.
        """
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:  # whatever it was: it is raised again
            if db.in_transaction:
                db.rollback()
            raise

    def counted(self, job: str) -> bool:
        """Note, in a transaction, that a job is counted; whether it had been before."""
        return self.db.execute("INSERT OR IGNORE INTO job VALUES (?)", (job,)).rowcount == 0

    def count(self, hit: Hit, at: float, witnesses: Iterable[tuple[int, bytes]]) -> None:
        """Count one hit, in a transaction.

        Args:
            hit: what was hit.
            at: when.
            witnesses: who saw it: kind, and a hash.
        """
        half_life = self._bars[hit.list].half_life
        fresh = score.level(at, half_life)
        row = self.db.execute(
            "SELECT n, level, first, last FROM entry WHERE list = ? AND key = ?", (hit.list, hit.key)
        ).fetchone()
        if row:
            n, before, first, last = row
            self.db.execute(
                "UPDATE entry SET level = ?, hits = hits + 1, first = ?, last = ? WHERE n = ?",
                (score.joined(before, fresh), min(first, at), max(last, at), n),
            )
        else:
            n = self.db.execute(
                "INSERT INTO entry (list, key, also, level, hits, first, last) VALUES (?, ?, ?, ?, 1, ?, ?)",
                (*hit, fresh, at, at),
            ).lastrowid
        for kind, hash_ in witnesses:
            self._saw(n, kind, hash_, at)

    def _saw(self, n: int, kind: int, hash_: bytes, at: float) -> None:
        new = self.db.execute(
            """INSERT INTO witness VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET at = max(at, excluded.at) RETURNING at = ?""",
            (n, kind, hash_, at, at),
        ).fetchone()
        if new[0]:
            self.db.execute(
                """DELETE FROM witness WHERE entry = ?1 AND kind = ?2 AND hash IN (SELECT hash FROM witness
                WHERE entry = ?1 AND kind = ?2 ORDER BY at DESC, hash LIMIT -1 OFFSET ?3)""",
                (n, kind, MOST_WITNESSES),
            )

    def candidates(self, name: str, now: float) -> list[Entry]:
        """Entries of a list that are over its bar, the highest scores first."""
        bar = self._bars[name]
        asked = {
            "list": name,
            "level": score.least(bar.min_score, now, bar.half_life),
            "since": now - bar.expire,
            "until": now + AHEAD,
            "traps": bar.min_traps,
            "networks": bar.min_networks,
            "most": MOST,
        }
        return [Entry(*row) for row in self.db.execute(_CANDIDATES, asked)]

    def known(self, key: str, now: float) -> list[Entry]:
        """What is known of an address, domain or file, by list."""
        rows: list[Entry] = []
        for name, bar in self._bars.items():
            asked = {"list": name, "key": key, "since": now - bar.expire}
            rows += [
                Entry(*row)
                for row in self.db.execute(f"{_ENTRIES} list = :list AND (key = :key OR also = :key)", asked)
            ]
        return rows

    def removed(self, key: str, at: float) -> bool:
        """Whether something was removed shortly before a time, so that it does not count."""
        row = self.db.execute("SELECT 1 FROM removal WHERE key = ? AND until > ?", (key, at)).fetchone()
        return row is not None

    def forget(self, key: str) -> None:
        """Remove an entry from all lists, in a transaction."""
        self.db.execute("DELETE FROM entry WHERE key = ?1 OR (also != '' AND also = ?1)", (key,))

    def clean(self, now: float) -> None:
        """Remove what is too old, and what is too much; a part at a time."""
        with self.transaction() as db:
            oldest = f"{max(0, int((now - REMEMBER) * 1_000_000)):0{ID_DIGITS}d}"
            db.execute(
                "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE id < ? LIMIT ?)", (oldest, _CLEANED)
            )
            for name, bar in self._bars.items():
                db.execute(
                    "DELETE FROM entry WHERE n IN (SELECT n FROM entry WHERE list = ? AND last < ? LIMIT ?)",
                    (name, now - bar.expire, _CLEANED),
                )
            db.execute("DELETE FROM removal WHERE again < ?", (now - 30 * 86400,))
            used = self._used()
            if used > self._max_bytes:
                self._shrink(db, 1 - _LEFT * self._max_bytes / used)

    def _used(self) -> int:
        pages, free, size = (
            self.db.execute(f"PRAGMA {what}").fetchone()[0]
            for what in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _shrink(self, db: sqlite3.Connection, share: float) -> None:
        """Forget a share of the jobs, the oldest, and one of the entries: those with the lowest scores."""
        jobs = db.execute("SELECT count(*) FROM job").fetchone()[0]
        oldest = "SELECT id FROM job ORDER BY id LIMIT ?"
        db.execute(f"DELETE FROM job WHERE id IN ({oldest})", (ceil(jobs * share),))  # noqa: S608 - words of ours
        for name in LISTS:
            number = db.execute("SELECT count(*) FROM entry WHERE list = ?", (name,)).fetchone()[0]
            db.execute(
                "DELETE FROM entry WHERE n IN (SELECT n FROM entry WHERE list = ? ORDER BY level LIMIT ?)",
                (name, ceil(number * share)),
            )
