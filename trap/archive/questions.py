"""Asking a database, for no longer than there is patience."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

_STEPS = 4000
"""SQLite's steps between two looks at the clock: 0.3 ms, but several of a page where words are read."""
_TOO_SLOW = "this takes too long; ask for less: a date, a longer word, one more word"


class TooSlow(ValueError):
    """A question took longer than its deadline. The text is for people."""


class Questions:
    """A connection that is asked.

    Attributes:
        db: the connection, without transactions of its own.
        deadline: seconds a question may take; None: as long as it takes.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.deadline: float | None = None
        self._end = float("inf")

    @contextmanager
    def question(self, seconds: float | None = None) -> Iterator[None]:
        """See one state of the index throughout, and no longer than `seconds`, or else the deadline.

        Raises:
            TooSlow: it took longer.
        """
        seconds = self.deadline if seconds is None else seconds
        self.db.execute("BEGIN")
        self._end = float("inf") if seconds is None else time.monotonic() + seconds
        if seconds is not None:
            self.db.set_progress_handler(lambda: time.monotonic() > self._end, _STEPS)
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            raise TooSlow(_TOO_SLOW) from None
        finally:
            self.db.set_progress_handler(None, 0)
            self.db.execute("COMMIT")

    def look_at_the_clock(self) -> None:
        """Between two pieces of a question, as SQLite looks seldom where it reads much at once.

        Raises:
            TooSlow: there is no time left for the next.
        """
        if time.monotonic() > self._end:
            raise TooSlow(_TOO_SLOW)
