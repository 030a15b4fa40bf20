"""How many questions at a time a backend answers in good time.

A scanner with one process that is asked about twenty messages at once answers the last one too late,
though it would have managed all of them one after the other; and what is not asked yet waits in a queue
on tmpfs, where it holds up nobody. So few are asked at first, one more after each round of answers that
came early, and half as many after one that came late (additive increase, multiplicative decrease, as TCP
avoids congestion: RFC 5681, section 3.1).
"""

import time

START = 4
"""Questions at a time before anything is known."""
MOST = 1000
"""No backend is asked more at a time."""


class Pace:
    """Watches how long answers take.

    Args:
        timeout: seconds after which an answer is of no use; within a third of it it is early, after two
            thirds late.

    >>> pace = Pace(timeout=3.0)
    >>> for _ in range(4):
    ...     pace.answered(time.monotonic() - 0.5)
    >>> pace.room
    5
    >>> pace.answered(time.monotonic() - 2.5)
    >>> pace.room
    2
    """

    def __init__(self, timeout: float) -> None:
        self._early, self._late = timeout / 3, timeout * 2 / 3
        self._slowed = 0.0
        self._rounds = float(START)

    @property
    def room(self) -> int:
        """Questions that should be under way at a time."""
        return int(self._rounds)

    def answered(self, begun: float) -> None:
        """What was asked at `begun` (monotonic clock) has just been answered."""
        if time.monotonic() - begun <= self._early:
            self._rounds = min(self._rounds + 1 / self.room, MOST)
        else:
            self.unanswered(begun)

    def unanswered(self, begun: float) -> None:
        """What was asked at `begun` has just been given up; that speaks of haste only when it took long."""
        now = time.monotonic()
        # Of those that were under way together one late answer says what all of them do.
        if now - begun > self._late and begun >= self._slowed:
            self._rounds = max(1.0, self._rounds / 2)
            self._slowed = now
