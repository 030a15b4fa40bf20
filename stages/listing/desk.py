"""What people ask about the lists, and tell them: `spamtrap dnsbl`.

All answers are plain data. Nothing here waits for a worker: what a person says stands in the store, and is
in the lists at the next publication.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.listing import score
from stages.listing.allowed import Allowed, Entries
from stages.listing.names import Named, named
from stages.listing.publisher import state_of
from stages.listing.removals import Removals
from stages.listing.store import Entry, Store
from stages.listing.terms import Bar, Publication
from trap.envelope import printable

_LONGEST_WHY = 200


class Desk:
    """Answers and takes orders.

    Args:
        store: what is known of whom.
        bars: what it takes, by list.
        settings: how lists are published.
        directory: where.
        allowed: what is never listed.
        removals: who removes.
    """

    def __init__(
        self,
        store: Store,
        bars: Mapping[str, Bar],
        settings: Publication,
        directory: Path,
        allowed: Allowed,
        removals: Removals,
    ) -> None:
        self._store = store
        self._bars = bars
        self._settings = settings
        self._directory = directory
        self._allowed = allowed
        self._removals = removals

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def listed(self, name: str = "") -> Iterator[dict[str, Any]]:
        """What is published, of one list or of all."""
        now, db = time.time(), self._store.db
        for each in [name] if name else self._bars:
            for (key,) in db.execute(
                "SELECT key FROM published WHERE list = ? ORDER BY key", (each,)
            ).fetchall():
                known = [entry for entry in self._store.known(key, now) if entry.list == each]
                yield self._row(known[0], now) if known else {"list": each, "key": key}

    def about(self, said: str) -> dict[str, Any]:
        """All that is known of an address, domain or file.

        Raises:
            ValueError: it is none of these.
        """
        thing, now, db = _thing(said), time.time(), self._store.db
        entries = self._store.known(thing.key, now)
        key = entries[0].key if entries else thing.key
        removal = db.execute("SELECT at, until, again, times FROM removal WHERE key = ?", (key,)).fetchone()
        published = db.execute("SELECT list FROM published WHERE key = ?", (key,)).fetchall()
        names = ("at", "until", "again", "times")
        return {
            "key": key,
            "kind": thing.kind,
            "listed": sorted(name for (name,) in published),
            "never": self._allowed.why(thing, persons=self._persons()),
            "removed": dict(zip(names, removal, strict=True)) if removal else None,
            "evidence": [self._row(entry, now) for entry in entries],
        }

    def remove(self, said: str) -> str:
        """Take something off all lists; what became of it.

        Raises:
            ValueError: it is nothing that can be listed.
        """
        return self._removals.remove(_thing(said), time.time()) or ""

    def allow(self, said: str, why: str) -> str:
        """Never list an address, a network, a domain or a file; how it is written.

        Raises:
            ValueError: it is none of these.
        """
        thing = _thing(said, network=True)
        with self._store.transaction() as db:
            row = (thing.key, time.time(), printable(why)[:_LONGEST_WHY])
            db.execute("REPLACE INTO allowed VALUES (?, ?, ?)", row)
        return thing.key

    def disallow(self, said: str) -> bool:
        """Take that back; whether it was allowed by hand.

        Raises:
            ValueError: it is none of these.
        """
        key = _thing(said, network=True).key
        with self._store.transaction() as db:
            return db.execute("DELETE FROM allowed WHERE key = ?", (key,)).rowcount > 0

    def allowances(self) -> list[dict[str, Any]]:
        """What was allowed by hand."""
        rows = self._store.db.execute("SELECT key, at, why FROM allowed ORDER BY key")
        return [dict(zip(("key", "at", "why"), row, strict=True)) for row in rows]

    def status(self) -> list[dict[str, Any]]:
        """Of each list: how much is on it, until when it is good, what of it is held."""
        made = []
        for name in self._bars:
            number, written, held = state_of(self._store.db, name)
            after = self._settings.release_after
            holds = [
                {
                    "way": way,
                    "number": count,
                    "since": since,
                    "until": since + after if after else None,
                    "released": bool(released),
                }
                for way, since, count, released in held
            ]
            good = written + self._settings.valid if written else 0.0
            row = {"list": name, "listed": number, "written": written, "good_until": good, "held": holds}
            made.append({**row, "directory": str(self._directory)})
        return made

    def release(self, name: str = "") -> int:
        """Let out what is held, of one list or of all; how many entries that are."""
        with self._store.transaction() as db:
            where, which = ("WHERE list = ?", (name,)) if name else ("", ())
            (number,) = db.execute(f"SELECT coalesce(sum(number), 0) FROM hold {where}", which).fetchone()  # noqa: S608
            db.execute(f"UPDATE hold SET released = number {where}", which)  # noqa: S608 - words of ours
        return int(number)

    def _persons(self) -> Entries:
        return Entries(("", key) for (key,) in self._store.db.execute("SELECT key FROM allowed"))

    def _row(self, entry: Entry, now: float) -> dict[str, Any]:
        bar = self._bars[entry.list]
        until = min(
            score.lasts(entry.level, bar.min_score, bar.half_life),
            entry.last + bar.expire,
        )
        return {
            "list": entry.list,
            "key": entry.key,
            **({"md5": entry.also} if entry.also else {}),
            "score": round(score.score(entry.level, now, bar.half_life), 2),
            "hits": entry.hits,
            "traps": entry.traps,
            "networks": entry.networks,
            "first": entry.first,
            "last": entry.last,
            "until": until,
        }


def _thing(said: str, *, network: bool = False) -> Named:
    thing = named(said)
    if thing is None or (thing.kind == "network" and not network):
        what = "an address, a network, a domain" if network else "an address, a domain"
        raise ValueError(f"{said!r} is neither {what} nor the sha256 or md5 of a file")
    return thing
