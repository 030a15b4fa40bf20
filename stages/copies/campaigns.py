"""What was seen of each campaign, shared by all workers and kept over restarts.

Time is cut into slices, each a SQLite file of its own (see stages.copies.slices). Only the
current one is written; all of them are asked. What is seen again is written into the current one
again, so that what nobody sent any more is gone when its last slice is: forgetting is one unlink,
however much there is to forget.

A slice is an index by bands (see stages.copies.fingerprint): a lookup reads at most SHELF entries under
each of a message's bands and compares at most CANDIDATES digests, whether ten or ten million are
remembered. A digest is remembered for what is new: the first copy of a campaign, and copies unlike
all before (below FAMILIAR), so that a campaign that changes by and by is followed; not where a
CROWD of alike ones stands already, so that a flood of random variations does not fill the disk.

One transaction covers a batch, in one file, so killing a process at any moment leaves all of it or
nothing. WAL with synchronous=NORMAL: a power cut may cost the last seconds, never the file.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stages.copies.fingerprint import Fingerprint, similarity
from stages.copies.slices import Slices

SHELF = 16
CANDIDATES = 32
FAMILIAR = 0.9
CROWD = 8

_SHELVES = "SELECT key, count(*) FROM band WHERE key IN ({}) GROUP BY key"
_SHARING = "SELECT n FROM band WHERE key IN ({})"
_DIGESTS = "SELECT campaign, exact, sketch FROM digest WHERE n IN ({})"
_SIGHTING = """SELECT campaign, count, window_count, exact, similarity, dropped
    FROM sighting WHERE job = ?"""


@dataclass(frozen=True, slots=True)
class Match:
    """The most similar digest that is remembered.

    Attributes:
        campaign: its campaign.
        similarity: from 0 to 1.
        exact: whether it says the same.
        current: whether it stands in the current slice.
        crowd: how many of the current slice's digests are as alike as asked for.
    """

    campaign: int
    similarity: float
    exact: bool
    current: bool
    crowd: int

    @property
    def new(self) -> bool:
        """Whether what was matched adds to what is remembered."""
        return self.crowd < CROWD and not (self.current and self.similarity >= FAMILIAR)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was answered for a job.

    Attributes:
        campaign: the campaign it belongs to.
        count: copies of the campaign seen so far, this one included.
        window_count: those of the current window.
        exact: whether it said the same as a remembered copy.
        similarity: to the most similar remembered copy; 0 when it is the first.
        dropped: whether it was dropped.
    """

    campaign: int
    count: int
    window_count: int
    exact: bool
    similarity: float
    dropped: bool


class Campaigns:
    """The memory in one directory. Not for threads; any number of processes may share it.

    Args:
        directory: where the slices are.
        remember: for how many seconds a campaign that is not seen any more is remembered at least;
            a quarter longer at most.
        max_bytes: of disk; what is oldest is forgotten when there would be more.
    """

    def __init__(self, directory: Path, remember: float, max_bytes: int) -> None:
        self._slices = Slices(directory, remember, max_bytes)
        # What is done with all the files is done by the same names.
        self.turn = self._slices.turn
        self.repair = self._slices.repair
        self.close = self._slices.close

    @contextmanager
    def transaction(self, now: float) -> Iterator[None]:
        """All or nothing of what is done inside is kept. `now` is in seconds since the epoch.

        Raises:
            sqlite3.OperationalError: the files can't be used, or others hold them for too long.
        """
        self.turn(now)
        current = self._slices.current
        current.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:  # whatever it was: it is raised again
            current.rollback()
            raise
        self._slices.current.commit()

    def sighting(self, job_id: str, received_at: float) -> Sighting | None:
        """What was answered for a job that was received at that time, if it was asked before."""
        for begin, db in self._slices.each():
            row = db.execute(_SIGHTING, (job_id,)).fetchone()
            if row:
                return Sighting(row[0], row[1], row[2], bool(row[3]), row[4], bool(row[5]))
            if begin <= received_at:  # before it was received, nobody asked
                break
        return None

    def record(self, job_id: str, sighting: Sighting) -> None:
        """Remember what was answered for a job."""
        self._slices.current.execute(
            "INSERT INTO sighting VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                job_id,
                sighting.campaign,
                sighting.count,
                sighting.window_count,
                sighting.exact,
                sighting.similarity,
                sighting.dropped,
            ),
        )

    def nearest(self, seen: Fingerprint, alike: float) -> Match | None:
        """The most similar of the remembered digests, or None when none has a likeness of `alike`."""
        best: Match | None = None
        crowd = 0
        for back, (_, db) in enumerate(self._slices.each()):
            current = back == 0
            for campaign, exact, sketch in _candidates(db, seen):
                same = exact == seen.exact
                likeness = 1.0 if same else similarity(sketch, seen.sketch)
                if likeness < alike:
                    continue
                crowd += current
                if best is None or (same, likeness) > (best.exact, best.similarity):
                    best = Match(campaign, likeness, same, current, 0)
            if best and best.similarity >= FAMILIAR:
                break  # older slices have nothing better to say
        return replace(best, crowd=crowd) if best else None

    def learn(self, seen: Fingerprint, campaign: int) -> None:
        """Remember a digest as one of a campaign."""
        current = self._slices.current
        n = current.execute(
            "INSERT INTO digest (campaign, exact, sketch) VALUES (?, ?, ?)",
            (campaign, seen.exact, seen.sketch),
        ).lastrowid
        keys = [seen.exact, *seen.bands]
        full = {key for key, entries in _among(current, _SHELVES, keys) if entries >= SHELF}
        current.executemany(
            "INSERT OR IGNORE INTO band VALUES (?, ?)", [(key, n) for key in keys if key not in full]
        )

    def count(self, campaign: int, now: float, window: float) -> tuple[int, int]:
        """Count one more copy; return the copies so far and those within the current window.

        A window opens with a copy and lasts `window` seconds; the next copy after it opens another.
        """
        first, count, window_start, window_count = now, 0, now, 0
        for _, db in self._slices.each():
            row = db.execute(
                "SELECT first, count, window_start, window_count FROM campaign WHERE id = ?", (campaign,)
            ).fetchone()
            if row:
                first, count, window_start, window_count = row
                break
        if now - window_start >= window:
            window_start, window_count = now, 0
        self._slices.current.execute(
            "INSERT OR REPLACE INTO campaign VALUES (?, ?, ?, ?, ?)",
            (campaign, first, count + 1, window_start, window_count + 1),
        )
        return count + 1, window_count + 1


def _candidates(db: sqlite3.Connection, seen: Fingerprint) -> list[tuple[int, int, bytes]]:
    """Campaign, exact hash and sketch of the digests that share most bands with a message."""
    shared = Counter([n for (n,) in _among(db, _SHARING, [seen.exact, *seen.bands])])
    chosen = [n for n, _ in shared.most_common(CANDIDATES)]
    return _among(db, _DIGESTS, chosen).fetchall() if chosen else []


def _among(db: sqlite3.Connection, query: str, values: list[int]) -> sqlite3.Cursor:
    """Ask for the rows with one of some values."""
    return db.execute(query.format(",".join("?" * len(values))), values)
