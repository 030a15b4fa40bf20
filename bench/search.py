"""How long a page of the archive takes, by the size of the archive, beside others on the same mail.

    python bench/search.py [--sizes 10000,100000,1000000] [--dir DIR] [--quick] [--json FILE]

Archives are made of mailfactory's mail, through store and indexer as a trap has them; with --dir they are
kept, and what is there is not made again. Then each page of search_pages.py is asked for, with some two
hundred different queries, of ours and the others in turns, all of it twice; of a query's two times the
shorter counts, as a machine has other things to do. Files are in the kernel's cache. Ours is asked as the
index is (list, or list, facets and histogram), and over HTTP, where each page is a whole one. With
notmuch each search is a process: what one takes that finds nothing is taken off.
"""

import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import kit
from corpus import needed
from mailfactory import Factory
from search_ours import Ours, OverHttp
from search_pages import CAMPAIGNS, NETWORK, PAGES, RARE, THOUSAND, Ask, asks
from search_peers import Naive, Notmuch, Peer, Tantivy

PEERS = (Naive, Tantivy, Notmuch)
LARGEST = {Notmuch.name: 100_000}
"""Messages that a peer is asked to index at most: a million would take notmuch longer than all the rest."""
UNKNOWN = {Notmuch.name: (NETWORK, CAMPAIGNS), Naive.name: (CAMPAIGNS,), Tantivy.name: (CAMPAIGNS,)}
"""Pages that a peer has no answer to: it knows no campaigns, or no client's address."""
PASSES, QUICK = 2, 20
BUDGET = 20.0
"""Seconds for the queries of a page to one subject in a pass; fewer are asked of those who are slower."""
PERCENTILES = (0.5, 0.95, 0.99)
AIM, GROWTH = "<= 100", "<= 2"
OURS = (kit.OURS, OverHttp.name)

Times = dict[str, dict[str, list[float]]]
"""Milliseconds of each query, by page and subject."""


def main() -> None:
    options = kit.options(
        __doc__,
        sizes=(str, "10000,100000,1000000", "messages in each archive"),
        dir=(Path, None, "where archives and indexes are kept; they take some 25 GB"),
        peers=(int, 1, "0: only ours"),
        clock=(str, "wall", "or cpu: milliseconds of CPU, where the machine is too busy for others"),
        nth=(int, 1, "ask only each nth of the queries"),
    )
    corpus = needed()
    sizes = [2000, 10_000] if options.quick else [int(size) for size in options.sizes.split(",")]
    report = kit.Report("search")
    costs: list[list[object]] = []
    times: dict[int, Times] = {}
    with ExitStack() as stack:
        base = options.dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-search-")))
        for size in sizes:
            kinds = [kind for kind in PEERS if options.peers and not (options.quick and kind is Notmuch)]
            subjects = list(filled(base / str(size), corpus, size, kinds, costs, report))
            with ExitStack() as served:
                subjects.insert(1, served.enter_context(OverHttp(base / str(size))))
                nth = QUICK if options.quick else options.nth
                times[size] = measured(subjects, size, nth, options.clock == "cpu", report)
            say_sizes(report, subjects[0], size)
    if options.clock == "cpu":
        report.note("milliseconds are those of CPU: the machine was busy with other things")
    tell(report, times, costs)
    report.write(options.json)


def filled(
    base: Path,
    corpus: Path,
    size: int,
    kinds: Sequence[type[Naive | Tantivy | Notmuch]],
    costs: list[list[object]],
    report: kit.Report,
) -> Iterator[Peer]:
    """Ours and the others, each with all mail in it."""
    mails = Factory(corpus, size).mails
    for kind in (Ours, *kinds):
        if size > LARGEST.get(kind.name, size):
            report.note(f"{kind.name} is left out at {size:,} messages")
            continue
        try:
            subject: Peer = kind(base)
        except kit.Missing as missing:
            report.note(f"left out: {missing}")
            continue
        noted = base / f"{kind.__name__}.json"
        if not noted.exists():
            noted.write_text(json.dumps(subject.fill(mails) / size * 1e6))
        costs.append([f"{size:,}", subject.name, json.loads(noted.read_text()), subject.size() / size])
        yield subject


def measured(subjects: Sequence[Peer], size: int, nth: int, cpu: bool, report: kit.Report) -> Times:
    """Ask for all pages, each nth of the queries; milliseconds of CPU or of the clock on the wall."""
    dice = random.Random(size)
    ours = next(subject for subject in subjects if isinstance(subject, Ours))
    made = asks(size, ours.some(300, dice), dice)
    every = {page: made[page][::nth] for page in PAGES}
    found: Times = {}
    for page in PAGES:
        able = [subject for subject in subjects if page not in UNKNOWN.get(subject.name, ())]
        for subject in able:
            subject.ask(page, every[page][0])
        passes = [asked(able, page, every[page], cpu) for _ in range(PASSES)]
        found[page] = {
            subject.name: [min(both) for both in zip(*(each[subject.name] for each in passes), strict=False)]
            for subject in able
        }
        if page in (RARE, THOUSAND):
            agree(able, page, every[page][::10], size, report)
    return found


def asked(subjects: Sequence[Peer], page: str, every: Sequence[Ask], cpu: bool) -> dict[str, list[float]]:
    """Milliseconds of each query to a page, the subjects in turns; fewer when one's budget is spent."""
    clocks = {subject.name: subject.cpu if cpu else time.perf_counter for subject in subjects}
    start = {one.name: one.start(clocks[one.name]) for one in subjects if isinstance(one, Notmuch)}
    found: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    spent = dict.fromkeys(found, 0.0)
    for ask in every:
        for subject in subjects:
            if spent[subject.name] < BUDGET:
                clock = clocks[subject.name]
                began = clock()
                subject.ask(page, ask)
                taken = clock() - began
                spent[subject.name] += taken
                found[subject.name].append(max(0.0, taken - start.get(subject.name, 0.0)) * 1000)
    return found


def say_sizes(report: kit.Report, ours: Peer, size: int) -> None:
    """What our bytes are."""
    assert isinstance(ours, Ours)
    words, rest, held = (f"{share / size:,.0f}" for share in ours.shares())
    report.note(f"bytes of ours a message, {size:,}: words {words}, rest of the index {rest}, mail {held}")


def agree(subjects: Sequence[Peer], page: str, every: Sequence[Ask], size: int, report: kit.Report) -> None:
    """Say who finds another number of messages than we do."""
    for subject in subjects[1:]:
        wrong = sum(subject.ask(page, ask) != subjects[0].ask(page, ask) for ask in every)
        if wrong:
            report.note(f"{page}, {size:,}: {subject.name} finds another number for {wrong} of {len(every)}")


def tell(report: kit.Report, times: dict[int, Times], costs: list[list[object]]) -> None:
    """All figures."""
    for size, pages in times.items():
        rows: list[list[object]] = [
            [page, subject, *(kit.percentile(taken, share) for share in PERCENTILES), len(taken)]
            for page, subjects in pages.items()
            for subject, taken in subjects.items()
        ]
        report.table(f"{size:,} messages, ms", ["page", "whose", "p50", "p95", "p99", "queries"], rows)
    sizes, largest = sorted(times), max(times)
    steps = [f"{share}, {size:,} to {more:,}" for share in ("p50", "p99") for size, more in pairwise(sizes)]
    grown = [
        (page, name, [ratio for share in (0.5, 0.99) for ratio in growth(times, sizes, page, name, share)])
        for page, subjects in times[largest].items()
        for name in subjects
        if all(name in times[size][page] for size in sizes)
    ]
    if steps:
        report.table(
            "Growth", ["page", "whose", *steps], [[page, name, *ratios] for page, name, ratios in grown]
        )
    for name in OURS:
        worst = max(kit.percentile(subjects[name], 0.99) for subjects in times[largest].values())
        report.add(f"slowest page, p99 ms, {largest:,}", name, [worst], aim=AIM)
        if steps:
            most = max(
                ratio for _, whose, ratios in grown if whose == name for ratio in ratios[len(steps) // 2 :]
            )
            report.add("largest growth of a page's p99", name, [most], aim=GROWTH)
    report.table("Indexing", ["messages", "whose", "CPU µs a message", "bytes a message"], costs)


def growth(times: dict[int, Times], sizes: Sequence[int], page: str, name: str, share: float) -> list[float]:
    """By how much a page takes longer in each archive than in the next smaller one."""
    values = [kit.percentile(times[size][page][name], share) for size in sizes]
    return [more / less for less, more in pairwise(values)]


if __name__ == "__main__":
    main()
