"""The part of a list that is in memory: some pages around what is looked at, however long the list is."""

from trap.archive.library import Library, Row
from trap.archive.query import Query
from trap.archive.reading import Reading

PAGE = 200
"""Messages read at once."""
MOST = 2000
"""Messages in memory; beyond that, those furthest away are let go."""
_OLDEST_ID = "0" * 24
"""Before every message there is."""


class Window:
    """Some messages that a query finds, one after the other, newest first.

    Args:
        reading: whom to ask.
        query: what is looked for.

    Attributes:
        rows: what is in memory.
        at_newest, at_oldest: whether the list ends there.
    """

    def __init__(self, reading: Reading, query: Query) -> None:
        self._reading = reading
        self.query = query
        self.rows: list[Row] = []
        self.at_newest = self.at_oldest = False

    async def first(self, around: str | None = None) -> None:
        """Read the newest messages.

        Args:
            around: id of a message; if the query finds it, it and those around it instead.

        Raises:
            NoArchive, Unreadable, TooSlow, OSError: as for all of these.
        """

        def ask(library: Library) -> tuple[list[Row], bool]:
            newer = library.newer(self.query, around, PAGE) if around else []
            rows = newer + list(library.find(self.query, newer[-1].id if newer else None, PAGE))
            return rows, len(newer) < PAGE

        self.rows, self.at_newest = await self._reading.ask(ask)
        self.at_oldest = len(self.rows) < PAGE

    async def read(self, what: str) -> int:
        """Read on.

        Args:
            what: "older" or "newer" messages; "first" or "last", those at an end of the list.

        Returns:
            By how many places what is in memory moved.
        """
        if what == "first":
            await self.first()
        elif what == "last":
            await self._last()
        elif self.rows and not (self.at_oldest if what == "older" else self.at_newest):
            return await (self._older() if what == "older" else self._newer())
        return 0

    async def _last(self) -> None:
        rows = await self._reading.ask(lambda library: library.newer(self.query, _OLDEST_ID, PAGE))
        self.rows, self.at_newest, self.at_oldest = rows, len(rows) < PAGE, True

    async def _older(self) -> int:
        end = self.rows[-1].id
        rows = await self._reading.ask(lambda library: list(library.find(self.query, end, PAGE)))
        self.at_oldest = len(rows) < PAGE
        whole = self.rows + rows
        let_go = max(0, len(whole) - MOST)
        self.rows = whole[let_go:]
        self.at_newest = self.at_newest and not let_go
        return -let_go

    async def _newer(self) -> int:
        begin = self.rows[0].id
        rows = await self._reading.ask(lambda library: library.newer(self.query, begin, PAGE))
        self.at_newest = len(rows) < PAGE
        whole = rows + self.rows
        self.rows = whole[:MOST]
        self.at_oldest = self.at_oldest and len(whole) <= MOST
        return len(rows)

    async def any_newer(self) -> bool:
        """Whether there is mail before the first message in memory."""
        if not self.rows:
            return bool(await self._reading.ask(lambda library: list(library.find(self.query, limit=1))))
        begin = self.rows[0].id
        return bool(await self._reading.ask(lambda library: library.newer(self.query, begin, 1)))
