"""Whose mail we get, as far as the mail itself tells."""

import time

from trap.archive.library import Library
from trap.archive.query import Query
from trap.archive.reading import Reading

_AMONG = 1000
"""The newest messages, whose recipients' domains are ours."""
_FRESH = 60.0
"""Seconds until they are looked up again."""


class OwnDomains:
    """The domains that the newest mail was for: where everything is accepted, no configuration names them."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._known: frozenset[str] = frozenset()
        self._until = 0.0

    async def get(self) -> frozenset[str]:
        """Them, as they were a minute ago at most.

        Raises:
            NoArchive, Unreadable: they can't be known.
        """
        if time.monotonic() > self._until:
            self._known = await self._reading.ask(_domains)
            self._until = time.monotonic() + _FRESH
        return self._known


def _domains(library: Library) -> frozenset[str]:
    rows = library.find(Query(""), limit=_AMONG)
    said = {address.rpartition("@")[2].lower() for row in rows for address in row.rcpt_tos}
    return frozenset(said - {""})
