"""What registries said about networks, kept in a file for all workers of a stage.

Answers are found by the networks they speak of: an address is looked up under each prefix that it may have,
so it costs the same however many there are. They are asked again when they are old, and used on when nobody
answers then. A file that is damaged is forgotten: it holds nothing that can't be asked again.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

from stages.names.blocklists import Address
from stages.names.relays import Network

log = logging.getLogger("spamtrap.rdap")

MAX_NETWORKS = 200_000
"""Networks of which something is kept; the oldest answers are forgotten."""
BUSY = 0.5
"""Seconds to wait for another worker that writes; then the answer is not kept."""
HOUR, DAY = 3600.0, 86400.0
_SCHEMA = """
PRAGMA journal_mode = wal;
PRAGMA synchronous = off;
CREATE TABLE IF NOT EXISTS answer (network TEXT PRIMARY KEY, contacts TEXT, at REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_age ON answer (at);
CREATE TABLE IF NOT EXISTS asked (at REAL);
CREATE TABLE IF NOT EXISTS told (contact TEXT, campaign TEXT, at REAL, PRIMARY KEY (contact, campaign))
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS told_at ON told (at);
"""


class Known(NamedTuple):
    """An answer.

    Attributes:
        contacts: addresses; none when the registry names nobody.
        at: when it was given, in seconds since the epoch.
    """

    contacts: list[str]
    at: float


class Store:
    """The file.

    Args:
        path: of it.

    Raises:
        OSError: it can't be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            log.warning("%s is damaged, what registries said is forgotten: %s", path, error)
            self._remove()
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(self._path, timeout=BUSY, isolation_level=None)
            try:
                db.executescript(_SCHEMA)
            except BaseException:
                db.close()
                raise
        except sqlite3.OperationalError as error:
            raise OSError(f"{self._path}: {error}") from error
        self._path.chmod(0o600)
        return db

    def _remove(self) -> None:
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(f"{self._path}{end}")

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def find(self, address: Address) -> Known | None:
        """The answer about the most precise network that an address is in."""
        prefixes = [
            str(ip_network((address, bits), strict=False)) for bits in range(address.max_prefixlen + 1)
        ]
        marks = ", ".join("?" * len(prefixes))
        try:
            rows = self._db.execute(
                f"SELECT network, contacts, at FROM answer WHERE network IN ({marks})",  # noqa: S608 - marks
                prefixes,
            ).fetchall()
        except sqlite3.Error as error:
            log.warning("%s: %s", self._path, error)
            return None
        if not rows:
            return None
        _, contacts, at = max(rows, key=lambda row: int(row[0].partition("/")[2]))
        return Known(contacts.split(), at)

    def keep(self, address: Address, networks: Sequence[Network], contacts: Sequence[str]) -> None:
        """Keep an answer; what can't be written is asked again another time.

        Args:
            address: that was asked about; what was said of smaller networks that it is in is forgotten.
            networks: that the answer is about.
            contacts: whom it names.
        """
        now, text = time.time(), " ".join(contacts)
        bits = max((each.prefixlen for each in networks if address in each), default=address.max_prefixlen)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "DELETE FROM answer WHERE network = ?", [(each,) for each in _prefixes(address, bits + 1)]
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO answer VALUES (?, ?, ?)",
                [(str(each), text, now) for each in networks],
            )
            surplus = self._db.execute("SELECT count(*) FROM answer").fetchone()[0] - MAX_NETWORKS
            if surplus > 0:
                self._db.execute(
                    "DELETE FROM answer WHERE network IN (SELECT network FROM answer ORDER BY at LIMIT ?)",
                    (surplus + MAX_NETWORKS // 100,),
                )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            log.warning("%s: an answer is not kept: %s", self._path, error)
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def may_ask(self, rate: int) -> bool:
        """Whether less than `rate` questions were asked in the last hour; then this one is counted."""
        now = time.time()
        try:
            self._db.execute("DELETE FROM asked WHERE at < ? OR at > ?", (now - HOUR, now))
            counted: int = self._db.execute(
                "INSERT INTO asked SELECT ? WHERE (SELECT count(*) FROM asked) < ?", (now, rate)
            ).rowcount
        except sqlite3.Error as error:
            log.warning("%s: %s", self._path, error)
            return False
        return counted > 0

    def may_tell(self, contact: str, campaign: str, most: int) -> bool:
        """Whether a contact may be told of a campaign: of `most` others a day at most. It is counted."""
        now = time.time()
        try:
            self._db.execute("DELETE FROM told WHERE at < ? OR at > ?", (now - DAY, now))
            self._db.execute(
                "INSERT OR IGNORE INTO told SELECT ?1, ?2, ?3"
                " WHERE (SELECT count(*) FROM told WHERE contact = ?1) < ?4",
                (contact, campaign, now, most),
            )
            found = self._db.execute(
                "SELECT 1 FROM told WHERE contact = ? AND campaign = ?", (contact, campaign)
            ).fetchone()
        except sqlite3.Error as error:
            log.warning("%s: %s", self._path, error)
            return False
        return found is not None


def _prefixes(address: Address, shortest: int) -> list[str]:
    """The networks that an address is in, from a length of prefix on."""
    lengths = range(shortest, address.max_prefixlen + 1)
    return [str(ip_network((address, bits), strict=False)) for bits in lengths]
