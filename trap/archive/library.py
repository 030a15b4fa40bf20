"""The archive as a reader sees it: messages found through the index, read from the segments."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from trap.archive import search
from trap.archive.index import Index
from trap.archive.query import Query
from trap.archive.record import Corrupt, Record
from trap.archive.search import Row
from trap.archive.segment import Reader
from trap.archive.store import folder, segment_path

_OPEN = 16
"""Segments kept open; each holds its dictionary in memory."""


class Library:
    """Reads an archive while a trap may be writing to it.

    Args:
        directory: the archive's root.

    Raises:
        FileNotFoundError: there is no archive.
        sqlite3.Error: its index can't be opened.
    """

    def __init__(self, directory: Path) -> None:
        folder(directory).stat()
        self.directory = directory
        self.index = Index.open(directory)
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

    def find(self, query: Query, before: str | None = None, limit: int = -1) -> Iterator[Row]:
        """The messages a query matches, newest first.

        Args:
            before: id of the message to go on after.
            limit: at most so many; -1 for all.
        """
        row = self.get(before) if before else None
        return search.find(self.index, query, row.key if row else None, limit)

    def get(self, job_id: str) -> Row | None:
        """The message with this id, or None."""
        return search.get(self.index, job_id)

    def oldest(self) -> Row | None:
        """The oldest message there is."""
        return search.oldest(self.index)

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
        if number in self._readers:
            self._readers.move_to_end(number)
            return self._readers[number]
        names = self.index.db.execute("SELECT name FROM segment WHERE n = ?", [number]).fetchone()
        if not names:
            raise FileNotFoundError(2, "its segment was dropped")
        reader = self._readers[number] = Reader(segment_path(self.directory, names[0]))
        if len(self._readers) > _OPEN:
            self._readers.popitem(last=False)[1].close()
        return reader
