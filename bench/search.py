"""How long a page of the archive takes, by the size of the archive, beside others on the same mail.

    python bench/search.py [--sizes 10000,100000,1000000] [--dir DIR] [--quick] [--json FILE]

Archives are made of mailfactory's mail, through store and indexer as a trap has them; with --dir they are
kept, and what is there is not made again. Then each page of search_pages.py is asked for, with some two
hundred different queries, ours and the others' in turns. Times are those of a process that has the index
open, with its files in the kernel's cache. With notmuch each search is a process: what one takes that
finds nothing is taken off.
"""

import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import kit
from corpus import needed
from mailfactory import Factory
from search_ours import Ours
from search_pages import CAMPAIGNS, NETWORK, PAGES, RARE, THOUSAND, Ask, asks
from search_peers import Naive, Notmuch, Peer, Tantivy

PEERS = (Naive, Tantivy, Notmuch)
LARGEST = {Notmuch.name: 100_000}
"""Messages that a peer is asked to index at most: a million took longer than all of the rest together."""
UNKNOWN = {Notmuch.name: (NETWORK, CAMPAIGNS), Naive.name: (CAMPAIGNS,), Tantivy.name: (CAMPAIGNS,)}
"""Pages that a peer has no answer to: it knows no campaigns, or no client's address."""
ROUNDS = 4
BUDGET = 30.0
"""Seconds for all queries of a page to one subject; it does fewer when it is slower."""
PERCENTILES = (0.5, 0.95, 0.99)
AIM, GROWTH = "<= 100", "<= 2"


def main() -> None:
    options = kit.options(
        __doc__,
        sizes=(str, "10000,100000,1000000", "messages in each archive"),
        dir=(Path, None, "where archives and indexes are kept; they take some 15 GB"),
        peers=(int, 1, "0: only ours"),
    )
    corpus = needed()
    sizes = [2000, 10_000] if options.quick else [int(size) for size in options.sizes.split(",")]
    report = kit.Report("search")
    costs: list[list[object]] = []
    times: dict[int, dict[str, dict[str, list[float]]]] = {}
    with ExitStack() as stack:
        base = options.dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-search-")))
        for size in sizes:
            subjects = list(_filled(base / str(size), corpus, size, bool(options.peers), costs, report))
            times[size] = measured(subjects, size, report)
    tell(report, times, costs)
    report.write(options.json)


def _filled(
    base: Path, corpus: Path, size: int, peers: bool, costs: list[list[object]], report: kit.Report
) -> Iterator[Peer]:
    """Ours and the others, each with all mail in it."""
    mails = Factory(corpus, size).mails
    for kind in (Ours, *(PEERS if peers else ())):
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


def measured(subjects: Sequence[Peer], size: int, report: kit.Report) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each query, by page and subject."""
    dice = random.Random(size)
    ours = next(subject for subject in subjects if isinstance(subject, Ours))
    every = asks(size, ours.some(300, dice), dice)
    found: dict[str, dict[str, list[float]]] = {}
    for page in PAGES:
        able = [subject for subject in subjects if page not in UNKNOWN.get(subject.name, ())]
        found[page] = {subject.name: [] for subject in able}
        counted = {subject.name: asked(subject, page, every[page][:1])[1] for subject in able}
        for at in range(ROUNDS):
            for subject in able:
                taken = found[page][subject.name]
                if sum(taken) < BUDGET * 1000 * (at + 1) / ROUNDS:
                    more, counts = asked(subject, page, every[page][at::ROUNDS], BUDGET / ROUNDS)
                    taken += more
                    counted[subject.name] += counts
        if page in (RARE, THOUSAND) and len({tuple(counts) for counts in counted.values()}) > 1:
            shortest = min(map(len, counted.values()))
            if len({tuple(counts[:shortest]) for counts in counted.values()}) > 1:
                report.note(f"{page}, {size:,}: not all found the same number of messages")
    return found


def asked(subject: Peer, page: str, asks: Sequence[Ask], budget: float = 60) -> tuple[list[float], list[int]]:
    """Milliseconds of each query, and the messages it found; fewer when the budget, in seconds, is spent."""
    start = subject.start() if isinstance(subject, Notmuch) else 0.0
    taken, counts = [], []
    for ask in asks:
        began = time.perf_counter()
        counts.append(subject.ask(page, ask))
        taken.append(max(0.0, time.perf_counter() - began - start) * 1000)
        if sum(taken) > budget * 1000:
            break
    return taken, counts


def tell(
    report: kit.Report, times: dict[int, dict[str, dict[str, list[float]]]], costs: list[list[object]]
) -> None:
    """All figures."""
    for size, pages in times.items():
        rows: list[list[object]] = [
            [page, subject, *(kit.percentile(taken, share) for share in PERCENTILES), len(taken)]
            for page, subjects in pages.items()
            for subject, taken in subjects.items()
        ]
        report.table(f"{size:,} messages, ms", ["page", "whose", "p50", "p95", "p99", "queries"], rows)
    largest = max(times)
    for page in PAGES:
        for size, pages in times.items():
            mine = pages[page][kit.OURS]
            p99 = [kit.percentile(mine, 0.99)]
            if size == largest:
                report.add(f"p99 ms, {page}, {size:,}", kit.OURS, p99, aim=AIM)
            else:
                report.add(f"p99 ms, {page}, {size:,}", kit.OURS, p99)
    for smaller, size in zip(sorted(times), sorted(times)[1:], strict=False):
        for page in PAGES:
            grown = kit.percentile(times[size][page][kit.OURS], 0.99)
            was = kit.percentile(times[smaller][page][kit.OURS], 0.99)
            report.add(
                f"p99, {page}, {size:,}", kit.OURS, [grown], peer=[was], to=f"at {smaller:,}", aim=GROWTH
            )
    report.table("Indexing", ["messages", "whose", "CPU µs a message", "bytes a message"], costs)


if __name__ == "__main__":
    main()
