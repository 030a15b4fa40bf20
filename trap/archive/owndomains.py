"""Whose mail we get, as far as the mail itself tells: where everything is accepted, nothing else does."""

import time
from collections import Counter

from trap.archive.library import Library
from trap.archive.query import Query
from trap.archive.reading import Reading
from trap.traces import registrable

_AMONG = 1000
"""The newest messages, whose recipients' domains may be ours."""
_SHARE, _FEWEST = 0.01, 5
"""Of the messages that have a recipient at a domain of ours: below that it is the sender's to choose."""
_FEW = 50
"""Messages of a trap that is new: each recipient's domain is taken for ours."""
_FRESH = 60.0
"""Seconds until they are looked up again."""


class OwnDomains:
    """The domains that much of the newest mail was for.

    Args:
        reading: of the archive.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._known: frozenset[str] = frozenset()
        self._until = 0.0

    async def get(self) -> frozenset[str]:
        """Them, as somebody registered them, as they were a minute ago at most.

        Raises:
            NoArchive, Unreadable, TooSlow: they can't be known.
        """
        if time.monotonic() > self._until:
            self._known = await self._reading.ask(_domains)
            self._until = time.monotonic() + _FRESH
        return self._known


def _domains(library: Library) -> frozenset[str]:
    # A message counts once for each domain: who names a hundred recipients in one makes none of them ours.
    said = [{_domain(each) for each in row.rcpt_tos} for row in library.find(Query(""), limit=_AMONG)]
    counts = Counter(name for names in said for name in names if name)
    least = max(_FEWEST, _SHARE * len(said)) if len(said) >= _FEW else 1
    return frozenset(name for name, count in counts.items() if count >= least)


def _domain(address: str) -> str:
    """What traps below one domain have in common."""
    domain = address.rpartition("@")[2].lower()
    return registrable(domain) or domain
