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

A report that may have arrived, and is sent once more all the same, is `doubtful`: nobody calls it unsent.
"""

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from trap.job import Job
from trap.reports.held import Evidence
from trap.reports.report import State
from trap.reports.shelf import Shelf
from trap.stage import Unavailable

MAX_COPIES = 5
"""Copies of a campaign that are kept until it is reported: what differs between them tells who got them."""
LARGE, MAX_LARGE = 1 << 20, 2
"""Bytes of a copy from which on fewer are kept, and how many."""
MAX_REACHED = 20
"""Recipients of one copy that are counted."""
MAX_WORD = 500
"""Characters of an answer that are kept."""

_OURS = "state IN ('gathering', 'sending', 'retracting')"
"""A person was not faster than we were."""


class Book(Shelf):
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
        gather: float, held: str = "", full: Exception | None = None,
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
            full: what is raised when this would begin a report; it is not taken in then.

        Returns:
            The report's id for each recipient.

        Raises:
            OSError: the book can't be written.
        """
        with self._transaction():
            new = self._change("INSERT OR IGNORE INTO seen VALUES (?)", (job.id,))
            if not new:  # whoever had it died before it passed on
                latest = [(recipient, self._latest(campaign, recipient)) for recipient in recipients]
                return {recipient: report["id"] for recipient, report in latest if report}
            found: dict[str, str] = {}
            for recipient in recipients:
                report, open_ = self._running(campaign, recipient, period)
                if not report and full:
                    raise full
                report = report or self._begin(campaign, recipient, gather, job.received_at, held)
                self._count(report, open_, job, count, held, spare=bool(full))
                found[recipient] = report
        return found

    def _latest(self, campaign: str, recipient: str) -> Any:
        """The newest report of a campaign to a recipient, if there is one."""
        rows = self._rows(
            "SELECT id, state, created, later, count FROM report WHERE campaign = ? AND recipient = ?"
            " ORDER BY created DESC LIMIT 1",
            (campaign, recipient),
        )
        return rows[0] if rows else None

    def _running(self, campaign: str, recipient: str, period: float) -> tuple[str, bool]:
        """The report of the running period, "" if there is none; whether it is still to be sent."""
        before = self._latest(campaign, recipient)
        # What nobody has sent yet goes on gathering, however old it is.
        if before and before["state"] in ("gathering", "held"):
            return before["id"], True
        if before and time.time() < before["created"] + period:
            return before["id"], False
        return "", True

    def _begin(self, campaign: str, recipient: str, gather: float, first: float, held: str) -> str:
        """A new report."""
        now, before = time.time(), self._latest(campaign, recipient)
        name = f"{self.path.stem}\0{recipient}\0{campaign}\0{now}"
        report = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:20]
        carried, base = (before["later"], before["count"]) if before else (0, 0)
        state = "held" if held else "gathering"
        self._change(
            "INSERT INTO report (id, recipient, campaign, state, carried, base, first, last, created,"
            " changed, due, word) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (report, recipient, campaign, state, carried, base, first, first, now, now, now + gather, held),
        )
        if held:
            self.held.put(report, [Evidence("message", "poison", "", held)])
        return report

    def _count(self, report: str, open_: bool, job: Job, count: int, held: str, *, spare: bool) -> None:
        """Add a copy to a report; to the next one's weight, when it is not open any more.

        With `spare` the copy is kept only if it is the first.
        """
        if not open_:
            self._change("UPDATE report SET later = later + 1 WHERE id = ?", (report,))
            return
        self._change(
            "UPDATE report SET jobs = jobs + 1, count = max(count, ?), last = max(last, ?) WHERE id = ?",
            (count, job.received_at, report),
        )
        for trap in {_trap(address) for address in job.envelope.rcpt_tos[:MAX_REACHED]}:
            self._change("INSERT OR IGNORE INTO reached VALUES (?, ?)", (report, trap))
        if held and self._change(
            "UPDATE report SET state = 'held', word = ?"
            " WHERE id = ? AND state = 'gathering' AND NOT released",
            (held, report),
        ):
            self.held.put(report, [Evidence("message", "poison", "", held)])
        kept = self._rows("SELECT count(*) FROM copy WHERE report = ?", (report,))[0][0]
        if kept < (1 if spare else MAX_COPIES if job.size < LARGE else MAX_LARGE):
            data = self._pack.compress(b"".join(job.encode()))
            self._change("INSERT OR IGNORE INTO copy VALUES (?, ?, ?)", (report, job.id, data))

    # -- what goes out -------------------------------------------------------------------------------

    def begin(self, report: str, *, end: bool = False) -> None:
        """Say that a report is being composed, or `end` that it was: what kills its sender is found out."""
        self._change(f"UPDATE report SET begun = {'0' if end else 'begun + 1'} WHERE id = ?", (report,))  # noqa: S608

    def commit(self, report: str, text: bytes) -> None:
        """Say, for good, that a report is on its way. See Sending.commit.

        Raises:
            Unavailable: the book can't be written, or the report is not to be sent any more.
        """
        now = time.time()
        try:
            self._change("PRAGMA synchronous = full")
            changed = self._change(
                "UPDATE report SET state = 'sending', sent = ?, changed = ?, text = ?"
                " WHERE id = ? AND state = 'gathering'",
                (now, now, self._pack.compress(text), report),
            )
            gone = not changed and self._state(report) != "retracting"  # that may be done twice
        except OSError as error:
            raise Unavailable(str(error)) from error
        finally:
            with suppress(OSError):  # to be too careful does no harm
                self._change("PRAGMA synchronous = normal")
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
            self._change(
                "UPDATE report SET state = ?, word = ?, changed = ?, begun = 0,"  # noqa: S608
                f" doubtful = doubtful AND ? != 'sent' WHERE id = ? AND {_OURS}",
                (state, word[:MAX_WORD], time.time(), state, report),
            )
            if state not in ("sent", "retracted"):
                return  # it may be released yet
            oldest = "AND job > (SELECT min(job) FROM copy WHERE report = ?)" if keep_copy else ""
            self._change(
                f"DELETE FROM copy WHERE report = ? {oldest}",  # noqa: S608
                (report, report) if keep_copy else (report,),
            )

    def postpone(
        self, report: str, until: float, why: str, *, charged: bool = True, doubtful: bool = False
    ) -> None:
        """Try again later.

        Args:
            report: its id.
            until: when, in seconds since the epoch.
            why: what the counterpart said.
            charged: whether this counts as an attempt of this report's; not when nobody was there.
            doubtful: whether it may have been taken.
        """
        self._change(
            "UPDATE report SET due = ?, attempts = attempts + ?, word = ?, changed = ?, begun = 0,"  # noqa: S608
            " doubtful = doubtful OR ?,"
            " sent = CASE WHEN state = 'retracting' OR doubtful OR ? THEN sent ELSE 0 END,"
            f" state = CASE state WHEN 'retracting' THEN state ELSE 'gathering' END WHERE id = ? AND {_OURS}",
            (until, charged, why[:MAX_WORD], time.time(), doubtful, doubtful, report),
        )

    def hold(self, report: str, why: str, evidence: list[Evidence], text: bytes) -> None:
        """Keep a report back, with the evidence, for a person to look at."""
        self.held.put(report, evidence, text)
        self.settle(report, "held", why)

    def _state(self, report: str) -> str:
        return "".join(row["state"] for row in self._rows("SELECT state FROM report WHERE id = ?", (report,)))

    def doubt(self, *, again: bool = False) -> int:
        """Mark what a sender that is gone had on its way; only who is the one sender may ask.

        Args:
            again: it may be sent once more, as its counterpart takes each report once.
        """
        return self._change(
            "UPDATE report SET state = ?, word = ?, changed = ?, doubtful = 1 WHERE state = 'sending'",
            (
                "gathering" if again else "unsure",
                "the trap was stopped between the last byte and the answer",
                time.time(),
            ),
        )

    # -- what people do ------------------------------------------------------------------------------

    def release(self, report: str) -> bool:
        """Let a report go that is held, unsure or failed; whether it was so. The gate is asked again."""
        now = time.time()
        changed = self._change(
            "UPDATE report SET doubtful = doubtful OR state = 'unsure', state = 'gathering', released = 1,"
            " attempts = 0, begun = 0, due = ?, changed = ?, word = 'released'"
            " WHERE id = ? AND state IN ('held', 'unsure', 'failed')"
            " AND EXISTS (SELECT 1 FROM copy WHERE report = id)",
            (now, now, report),
        )
        if changed:
            self.held.remove(report)
        return changed > 0

    def retract(self, report: str, *, possible: bool = True) -> bool:
        """Have the worker take back what was sent; what was not sent yet never will be.

        Args:
            report: its id.
            possible: whether what was sent can be taken back; if not, what is doubtful is unsure at least.

        Returns:
            Whether there is something to take back.
        """
        now = time.time()
        there = "(state IN ('sent', 'unsure') OR doubtful)"
        changed = self._change(
            f"UPDATE report SET due = ?, changed = ?, attempts = 0,"  # noqa: S608
            f" word = CASE WHEN {there} THEN word ELSE 'withdrawn before it was sent' END,"
            f" doubtful = doubtful OR state = 'unsure',"
            f" state = CASE WHEN {there} THEN ? ELSE 'retracted' END"
            " WHERE id = ? AND state IN ('gathering', 'held', 'failed', 'sent', 'unsure')",
            (now, now, "retracting" if possible else "unsure", report),
        )
        if changed:
            self.held.remove(report)
        return changed > 0


def _trap(address: str) -> bytes:
    """One address, however it is written, and with whatever tag; a number is enough to count them by."""
    local, _, domain = address.lower().rpartition("@")
    name = f"{local.partition('+')[0]}@{domain}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(name, digest_size=8).digest()
