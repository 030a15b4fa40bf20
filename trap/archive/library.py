"""The archive as a reader sees it: messages found through the index, read from the segments."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from trap.archive import clusters, search
from trap.archive import facets as faceting
from trap.archive.clusters import Campaign
from trap.archive.facets import Facets
from trap.archive.index import MAX_NUMBER, Index, TooSlow
from trap.archive.query import Query
from trap.archive.record import Corrupt, Record
from trap.archive.search import Row
from trap.archive.segment import Reader
from trap.archive.store import folder, segment_path
from trap.archive.timeline import Histogram, histogram

__all__ = ["Campaign", "Facets", "Histogram", "Library", "Row", "TooSlow"]

_OPEN = 8
"""Segments kept open; each holds up to 10 MB in memory."""


class Library:
    """Reads an archive while a trap may be writing to it. For one thread at a time.

    Args:
        directory: the archive's root.
        deadline: seconds that a question to the index may take; None: as long as it takes.

    Attributes:
        index: of the archive.

    Raises:
        FileNotFoundError: there is no archive.
        sqlite3.Error: its index can't be opened.
    """

    def __init__(self, directory: Path, deadline: float | None = None) -> None:
        folder(directory).stat()
        self.directory = directory
        self.index = Index.open(directory)
        self.deadline = deadline
        self._readers: OrderedDict[int, Reader] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        self.index.close()
        while self._readers:
            self._readers.popitem()[1].close()

    @property
    def deadline(self) -> float | None:
        """Seconds that a question to the index may take; past that, TooSlow is raised."""
        return self.index.deadline

    @deadline.setter
    def deadline(self, seconds: float | None) -> None:
        self.index.deadline = seconds

    def find(self, query: Query, before: str | None = None, limit: int = -1) -> Iterator[Row]:
        """The messages a query matches, newest first: in the order they were archived.

        Args:
            before: id of the message to go on after; it may be gone.
            limit: at most so many; -1 for all.

        Raises:
            TooSlow: the deadline passed.
        """
        below = search.place(self.index, before, gone=1) if before else None
        return search.find(self.index, query, MAX_NUMBER if below is None else below, limit)

    def newer(self, query: Query, after: str, limit: int) -> list[Row]:
        """The messages a query matches that come right after one, newest first: the page before.

        Args:
            after: id of that message; it may be gone.
            limit: at most so many.

        Raises:
            TooSlow: the deadline passed.
        """
        above = search.place(self.index, after)
        return [] if above is None else search.newer(self.index, query, above, limit)

    def get(self, job_id: str) -> Row | None:
        """The message with this id, or None."""
        return search.get(self.index, job_id)

    def oldest(self) -> Row | None:
        """The message that was accepted before all others."""
        return search.oldest(self.index)

    def newest(self) -> Row | None:
        """The message that was accepted after all others."""
        return search.newest(self.index)

    def facets(self, query: Query, sample: int = 5000, budget: float = 0.04) -> Facets:
        """Count the values of the newest messages that a query finds.

        Args:
            sample: look at no more messages.
            budget: seconds it may take; then it says what it counted until then.
        """
        return faceting.facets(self.index, query, sample, budget)

    def histogram(
        self, query: Query, buckets: int = 60, budget: float = 0.03, *, even: bool = False
    ) -> Histogram:
        """Count the messages that a query finds over time, the newest first.

        Args:
            buckets: how many stretches of time.
            budget: seconds it may take; then it says what it counted until then.
            even: let each be a whole minute, hour or day, or some of them; they may be fewer then.
        """
        return histogram(self.index, query, buckets, budget, even=even)

    def campaigns(self, order: str = "size", before: str | None = None, limit: int = 50) -> list[Campaign]:
        """A page of campaigns.

        Args:
            order: "size", the largest first; "last" or "first", by when copies came, the latest first.
            before: name of the campaign to go on after.
            limit: at most so many.

        Raises:
            KeyError: there is no such order.
            TooSlow: the deadline passed.
        """
        return clusters.campaigns(self.index, order, before, limit)

    def campaign(self, name: str) -> Campaign | None:
        """The campaign with this name, or None."""
        return clusters.campaign(self.index, name)

    def record(self, row: Row) -> Record:
        """All that is archived of a message, proved against its sha256.

        Raises:
            FileNotFoundError: its segment was dropped in the meantime.
            Corrupt: it is damaged.
        """
        record = self._reader(row.segment).read(row.offset)
        if record.id != row.id:
            raise Corrupt(f"{row.id}: the index is wrong about it; run: spamtrap archive reindex")
        return record

    def _reader(self, number: int) -> Reader:
        if reader := self._readers.get(number):
            if not reader.gone:
                self._readers.move_to_end(number)
                return reader
            # Packed or dropped: the disk has its room back when nobody has it open.
            self._readers.pop(number).close()
        names = self.index.db.execute("SELECT name FROM segment WHERE number = ?", [number]).fetchone()
        if not names:
            raise FileNotFoundError(2, "its segment was dropped")
        reader = self._readers[number] = Reader(segment_path(self.directory, names[0]))
        if len(self._readers) > _OPEN:
            self._readers.popitem(last=False)[1].close()
        return reader
