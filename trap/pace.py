"""How many questions at a time a backend answers in good time.

A scanner with one process that is asked about twenty messages at once answers the last one too late,
though it would have managed all of them one after the other; and what is not asked yet waits in a queue
on tmpfs, where it holds up nobody. So few are asked at first, one more for each answer that came early,
and half as many after one that came late (additive increase, multiplicative decrease, as in TCP: RFC 5681).
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

    Attributes:
        room: questions that should be under way at a time.

    >>> pace = Pace(timeout=3.0)
    >>> pace.room
    4
    >>> pace.answered(time.monotonic() - 0.5), pace.room
    (None, 5)
    >>> pace.answered(time.monotonic() - 2.5), pace.room
    (None, 2)
    """

    def __init__(self, timeout: float) -> None:
        self._early, self._late = timeout / 3, timeout * 2 / 3
        self._slowed = 0.0
        self.room = START

    def answered(self, begun: float) -> None:
        """What was asked at `begun` (monotonic clock) has just been answered."""
        if time.monotonic() - begun <= self._early:
            self.room = min(self.room + 1, MOST)
        else:
            self.unanswered(begun)

    def unanswered(self, begun: float) -> None:
        """What was asked at `begun` has just been given up; that speaks of haste only when it took long."""
        now = time.monotonic()
        # Of those that were under way together one late answer says what all of them do.
        if now - begun > self._late and begun >= self._slowed:
            self.room = max(1, self.room // 2)
            self._slowed = now
