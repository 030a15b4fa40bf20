"""How often passwords may be tried."""

import asyncio
import time
from collections import Counter, OrderedDict

from trap.limits import Key, keys

TRIES = 10
"""Passwords tried a minute from one address, and ten times as many from all that never were right."""
_MINUTE = 60
_REMEMBERED = 1000


class Tries:
    """Counts passwords that are tried, minute by minute; those that were right are taken back."""

    def __init__(self) -> None:
        self._minute = 0
        self._tried: Counter[Key] = Counter()
        self._trusted: OrderedDict[Key, None] = OrderedDict()
        self.at_once = asyncio.Semaphore(2)
        """Each try takes 32 MiB and a core."""

    def may(self, address: str) -> bool:
        """Whether one more may be tried from there. It is counted before anybody knows whether it is right,
        so that many at once are no more than many one after the other."""
        minute = int(time.monotonic() / _MINUTE)
        if minute != self._minute:
            self._minute, self._tried = minute, Counter()
        where = keys(address)[0]
        strangers = self._tried.total() - sum(self._tried[each] for each in self._trusted)
        if self._tried[where] >= TRIES or (where not in self._trusted and strangers >= 10 * TRIES):
            return False
        self._tried[where] += 1
        return True

    def right(self, address: str) -> None:
        """It was right: it does not count, and others' wrong ones keep nobody from there out."""
        where = keys(address)[0]
        self._tried[where] -= 1
        self._trusted[where] = None
        self._trusted.move_to_end(where)
        if len(self._trusted) > _REMEMBERED:
            self._trusted.popitem(last=False)
