"""How who is listed gets off the list: by a person's word, or by himself, within limits.

Requests are files in a directory, as a web form or a mail robot writes them: a line each with what is to be
removed. Who is removed is off at the next publication, what was known of him is forgotten, and for a while
nothing new counts: time to mend what was wrong. Who hits a trap after that is listed again, and his next
request is heard the later the more often he asked.
"""

import logging
import os
import stat
import time
from itertools import islice
from pathlib import Path

from stages.listing.names import Named, named
from stages.listing.store import Store
from stages.listing.terms import Removal
from trap import fsio
from trap.envelope import printable

MAX_FILES = 200
"""Requests that are read at a time."""
MAX_FILE = 4096
"""Bytes of one that are read."""
MAX_LINES = 20
HOUR = 3600.0
_DOUBLED = 10
"""Times that the wait for the next request doubles at most."""

log = logging.getLogger("spamtrap.dnsbl")


class Removals:
    """Removes.

    Args:
        store: what is known of whom.
        settings: limits.
        directory: where requests lie when the settings don't say.
    """

    def __init__(self, store: Store, settings: Removal, directory: Path) -> None:
        self._store = store
        self._settings = settings
        self.directory = Path(settings.requests) if settings.requests else directory
        self._told: set[str] = set()
        """Paths of which it is said that something is wrong with them."""

    def remove(self, thing: Named, now: float, *, asked: bool = False) -> str | None:
        """Take something off all lists.

        Args:
            thing: an address, a domain or a file.
            now: seconds since the epoch.
            asked: by whoever is listed, so that limits hold.

        Returns:
            What became of it, for people; None when it has to wait, as too many asked within an hour.
        """
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT key FROM published WHERE key = ?1 OR (also != '' AND also = ?1) LIMIT 1", (thing.key,)
            ).fetchone()
            key = row[0] if row else thing.key
            before = db.execute("SELECT times, again FROM removal WHERE key = ?", (key,)).fetchone()
            times, again = before or (0, 0.0)
            if asked:
                if not row:
                    return "is not listed"
                if now < again:
                    return f"was removed before; ask again after {_when(again)}"
                hour = "SELECT count(*) FROM removal WHERE asked AND at > ?"
                if db.execute(hour, (now - HOUR,)).fetchone()[0] >= self._settings.rate:
                    return None
            times, cool_down = times + 1, self._settings.cool_down
            until, again = now + cool_down, now + cool_down * 2 ** min(times, _DOUBLED)
            db.execute(
                "REPLACE INTO removal VALUES (?, ?, ?, ?, ?, ?)", (key, now, until, again, times, asked)
            )
            self._store.forget(key)
        return f"is removed; what it does counts again from {_when(until)}"

    def hear(self, now: float) -> None:
        """Read the requests, and grant what may be granted. What can't be read is told of once, and left.

        Raises:
            sqlite3.Error: the store can't be written.
        """
        try:
            fsio.make_directory(self.directory)
            names = os.listdir(self.directory)
        except OSError as error:
            self._tell(str(self.directory), error)
            return
        # What begins or ends so is being written; what could not be removed would be heard over and over.
        fresh = [name for name in names if not (name.startswith(".") or name.endswith(".tmp"))]
        paths = (str(self.directory / name) for name in sorted(fresh))
        for path in islice((path for path in paths if path not in self._told), MAX_FILES):
            try:
                if not self._heard(_lines(path), now):
                    return  # too many for now: it stays for later
                fsio.unlink(path)
            except OSError as error:
                self._tell(path, error)

    def _tell(self, path: str, error: OSError) -> None:
        if path not in self._told:
            self._told.add(path)
            log.error("requests to be removed: %s: %s", printable(path), error.strerror or error)

    def _heard(self, lines: list[str], now: float) -> bool:
        for line in lines:
            thing = named(line)
            if thing is None or thing.kind == "network":
                log.info("request to remove %s: that is nothing that is listed", printable(line[:200]))
                continue
            became = self.remove(thing, now, asked=True)
            if became is None:
                return False
            log.info("request to remove %s: %s", thing.key, became)
        return True


def _lines(path: str) -> list[str]:
    """The lines of a request.

    Raises:
        OSError: it is no file, or can't be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("is no file")
        text = os.read(fd, MAX_FILE).decode("utf-8", "replace")
    finally:
        os.close(fd)
    return [line for line in text.splitlines() if line.strip()][:MAX_LINES]


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
