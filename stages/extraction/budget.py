"""What the reading of one message may cost: seconds of a processor, bytes made of it, things found in it.

Mail can be made to expand without end: archives in archives, parts in parts, links in links. All who
read one message share one budget. Whoever is about to do work says so first, and stops when told that
nothing is left; what was found before stands.

    >>> budget = Budget(seconds=1, size=100, items=2)
    >>> budget.spend(60)
    >>> budget.spend(60)
    Traceback (most recent call last):
    stages.extraction.budget.Exhausted: more than 100 bytes
    >>> budget.left, budget.why
    (False, 'more than 100 bytes')
"""

import time


class Exhausted(Exception):
    """Nothing is left of a budget; str(error) is what was used up."""


class Budget:
    """What is left for one message.

    Args:
        seconds: of processor time, of the thread that asks.
        size: bytes that may be made by undoing encodings and compression.
        items: things that may be looked at: parts, members of archives, images.

    Attributes:
        size: bytes that are left.
        items: things that are left.
        why: what was used up first, in words; empty as long as something of everything is left.
    """

    def __init__(self, seconds: float, size: int, items: int) -> None:
        self._seconds = seconds
        self._end = time.thread_time() + seconds
        self._all = size, items
        self.size = size
        self.items = items
        self.why = ""

    def spend(self, size: int = 0, items: int = 0) -> None:
        """Take something, before the work is done that needs it. With no arguments, only ask for time.

        Raises:
            Exhausted: there is not as much, or there was not at another time: once empty, always empty.
        """
        if not self.why:
            self.size -= size
            self.items -= items
            if self.size < 0:
                self.why = f"more than {self._all[0]} bytes"
            elif self.items < 0:
                self.why = f"more than {self._all[1]} items"
            elif self.seconds <= 0:
                self.why = self._late()
        if self.why:
            raise Exhausted(self.why)

    def renew(self, seconds: float) -> None:
        """Give it so many seconds from now on; nothing else that was used up comes back."""
        late, self._seconds = self.why == self._late(), seconds
        self._end = time.thread_time() + seconds
        if late:
            self.why = ""

    def _late(self) -> str:
        return f"more than {self._seconds:.2g} s"

    @property
    def left(self) -> bool:
        """Whether something of everything is left."""
        if not self.why and self.seconds <= 0:
            self.why = self._late()
        return not self.why

    @property
    def seconds(self) -> float:
        """Seconds of the processor that are left; below 0 when they are used up."""
        return self._end - time.thread_time()
