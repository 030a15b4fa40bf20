"""The tables in which it is kept who hit the trap, and how their file is opened.

WAL with synchronous=NORMAL: a power cut may cost the last seconds, never the file. One that a disk damaged is
set aside for people to look at.
"""

import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.listing.terms import Bar
from trap import fsio

BUSY = 10.0
"""Seconds to wait for another's transaction."""
_VERSION = 1
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

log = logging.getLogger("spamtrap.dnsbl")

_SCHEMA = """
PRAGMA journal_mode = wal;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entry (
    n INTEGER PRIMARY KEY, list TEXT NOT NULL, key TEXT NOT NULL, also TEXT NOT NULL, level REAL NOT NULL,
    hits INTEGER NOT NULL, first REAL NOT NULL, last REAL NOT NULL, UNIQUE (list, key));
CREATE INDEX IF NOT EXISTS entry_level ON entry (list, level);
CREATE INDEX IF NOT EXISTS entry_last ON entry (list, last);
CREATE INDEX IF NOT EXISTS entry_also ON entry (also) WHERE also != '';
CREATE TABLE IF NOT EXISTS witness (
    entry INTEGER NOT NULL REFERENCES entry ON DELETE CASCADE, kind INTEGER NOT NULL, hash BLOB NOT NULL,
    at REAL NOT NULL, PRIMARY KEY (entry, kind, hash)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS job (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS removal (
    key TEXT PRIMARY KEY, at REAL NOT NULL, until REAL NOT NULL, again REAL NOT NULL,
    times INTEGER NOT NULL, asked INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS allowed (key TEXT PRIMARY KEY, at REAL NOT NULL, why TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS published (
    list TEXT NOT NULL, key TEXT NOT NULL, also TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
    hits INTEGER NOT NULL, networks INTEGER NOT NULL, PRIMARY KEY (list, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change (
    list TEXT NOT NULL, at REAL NOT NULL, added INTEGER NOT NULL, removed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS hold (
    list TEXT NOT NULL, way TEXT NOT NULL, since REAL NOT NULL, number INTEGER NOT NULL,
    released INTEGER NOT NULL, PRIMARY KEY (list, way)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
COMMIT;
"""


def connect(path: Path, bars: Mapping[str, Bar]) -> sqlite3.Connection:
    """Open the file; made when it is not there.

    Args:
        path: of the file.
        bars: what it takes, by list: their half-lives are noted.

    Raises:
        sqlite3.Error: it can't be, or is of another version.
    """
    db = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = normal")
        db.execute("PRAGMA foreign_keys = on")
        db.executescript(_SCHEMA)  # also when killed before it was done
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _VERSION):
            raise sqlite3.OperationalError(f"{path}: made by another version of spamtrap")
        _level(db, bars)
    except BaseException:  # whatever it was: it is raised again
        db.close()
        raise
    return db


def _level(db: sqlite3.Connection, bars: Mapping[str, Bar]) -> None:
    """Keep scores as they are when a half-life was changed: levels are counted in half-lives."""
    now = time.time()
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"PRAGMA user_version = {_VERSION}")
    for name, bar in bars.items():
        before, half_life = told(db, f"half_life {name}"), float(bar.half_life)
        if before == half_life:
            continue
        if before:
            db.execute(
                "UPDATE entry SET level = level - ?1 / ?2 + ?1 / ?3 WHERE list = ?4",
                (now, before, half_life, name),
            )
        tell(db, f"half_life {name}", half_life)
    db.execute("COMMIT")


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault, not a lock or a full disk."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def set_aside(path: Path, error: sqlite3.Error) -> None:
    """Move a damaged file out of the way, with what SQLite keeps beside it."""
    aside = path.with_name(f"{path.name}.damaged")
    fsio.rename(str(path), str(aside))
    for suffix in ("-wal", "-shm"):  # must not be taken for those of the next one
        fsio.unlink(f"{path}{suffix}")
    log.error("%s: %s; moved to %s, what it knew is forgotten", path, error, aside.name)


def told(db: sqlite3.Connection, name: str) -> float:
    """A number that was noted; 0 when it was not."""
    row: Sequence[float] | None = db.execute("SELECT value FROM told WHERE name = ?", (name,)).fetchone()
    return row[0] if row else 0.0


def tell(db: sqlite3.Connection, name: str, value: float) -> None:
    """Note a number."""
    db.execute("REPLACE INTO told VALUES (?, ?)", (name, value))
