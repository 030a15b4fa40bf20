"""How a book stays small: what is given up, what is forgotten, and how room is made."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from trap.job import ID_LENGTH, new_id
from trap.reports.store import Store

SPARE = 5000
"""Pages (of 4 kB) that a book gives back at once to the file system."""

_DONE = "state IN ('sent', 'unsure', 'failed', 'retracted')"


class Shelf(Store):
    """A book from which things go. See Store."""

    def expire(self, before: float) -> int:
        """Give up what was begun before and is not sent yet, whether anybody was there or not; how many."""
        return self._change(
            "UPDATE report SET state = 'failed', changed = ?,"
            " word = CASE word WHEN '' THEN 'too old' ELSE 'too old: ' || word END"
            " WHERE state = 'gathering' AND created < ? AND NOT released",
            (time.time(), before),
        )

    def forget(self, before: float, jobs: float | None = None) -> None:
        """Forget reports that nothing has happened to since then, and jobs that came before.

        Args:
            before: in seconds since the epoch.
            jobs: the same for jobs, where they are forgotten earlier.
        """
        with self._transaction():
            gone = "SELECT id FROM report WHERE changed < ?"
            for table in ("copy", "reached"):
                self._change(f"DELETE FROM {table} WHERE report IN ({gone})", (before,))  # noqa: S608
            self._change("DELETE FROM report WHERE changed < ?", (before,))
            self._change("DELETE FROM seen WHERE job < ?", (new_id(jobs or before)[:ID_LENGTH],))
            # In here nobody holds anything: no evidence is without its row but what was left behind.
            self.held.keep({row["id"] for row in self._rows("SELECT id FROM report WHERE state = 'held'")})

    def trim(self, most: int) -> None:
        """Forget what takes room, until the book has `most` bytes: copies of what is done, then texts.

        Those of what was done longest ago go first; the reports themselves stay. What still waits stays.
        """
        copies = f"SELECT id FROM report WHERE {_DONE} AND id IN (SELECT report FROM copy)"  # noqa: S608
        texts = f"SELECT id FROM report WHERE {_DONE} AND text IS NOT NULL"  # noqa: S608
        for statement in (
            f"DELETE FROM copy WHERE report IN ({copies} ORDER BY changed LIMIT 100)",  # noqa: S608
            f"UPDATE report SET text = NULL WHERE id IN ({texts} ORDER BY changed LIMIT 100)",  # noqa: S608
        ):
            while self.size() > most and self._change(statement):
                pass
        if self._rows("PRAGMA freelist_count")[0][0] > SPARE:
            self._script(f"PRAGMA incremental_vacuum({SPARE})")  # it takes a step a page

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._change("BEGIN IMMEDIATE")
        try:
            yield
            self._change("COMMIT")
        except BaseException:  # whatever it was: it is raised again
            if self._db.in_transaction:  # SQLite may have ended it
                self._change("ROLLBACK")
            raise
