"""What happened in a period, counted from the mail log and the feed.

The mail log knows every message: when it came, from where, how it ended and how long each stage
took. The feed knows more of those that went the whole way: sender, language, campaign. Both are
files that any process can read again, so nothing is kept between two summaries, and a process that
dies in the middle of one leaves nothing behind.

A period of a busy trap is millions of lines, so `summarise` is a generator that stops every few
thousand of them: the worker that drives it does its ordinary work in between.
"""

import re
from collections import Counter
from collections.abc import Generator, Iterator
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from stages.reports.facts import Fact
from stages.reports.feed import Feed
from stages.reports.guard import Guard
from stages.reports.leftout import MAX_KNOWN, LeftOut
from stages.reports.period import Period
from stages.reports.summary import Campaign, Drop, Row, Series, StageTimes, Summary, Totals
from stages.reports.tally import Histogram, Recent, Top
from trap.ledger import Event, events, events_since
from trap.maillog import rotated, sequence

CHUNK = 2_000
"""Lines read between two stops."""
MAX_COLUMNS = 60
STEPS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)
"""Widths, in seconds, of a column of messages over time: the first that needs at most MAX_COLUMNS."""
SIZES = (1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 18, 1 << 20)
"""Bounds of the classes of message sizes, in bytes."""
_TAG = re.compile(r"[\w-]{1,32}")
_CLASSES = ("sender", "country", "language", "charset", "helo", "tls")
"""Fields of a fact that are counted by what they say."""
_HELO_WORDS = frozenset({"own", "address", "word", "none"})

T = TypeVar("T")


class Counting:
    """Counts events and facts as they come. Its size does not depend on their number."""

    def __init__(self, period: Period, guard: Guard) -> None:
        self.period = period
        self.guard = guard
        self.totals = Totals()
        step = next((step for step in STEPS if period.length / step <= MAX_COLUMNS), STEPS[-1])
        columns = int(-(-period.length // step))
        self.series = Series(step, [0] * columns, [0] * columns, [0] * columns)
        self.stages: dict[str, tuple[Counter[str], Histogram, Histogram]] = {}
        self.drops = Top()
        self.networks = Top()
        self.copies = Top()
        self.sizes = [0] * (len(SIZES) + 1)
        self.tags = Top()
        self.campaigns = Top()
        self.by = {name: Top() for name in _CLASSES}
        self.facts = 0
        self.hidden: set[str] = set()
        """Messages that nobody may be named by."""
        self.left_out: set[str] = set()
        """Campaigns of theirs."""
        self._recent = Recent()

    def event(self, event: Event) -> None:
        """Count a line of the mail log."""
        if event.t >= self.period.end:
            return
        if event.e in {"requeued", "bad"}:
            self._add(event.e)
        elif not self._recent.again(hash((event.id, event.e, event.q))):
            if event.e == "accepted":
                self._accepted(event)
            elif event.e in {"shed", "purged"}:
                self._add(event.e)
            elif event.to or event.e in {"done", "dropped"}:
                self._judged(event)

    def fact(self, fact: Fact) -> None:
        """Count a line of the feed."""
        if self._recent.again(fact.id):
            return
        self.facts += 1
        if fact.campaign:
            self.campaigns.add(fact.campaign)
        for name, top in self.by.items():
            if value := getattr(fact, name):
                top.add("domain" if name == "helo" and value not in _HELO_WORDS else value)

    def _add(self, field: str) -> None:
        setattr(self.totals, field, getattr(self.totals, field) + 1)

    def _accepted(self, event: Event) -> None:
        self._add("accepted")
        self.totals.bytes += event.size
        self.series.accepted[self._column(event)] += 1
        if event.id not in self.hidden:
            self.networks.add(self.guard.network(event.ip) or "unknown")
        self.sizes[sum(event.size >= bound for bound in SIZES)] += 1
        for tag in event.tags:
            self.tags.add(self.guard.reason(tag) if _TAG.fullmatch(tag) else "other")

    def _judged(self, event: Event) -> None:
        done = event.did or event.e
        ends, age, took = self.stages.setdefault(event.q, (Counter(), Histogram(), Histogram()))
        ends["dropped" if done == "dropped" else "passed"] += 1
        age.add(event.age)
        took.add(event.took)
        if done == "dropped":
            self._add("dropped")
            self.series.dropped[self._column(event)] += 1
            self.drops.add(f"{event.q}\0{self.guard.reason(event.reason)}")
            campaign = event.notes.get("campaign")
            if campaign and campaign not in self.left_out:
                self.copies.add(str(campaign))
        elif done == "archived":
            self._add("archived")
            self.series.archived[self._column(event)] += 1
        elif done == "reported" and event.id not in self.hidden:
            self._add("reported")

    def _column(self, event: Event) -> int:
        return int(event.t - self.period.start) // self.series.step


def summarise(
    period: Period, feed: Feed, left_out: LeftOut, maillog: Path, guard: Guard, top: int
) -> Generator[None, None, tuple[Summary, dict[str, str]]]:
    """Summarise a period, step by step.

    Args:
        period: must be over.
        feed: the facts.
        left_out: messages of which nothing is told but that they came.
        maillog: directory of the mail log.
        guard: decides what is told.
        top: length of the lists of the largest.

    Returns:
        The summary, and dedup's name of each published campaign that is known: not to be published.

    Raises:
        OSError: the log or the feed can't be read.
    """
    counting = Counting(period, guard)
    counting.hidden, counting.left_out = left_out.read(period)
    if counting.left_out:
        yield from _hide_copies(counting, maillog)
    for event in _stopping(events_since(maillog, period.start)):
        if event:
            counting.event(event)
        else:
            yield
    for fact in _stopping(feed.read(period)):
        if fact:
            counting.fact(fact)
        else:
            yield
    names = {}
    for name, count in counting.copies.most():
        published = guard.campaign(name)
        counting.campaigns.add(published, count)
        names[published] = name
    largest = counting.campaigns.most(top)
    details = {name: _Details() for name, _ in largest}
    seen = Recent()
    for fact in _stopping(feed.read(period)):
        if not fact:
            yield
        elif fact.campaign in details and not seen.again(fact.id):
            details[fact.campaign].add(fact)
    campaigns = [details[name].campaign(name, count) for name, count in largest]
    summary = _summary(counting, campaigns, top)
    summary.log_from = _log_from(maillog, period)
    return summary, {name: names[name] for name, _ in largest if name in names}


def _hide_copies(counting: Counting, maillog: Path) -> Generator[None]:
    """Name nobody by the copies of what is left out, either: they ended at dedup."""
    for event in _stopping(events_since(maillog, counting.period.start)):
        if not event:
            yield
        elif event.notes.get("campaign") in counting.left_out and len(counting.hidden) < MAX_KNOWN:
            counting.hidden.add(event.id)


class _Details:
    """What the facts of one campaign say."""

    def __init__(self) -> None:
        self._count = 0
        self._networks = Top()
        self._by = {name: Top() for name in ("sender", "charset", "size")}

    def add(self, fact: Fact) -> None:
        self._count += 1
        self._networks.add(fact.net)
        for name, top in self._by.items():
            top.add(str(getattr(fact, name)))

    def campaign(self, name: str, messages: int) -> Campaign:
        most = {field: top.most(1)[0][0] if self._count else "" for field, top in self._by.items()}
        return Campaign(
            id=name,
            messages=messages,
            reported=self._count,
            networks=self._networks.distinct,
            sender=most["sender"],
            charset=most["charset"],
            size=int(most["size"] or 0),
        )


def _summary(counting: Counting, campaigns: list[Campaign], top: int) -> Summary:
    stages = [
        StageTimes(name, ends["passed"], ends["dropped"], age.summary(), took.summary())
        for name, (ends, age, took) in counting.stages.items()
    ]
    names = [*(str(bound) for bound in SIZES), "more"]
    drops = [(key.partition("\0"), count) for key, count in counting.drops.most(2 * top)]
    return Summary(
        start=counting.period.start,
        end=counting.period.end,
        generated=0.0,
        totals=counting.totals,
        series=counting.series,
        stages=sorted(stages, key=attrgetter("age.p50")),
        drops=[Drop(stage, reason, count) for (stage, _, reason), count in drops],
        networks=_rows(counting.networks, top),
        networks_distinct=counting.networks.distinct,
        campaigns=campaigns,
        campaigns_distinct=counting.campaigns.distinct,
        sizes=[Row(name, count) for name, count in zip(names, counting.sizes, strict=True)],
        tags=_rows(counting.tags, top),
        facts=counting.facts,
        by={name: _rows(found, top) for name, found in counting.by.items()},
    )


def _rows(found: Top, top: int) -> list[Row]:
    return [Row(name, count) for name, count in found.most(top)]


def _log_from(maillog: Path, period: Period) -> float:
    """When the log's older files are gone: the time of the first event left, if the period began before."""
    files = rotated(maillog)
    if not files or sequence(files[0]) == 1:
        return 0.0
    try:
        first = next(events(files[0]), None)
    except FileNotFoundError:  # removed in this moment
        return 0.0
    return first.t if first and first.t > period.start else 0.0


def _stopping(items: Iterator[T]) -> Iterator[T | None]:
    """The items, with None after every CHUNK of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % CHUNK == 0:
            yield None
