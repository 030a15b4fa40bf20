"""Publishes the lists: what is over the bar now, as files that others read, by one worker at a time.

Files come into place whole (written, synced, renamed), and only when something changed or they are about to
expire: a trap that lives renews them, one that died is not believed any more. After the files it is noted
what is in them; whoever dies in between leaves that to the next, who finds the same to do.

Not all that is over the bar goes out at once. A list of which within an hour more comes or goes than the
settings say is not to be trusted: somebody feeds the trap, a clock is wrong, the state was lost. What is too
much is held until a person releases it, or for a while. What has the highest scores goes first: so who floods
the list with addresses of his own keeps nobody else off it. What has to be off, as it was removed or is
allowed now, is off at once.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from stages.listing.allowed import Allowed, Entries
from stages.listing.formats import Edition, Listed, documents, listed
from stages.listing.names import Named
from stages.listing.removals import Removals
from stages.listing.store import Store
from stages.listing.tables import tell, told
from stages.listing.terms import Bar, Publication
from trap import fsio

WINDOW = 3600.0
"""Seconds in which what comes and goes is counted."""
LOOK = 30.0
"""Seconds after which a list is looked through even if no evidence came: scores fall."""
ADD, REMOVE = "add", "remove"
"""Ways in which a list changes."""
_KINDS = {"addresses": "address", "backscatter": "address", "domains": "domain", "files": "file"}

log = logging.getLogger("spamtrap.dnsbl")


class Publisher:
    """Publishes.

    Args:
        store: what is known of whom.
        directory: where files go.
        settings: how.
        bars: what it takes, by list.
        allowed: what is never listed.
        removals: who asked to be removed.
    """

    def __init__(
        self,
        store: Store,
        directory: Path,
        settings: Publication,
        bars: Mapping[str, Bar],
        allowed: Allowed,
        removals: Removals,
    ) -> None:
        self.directory = directory
        self._store = store
        self._settings = settings
        self._bars = bars
        self._allowed = allowed
        self._removals = removals
        self._next = 0.0
        self._looked = 0.0
        self._stamp: tuple[int, int] | None = None
        """Of the store as it was published; None: nothing was, by us."""

    def tick(self) -> None:
        """Publish if it is time, and nobody else does.

        Raises:
            OSError, sqlite3.Error: it can't be; it is tried again.
        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._settings.every
        with fsio.locked(self._store.path.with_name("publish.lock")) as ours:
            if not ours:
                return
            now = time.time()
            self._removals.hear(now)
            if self._stamp is None:
                self._prepare()
            if self._changed(now):
                self.publish(now)

    def publish(self, now: float) -> None:
        """Bring all lists up to date. Only for whoever holds the lock.

        Args:
            now: seconds since the epoch.
        """
        db = self._store.db
        persons = Entries(("", key) for (key,) in db.execute("SELECT key FROM allowed"))
        removed: dict[str, float] = dict(db.execute("SELECT key, until FROM removal").fetchall())
        for name in self._bars:
            self._bring(name, now, removed, persons)
        self._store.clean(now)
        self._stamp, self._looked = self._now_stamp(), now

    def _changed(self, now: float) -> bool:
        """Whether there may be something to do."""
        if not self._looked <= now < self._looked + LOOK or self._stamp != self._now_stamp():
            return True
        return any(self._due(name, now) for name in self._bars)

    def _now_stamp(self) -> tuple[int, int]:
        """Changes when anybody changes the store."""
        db = self._store.db
        return db.execute("PRAGMA data_version").fetchone()[0], db.total_changes

    def _due(self, name: str, now: float) -> bool:
        """Whether a list has to be renewed."""
        written = told(self._store.db, f"written {name}")
        return not written <= now < written + self._settings.valid / 3

    def _bring(self, name: str, now: float, removed: Mapping[str, float], persons: Entries) -> None:
        """Bring one list up to date."""
        db = self._store.db
        rows = db.execute(
            "SELECT key, also, first, last, hits, networks FROM published WHERE list = ?", (name,)
        )
        old = {row[0]: Listed(*row) for row in rows}
        new: dict[str, Listed] = {}
        for entry in self._store.candidates(name, now):
            fit = removed.get(entry.key, 0.0) <= now and not self._why(name, entry.key, entry.also, persons)
            if fit:
                told_ = (entry.first, entry.last, entry.hits, entry.networks)
                new[entry.key] = listed(entry.key, entry.also, *told_)
        off = {
            row.key
            for row in old.values()
            if row.key not in new and (row.key in removed or self._why(name, row.key, row.also, persons))
        }
        come = [key for key in new if key not in old]  # the highest scores first
        gone = sorted(old.keys() - new.keys() - off, key=lambda key: old[key].last)
        with self._store.transaction():  # files included: whoever waits for it waits for a moment
            comes, goes = self._ways(name, len(old), len(come), len(gone), now)
            left, kept = off.union(gone[:goes]), old.keys() | set(come[:comes])
            final = {key: row for key, row in old.items() if key not in left}
            final |= {key: row for key, row in new.items() if key in kept}
            if final == old and self._stamp is not None and not self._due(name, now):
                return
            self._note(name, old, final, now, self._write(name, final, now))
        if final.keys() != old.keys():
            new_ones, lost = len(final.keys() - old.keys()), len(old.keys() - final.keys())
            log.info("%s: %d listed, %d of them new, %d gone", name, len(final), new_ones, lost)

    def _why(self, name: str, key: str, also: str, persons: Entries) -> str:
        return self._allowed.why(Named(_KINDS[name], key), also, persons)

    # -- how much may change at once -------------------------------------------------------------

    def _ways(self, name: str, size: int, come: int, gone: int, now: float) -> tuple[int, int]:
        """How many of what comes, and of what goes, may do so; what is held is noted. In a transaction."""
        db = self._store.db
        db.execute("DELETE FROM change WHERE at < ? OR at > ?", (now - WINDOW, now + WINDOW))
        added, left = db.execute(
            "SELECT coalesce(sum(added), 0), coalesce(sum(removed), 0) FROM change WHERE list = ?", (name,)
        ).fetchone()
        before = max(0, size - added + left)
        limit = max(self._settings.at_least, int(self._settings.max_change * before))
        rooms = max(0, limit - added), max(0, limit - left)
        if gone > rooms[1]:
            rooms = rooms[0], 0  # a clock that is wrong, say: then the list stays as it is
        comes = self._may((name, ADD), come, rooms[0], limit, now)
        goes = self._may((name, REMOVE), gone, rooms[1], limit, now)
        # What was released is part of the list from now on, and does not count as a change.
        counted = min(comes, rooms[0]), min(goes, rooms[1])
        if any(counted):
            db.execute("INSERT INTO change VALUES (?, ?, ?, ?)", (name, now, *counted))
        return comes, goes

    def _may(self, way: tuple[str, str], number: int, room: int, limit: int, now: float) -> int:
        """How many of so many may come, or go."""
        db = self._store.db
        hold = db.execute("SELECT since, released FROM hold WHERE list = ? AND way = ?", way).fetchone()
        since, released = hold or (now, 0)
        since = min(since, now)  # a clock that was set back releases nothing
        after = self._settings.release_after
        # More may have come since a person looked; as much as would not have been held anyway.
        free = (released and number <= released + limit) or (after and now >= since + after)
        held = 0 if free else max(0, number - room)
        if not held:
            db.execute("DELETE FROM hold WHERE list = ? AND way = ?", way)
            if number > room:
                log.warning("%s: %d entries to %s are released", way[0], number, way[1])
            return number
        if hold is None:
            log.warning(
                "%s: %d entries to %s at once are held; look at `spamtrap dnsbl status`, and release them",
                way[0],
                held,
                way[1],
            )
        db.execute("REPLACE INTO hold VALUES (?, ?, ?, ?, 0)", (*way, since, held))
        return number - held

    # -- files -----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make the directory, and remove what a worker left there that was killed as it wrote."""
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        for path in self.directory.glob("*.tmp"):
            fsio.unlink(str(path))

    def _write(self, name: str, entries: Mapping[str, Listed], now: float) -> int:
        """Put the files of a list in place; their serial."""
        # The serial is the time; clocks go back, serials must not.
        serial = max(int(now), int(told(self._store.db, f"serial {name}")) + 1)
        edition = Edition(name, self._bars[name], self._settings, int(now), serial)
        for file, data in documents(edition, entries):
            path = self.directory / file
            fresh = f"{path}.{os.getpid()}.tmp"
            fsio.unlink(fresh)
            fsio.write(fresh, [data], sync=True)
            os.chmod(fresh, 0o644)  # before it has its name: whoever reads it may come at once
            fsio.rename(fresh, str(path), sync=True)
        return serial

    def _note(
        self, name: str, old: Mapping[str, Listed], new: Mapping[str, Listed], now: float, serial: int
    ) -> None:
        """Note what is published. In a transaction."""
        db = self._store.db
        db.executemany(
            "DELETE FROM published WHERE list = ? AND key = ?",
            [(name, key) for key in old.keys() - new.keys()],
        )
        db.executemany(
            "REPLACE INTO published VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(name, *row) for key, row in new.items() if old.get(key) != row],
        )
        tell(db, f"written {name}", now)
        tell(db, f"serial {name}", serial)


def state_of(db: sqlite3.Connection, name: str) -> tuple[int, float, list[tuple[str, float, int, int]]]:
    """How many entries of a list are published, when it was written, and what is held of it."""
    number = db.execute("SELECT count(*) FROM published WHERE list = ?", (name,)).fetchone()[0]
    held = db.execute("SELECT way, since, number, released FROM hold WHERE list = ? ORDER BY way", (name,))
    return number, told(db, f"written {name}"), held.fetchall()
