"""How often passwords may be tried."""

import asyncio
import time
from collections import Counter

TRIES = 10
"""Wrong passwords a minute from one address, and ten times as many from all."""
_MINUTE = 60


class Tries:
    """Counts wrong passwords, minute by minute."""

    def __init__(self) -> None:
        self._minute = 0
        self._wrong: Counter[str] = Counter()
        self.at_once = asyncio.Semaphore(2)
        """Each try takes 32 MiB and a core."""

    def too_many(self, address: str) -> bool:
        """Whether nobody from there may try any more in this minute."""
        minute = int(time.monotonic() / _MINUTE)
        if minute != self._minute:
            self._minute, self._wrong = minute, Counter()
        return self._wrong[address] >= TRIES or self._wrong.total() >= 10 * TRIES

    def wrong(self, address: str) -> None:
        """Count one."""
        self._wrong[address] += 1
