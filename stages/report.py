"""report - sum up each period, and keep a feed of facts that name nobody.

Of every message that reaches it, the stage appends one line to the feed: what may be told of it,
and why, stands in stages/reports/facts.py. Of mail that policy has marked never_report nothing is told but
that it came: no line in the feed, no network in a summary, neither its own nor its copies'.
When a period is over, one of its workers sums it up from the mail log and the feed, as text, as HTML
with charts and as JSON. A quiet period is summed up too.

In `directory`, all times UTC:

* `20261120T0700Z.txt`, `.html`, `.json`: the period that began then; `latest.*` lead to the newest;
* `feed-2026-11-20.jsonl`: the facts reported that day. After a crash a line may come twice: the
  same `id` is the same message.

In `state_dir`, readable by its owner only:

* `key`: of all hashes; whoever has it can try out addresses. A new one makes new names;
* `campaigns.json`: published name -> dedup's, by which the archive finds the campaign;
* `left-out-2026-11-20`: ids of mail marked never_report that day, for the summaries.

Killing workers at any moment loses nothing: a line is one write, a period is summed up when its
JSON file is there, which is written last, and until then whoever takes the lock begins it again.
"""

import os
import re
import secrets
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from stages.reports import render
from stages.reports.counting import summarise
from stages.reports.facts import gather
from stages.reports.feed import Feed
from stages.reports.guard import Guard
from stages.reports.leftout import LeftOut
from stages.reports.period import DAY, HOUR, MINUTE, Period, iso
from stages.reports.summary import Past, Summary
from trap.config import Duration
from trap.fsio import locked, replace_file
from trap.job import Job
from trap.stage import Pass, Unavailable
from trap.traces import registrable

GRACE = 5.0
"""Seconds between a period's end and its summary: the last lines are on their way."""
RETRY = 30.0
"""Seconds until another try, when a summary failed or another worker is at one."""
SLICE = 0.2
"""Seconds of each tick that go into a summary."""
BACKFILL = 24
"""Periods that are summed up later when nobody did in time, and that the history shows."""
MAX_CAMPAIGNS = 10_000
"""Names kept in campaigns.json."""
_REPORT = re.compile(r"(\d{8}T\d{4}Z)\.(?:txt|html|json)")
_FEED = re.compile(r"feed-(\d{4}-\d\d-\d\d)\.jsonl")


class Report:
    """The stage.

    Args:
        state_dir: for the key; on a persistent disk.
        maillog_dir: the mail log's directory.
        period: what one summary covers: whole hours, or a part of an hour that fills it up.
        directory: where reports and feed go; `reports` in state_dir when not set.
        keep: age at which reports and feed are removed.
        top: length of the lists of the largest.
        protect: names and networks (/24, /48) that must not be told besides those of recipients and
            this host's name: the trap's other names, the networks of its relays.
        trap_domains: those that the trap accepts mail for, kept like `protect`: what a stage says of
            one recipient stands in the report beside the mail of others.

    Raises:
        ValueError: a setting makes no sense, or the key is damaged.
        OSError: a directory or the key can't be used.
    """

    log_as = "reported"

    def __init__(
        self,
        state_dir: Path,
        maillog_dir: Path,
        period: Duration = Duration("1h"),
        directory: Path | None = None,
        keep: Duration = Duration("30d"),
        top: int = 10,
        protect: list[str] | None = None,
        trap_domains: list[str] | None = None,
    ) -> None:
        if period < MINUTE or period % MINUTE or (period % HOUR and HOUR % period):
            raise ValueError("period: must be whole hours, or minutes that fill up an hour")
        if keep < period:
            raise ValueError("keep: must not be shorter than period")
        if top < 1:
            raise ValueError("top: must be at least 1")
        self._state = state_dir
        self._maillog = maillog_dir
        self._length = float(period)
        self._grain = min(self._length, HOUR)
        self._keep = keep
        self._top = top
        self._directory = directory or state_dir / "reports"
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        # A host name without a domain is a word like "mail": protecting that would hide half of all senders.
        host = [name] if registrable(name := socket.gethostname()) else []
        self._guard = Guard(_key(state_dir / "key"), [*host, *(protect or ()), *(trap_domains or ())])
        self._feed = Feed(self._directory)
        self._left_out = LeftOut(state_dir)
        self._work: Iterator[None] | None = None
        self._due = 0.0

    def process(self, job: Job) -> Pass:
        """Append the job's facts to the feed, unless policy marked it never_report.

        Feed and summaries name networks and domains to others. Those who send receipts and confirmations,
        asked for by somebody with a wrong address, do not belong there.

        Raises:
            Unavailable: the feed can't be written.
        """
        # Whatever the queue of the stage policy is called, and if there are several.
        if any(isinstance(notes, dict) and notes.get("never_report") for notes in job.notes.values()):
            campaign = job.notes.get("dedup", {}).get("campaign", "")
            try:
                self._left_out.append(job.id, str(campaign), time.time())
            except OSError as error:
                raise Unavailable(f"files in {self._state}: {error}") from error
            return Pass({"left_out": "never_report"})
        fact = gather(job, self._guard, iso(time.time() // self._grain * self._grain))
        try:
            self._feed.append(fact)
        except OSError as error:
            raise Unavailable(f"feed in {self._directory}: {error}") from error
        return Pass(msgspec.to_builtins(fact))

    def tick(self) -> None:
        """Sum up what is over, a slice of time at a time.

        Raises:
            OSError: the log can't be read or a report not be written; it is tried again.
        """
        if self._work is None:
            if time.time() < self._due:
                return
            self._due = time.time() + RETRY
            self._work = self._catch_up()
        work, self._work = self._work, None
        until = time.monotonic() + SLICE
        for _ in work:
            if time.monotonic() > until:
                self._work = work
                return

    @property
    def busy(self) -> bool:
        """Whether a summary is under way: the next tick goes on with it."""
        return self._work is not None

    def close(self) -> None:
        """Leave a summary that is under way to the next worker."""
        self._work = None

    def _catch_up(self) -> Generator[None]:
        """Sum up every period that is over and has no report yet, unless another worker does."""
        with locked(self._state / "lock") as ours:
            if not ours:
                return
            current = Period.at(time.time() - GRACE, self._length)
            born = (self._state / "key").stat().st_mtime
            for back in range(BACKFILL, 0, -1):
                period = current.before(back)
                if period.end > born and not self._path(period, "json").exists():
                    yield from self._sum_up(period)
            self._clean(current)
        self._due = current.end + GRACE

    def _sum_up(self, period: Period) -> Generator[None]:
        summary, names = yield from summarise(
            period, self._feed, self._left_out, self._maillog, self._guard, self._top
        )
        summary.generated = time.time()
        summary.history = [
            Past(past.start, past.totals)
            for back in range(BACKFILL - 1, 0, -1)
            if (past := self._read(period.before(back)))
        ]
        if summary.history and summary.history[-1].start == period.before().start:
            summary.before = summary.history[-1].totals
        self._remember(names)
        # The JSON comes last: it says that the period is done.
        for kind, data in (
            ("txt", render.text(summary).encode("utf-8")),
            ("html", render.html(summary).encode("utf-8")),
            ("json", msgspec.json.format(msgspec.json.encode(summary)) + b"\n"),
        ):
            _publish(self._path(period, kind), data)
            self._point_to_latest(kind)

    def _read(self, period: Period) -> Summary | None:
        try:
            return msgspec.json.decode(self._path(period, "json").read_bytes(), type=Summary)
        except (FileNotFoundError, msgspec.MsgspecError):  # none, or one of another version
            return None

    def _remember(self, names: dict[str, str]) -> None:
        path = self._state / "campaigns.json"
        known: dict[str, str] = {}
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            known = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        for name, campaign in names.items():  # the newest come last
            known.pop(name, None)
            known[name] = campaign
        replace_file(path, msgspec.json.encode(dict(list(known.items())[-MAX_CAMPAIGNS:])))

    def _point_to_latest(self, kind: str) -> None:
        newest = max(path.name for path in self._directory.glob(f"*Z.{kind}"))
        link = self._directory / f"latest.{kind}"
        fresh = self._directory / f"latest.{kind}.tmp"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(newest)
        fresh.replace(link)

    def _clean(self, current: Period) -> None:
        """Remove what is too old."""
        oldest = current.start - self._keep
        name, day = Period.at(oldest, self._length).name, iso(oldest - DAY)[:10]
        self._left_out.clean(day)
        for path in self._directory.iterdir():
            report, feed = _REPORT.fullmatch(path.name), _FEED.fullmatch(path.name)
            if (report and report[1] < name) or (feed and feed[1] < day):
                path.unlink(missing_ok=True)

    def _path(self, period: Period, kind: str) -> Path:
        return self._directory / f"{period.name}.{kind}"


def _key(path: Path) -> bytes:
    """The key in a file; made when there is none, by exactly one of all that ask."""
    if not path.exists():
        fresh = path.with_name(f"key.{os.getpid()}.tmp")
        replace_file(fresh, secrets.token_hex(32).encode("ascii"))
        with suppress(FileExistsError):  # another worker was faster: its key counts
            os.link(fresh, path)
        fresh.unlink()
    try:
        secret = bytes.fromhex(path.read_text("ascii"))
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise ValueError(f"{path} is damaged; without it a new key, and with it new names, are made")
    return secret


def _publish(path: Path, data: bytes) -> None:
    """Put a report in place, whole, for those to read who may read the directory."""
    replace_file(path, data)
    path.chmod(0o640)
