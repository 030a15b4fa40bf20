"""The book of one reporter: what it tells whom, of which campaign, and what became of it.

One SQLite file a reporter, so that one that is locked or damaged is nobody else's trouble. A report goes

    gathering ──▶ sending ──▶ sent ──▶ retracting ──▶ retracted
        │  ▲         ├──▶ unsure (nobody knows whether it arrived: it is never repeated by itself)
        ▼  │         └──▶ failed (refused for good, or too old)
        held

and what makes it one report is its recipient, its campaign and the period that began with its first copy:
more copies add to its weight, those that come when it is sent to that of the next one.

`sending` is on the disk before the first byte that can't be taken back; what is found so when nobody is
sending any more is `unsure`. A power cut may forget copies that were gathered last, never that.
"""

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from trap.job import ID_LENGTH, Job, new_id
from trap.reports.held import Evidence
from trap.reports.report import State
from trap.reports.store import Store
from trap.stage import Unavailable

MAX_COPIES = 5
"""Copies of a campaign that are kept until it is reported: what differs between them tells who got them."""
MAX_WORD = 500
"""Characters of an answer that are kept."""

_OURS = "state IN ('gathering', 'sending', 'retracting')"
"""A person was not faster than we were."""


class Book(Store):
    """The book. Any number of processes may share it.

    Args:
        directory: of all books.
        queue: the reporter's.

    Raises:
        OSError: it can't be opened, or is damaged.
    """

    # -- what comes in -------------------------------------------------------------------------------

    def enter(
        self, job: Job, campaign: str, recipients: Sequence[str], *, count: int, period: float,
        gather: float, held: str = "",
    ) -> dict[str, str]:  # fmt: skip
        """Take a job into the reports it belongs to; once, however often it comes.

        Args:
            job: the message.
            campaign: of which it is a copy.
            recipients: to whom there is to be a report.
            count: copies of the campaign that were seen so far, this one included; 0 when nobody counted.
            period: seconds for which there is one report at most.
            gather: seconds a new report waits for more copies.
            held: why it must not be sent before a person has looked at it; "" when it may.

        Returns:
            The report's id for each recipient.

        Raises:
            OSError: the book can't be written.
        """
        now = time.time()
        with self._transaction():
            new = self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (job.id,)).rowcount
            found: dict[str, str] = {}
            for recipient in recipients:
                report, open_ = self._report(campaign, recipient, now, period, gather, job.received_at, held)
                found[recipient] = report
                if new:
                    self._count(report, open_, job, count, held)
        return found

    def _report(
        self, campaign: str, recipient: str, now: float, period: float, gather: float, first: float, held: str
    ) -> tuple[str, bool]:  # fmt: skip
        """The report of the running period, made if there is none; whether it is still to be sent."""
        before = self._db.execute(
            "SELECT id, state, created, later, count FROM report WHERE campaign = ? AND recipient = ?"
            " ORDER BY created DESC LIMIT 1",
            (campaign, recipient),
        ).fetchone()
        # What nobody has sent yet goes on gathering, however old it is.
        if before and before["state"] in ("gathering", "held"):
            return before["id"], True
        if before and now < before["created"] + period:
            return before["id"], False
        name = f"{self.path.stem}\0{recipient}\0{campaign}\0{now}"
        report = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:20]
        carried, base = (before["later"], before["count"]) if before else (0, 0)
        state = "held" if held else "gathering"
        self._db.execute(
            "INSERT INTO report (id, recipient, campaign, state, carried, base, first, last, created,"
            " changed, due, word) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (report, recipient, campaign, state, carried, base, first, first, now, now, now + gather, held),
        )
        if held:
            self.held.put(report, [Evidence("message", "poison", "", held)])
        return report, True

    def _count(self, report: str, open_: bool, job: Job, count: int, held: str) -> None:
        """Add a copy to a report; to the next one's weight, when it is not open any more."""
        if not open_:
            self._db.execute("UPDATE report SET later = later + 1 WHERE id = ?", (report,))
            return
        self._db.execute(
            "UPDATE report SET jobs = jobs + 1, count = max(count, ?), last = max(last, ?) WHERE id = ?",
            (count, job.received_at, report),
        )
        if held and not self._db.execute("SELECT released FROM report WHERE id = ?", (report,)).fetchone()[0]:
            self._db.execute(
                "UPDATE report SET state = 'held', word = ? WHERE id = ? AND state = 'gathering'",
                (held, report),
            )
            self.held.put(report, [Evidence("message", "poison", "", held)])
        kept = self._db.execute("SELECT count(*) FROM copy WHERE report = ?", (report,)).fetchone()[0]
        if kept < MAX_COPIES:
            data = self._pack.compress(b"".join(job.encode()))
            self._db.execute("INSERT OR IGNORE INTO copy VALUES (?, ?, ?)", (report, job.id, data))

    # -- what goes out -------------------------------------------------------------------------------

    def commit(self, report: str, text: bytes) -> None:
        """Say, for good, that a report is on its way. See Sending.commit.

        Raises:
            Unavailable: the book can't be written, or the report is not to be sent any more.
        """
        now = time.time()
        try:
            self._db.execute("PRAGMA synchronous = full")
            changed = self._db.execute(
                "UPDATE report SET state = 'sending', sent = ?, changed = ?, text = ?"
                " WHERE id = ? AND state = 'gathering'",
                (now, now, self._pack.compress(text), report),
            ).rowcount
            gone = not changed and self._state(report) != "retracting"  # that may be done twice
        except sqlite3.Error as error:
            raise Unavailable(f"{self.path}: {error}") from error
        finally:
            self._db.execute("PRAGMA synchronous = normal")
        if gone:
            raise Unavailable("it is not to be sent any more: somebody held or withdrew it meanwhile")

    def settle(self, report: str, state: State, word: str, *, keep_copy: bool = False) -> None:
        """Write down how an attempt ended.

        Args:
            report: its id.
            state: what it is now.
            word: what the counterpart said, or what is wrong.
            keep_copy: the oldest copy is needed to take the report back.
        """
        with self._transaction():
            self._db.execute(
                f"UPDATE report SET state = ?, word = ?, changed = ? WHERE id = ? AND {_OURS}",  # noqa: S608
                (state, word[:MAX_WORD], time.time(), report),
            )
            if state not in ("sent", "retracted"):
                return  # it may be released yet
            oldest = "AND job > (SELECT min(job) FROM copy WHERE report = ?)" if keep_copy else ""
            self._db.execute(
                f"DELETE FROM copy WHERE report = ? {oldest}",  # noqa: S608
                (report, report) if keep_copy else (report,),
            )

    def postpone(self, report: str, until: float, why: str, *, charged: bool = True) -> None:
        """Try again later: it has definitely not been taken.

        Args:
            report: its id.
            until: when, in seconds since the epoch.
            why: what the counterpart said.
            charged: whether this counts as an attempt of this report's; not when nobody was there.
        """
        self._db.execute(
            "UPDATE report SET due = ?, attempts = attempts + ?, word = ?, changed = ?,"  # noqa: S608
            " sent = CASE state WHEN 'retracting' THEN sent ELSE 0 END,"
            f" state = CASE state WHEN 'retracting' THEN state ELSE 'gathering' END WHERE id = ? AND {_OURS}",
            (until, charged, why[:MAX_WORD], time.time(), report),
        )

    def hold(self, report: str, why: str, evidence: list[Evidence], text: bytes) -> None:
        """Keep a report back, with the evidence, for a person to look at."""
        self.held.put(report, evidence, text)
        self.settle(report, "held", why)

    def _state(self, report: str) -> str:
        row = self._db.execute("SELECT state FROM report WHERE id = ?", (report,)).fetchone()
        return row["state"] if row else ""

    def doubt(self, *, again: bool = False) -> int:
        """Mark what a sender that is gone had on its way; only who is the one sender may ask.

        Args:
            again: it may be sent once more, as its counterpart takes each report once.
        """
        return self._db.execute(
            "UPDATE report SET state = ?, word = ?, changed = ? WHERE state = 'sending'",
            (
                "gathering" if again else "unsure",
                "the trap was stopped between the last byte and the answer",
                time.time(),
            ),
        ).rowcount

    # -- what people do ------------------------------------------------------------------------------

    def release(self, report: str) -> bool:
        """Let a report go that is held, unsure or failed; whether it was so. The gate is asked again."""
        now = time.time()
        changed = self._db.execute(
            "UPDATE report SET state = 'gathering', released = 1, attempts = 0, due = ?, changed = ?,"
            " word = 'released' WHERE id = ? AND state IN ('held', 'unsure', 'failed')"
            " AND EXISTS (SELECT 1 FROM copy WHERE report = id)",
            (now, now, report),
        ).rowcount
        if changed:
            self.held.remove(report)
        return changed > 0

    def retract(self, report: str) -> bool:
        """Have the worker take back what was sent; what was not sent yet never will be.

        Returns:
            Whether there is something to take back.
        """
        now = time.time()
        changed = self._db.execute(
            "UPDATE report SET due = ?, changed = ?, attempts = 0,"
            " word = CASE WHEN state IN ('sent', 'unsure') THEN word ELSE 'withdrawn before it was sent' END,"
            " state = CASE WHEN state IN ('sent', 'unsure') THEN 'retracting' ELSE 'retracted' END"
            " WHERE id = ? AND state IN ('gathering', 'held', 'failed', 'sent', 'unsure')",
            (now, now, report),
        ).rowcount
        self.held.remove(report)
        return changed > 0

    def forget(self, before: float) -> None:
        """Forget reports that nothing has happened to since then, and jobs that came before."""
        with self._transaction():
            gone = [row[0] for row in self._db.execute("SELECT id FROM report WHERE changed < ?", (before,))]
            for report in gone:
                self.held.remove(report)
                self._db.execute("DELETE FROM copy WHERE report = ?", (report,))
                self._db.execute("DELETE FROM report WHERE id = ?", (report,))
            self._db.execute("DELETE FROM seen WHERE job < ?", (new_id(before)[:ID_LENGTH],))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:  # whatever it was: it is raised again
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from error
