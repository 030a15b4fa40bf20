"""What a job costs in a directory queue, beside the bare system calls and the queues of others.

    python bench/queues.py [--quick] [--huge 1] [--json FILE]

Jobs of 10 KiB on tmpfs. All queues are measured in turns in one run, with 1,000, 10,000 and 100,000
jobs waiting in each, so that the machine's mood cancels out; --huge measures ours and the bare calls
with a million of 3,000 bytes too (11 GB). A claim reads its job. "move" passes it to another queue,
changed: ours and the bare calls write its notes anew. Ours carries envelope and notes and writes a
line of the mail log for each deed, the others carry bare bytes and log nothing; to our claims the cost
of listing the directory is added, a share for each job listed. "spamtrap, no log" is our queue in
dirq's own task, with bare bytes and no log.

Then come several processes at one queue, and a worker that waits: how soon it has a job that comes,
and what waiting costs it when 5,000 come a second.
"""

import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import queue_workers
from kit import MEMORY, OURS, Missing, Report, options
from queue_peers import BARE, DIRQ, DIRQUEUE, RAW, SUBJECTS, Subject

SIZE, SMALL = 10 << 10, 3000
"""Bytes of a message; SMALL takes one page with its envelope."""
PLACE = 13 << 10
"""Bytes that a job of SIZE takes on tmpfs, at most."""
SPAN = 0.012
"""Seconds that a sample should take."""
UNITS = {"put": "put", "drop": "claim + drop", "move": "claim + pass"}
AIMS = {
    ("put", OURS, RAW): ">= 0.6",
    ("drop", OURS, RAW): ">= 0.6",
    ("move", OURS, RAW): ">= 0.6",
    ("put", BARE, DIRQ): ">= 1",
    ("drop", BARE, DIRQ): ">= 1",
    ("put", OURS, DIRQUEUE): ">= 2",
    ("drop", OURS, DIRQUEUE): ">= 5",
}
FLAT = ">= 0.833"
"""At most 1.2 times the time."""

Samples = dict[tuple[str, str], list[float]]
"""Jobs a second by deed and subject, one a round."""


@contextmanager
def directory() -> Iterator[Path]:
    below = tempfile.mkdtemp(prefix="bench-queue-", dir=MEMORY)
    try:
        yield Path(below)
    finally:
        shutil.rmtree(below)


@contextmanager
def opened(report: Report, names: list[str], size: int) -> Iterator[dict[str, Subject]]:
    """The subjects that can be had here, by name."""
    with directory() as base:
        subjects: dict[str, Subject] = {}
        try:
            for number, name in enumerate(names):
                (base / str(number)).mkdir()
                try:
                    subjects[name] = SUBJECTS[name](base / str(number), size)
                except Missing as missing:
                    report.note(f"missing: {missing}")
            yield subjects
        finally:
            for subject in subjects.values():
                subject.close()


# Deeds, at several depths


class Lane:
    """One subject, filled to a depth, and how its samples are taken."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.depth = 0
        self._counts: dict[str, int] = {}
        self._listing = 0.0

    def fill(self, depth: int) -> None:
        """Put jobs until so many wait, and find out how many deeds make a sample."""
        self.subject.do("put", depth - self.depth)
        self.depth = depth
        self.subject.do("put", 20)
        self.subject.do("drop", 10)  # the first lists
        for deed in ("drop", "move"):
            self._counts[deed] = max(5, min(400, round(SPAN * 5 / self.subject.do(deed, 5))))
        self.subject.do("clear", 5)
        if "list" in self.subject.deeds:
            spans = [self.subject.do("list", 1) for _ in range(3)]
            self._listing = statistics.median(spans) / depth

    def sample(self) -> dict[str, float]:
        """Jobs a second of each deed."""
        drops, moves = self._counts["drop"], self._counts["move"]
        spans = {
            "put": self.subject.do("put", drops + moves) / (drops + moves),
            "drop": self.subject.do("drop", drops) / drops + self._listing,
            "move": self.subject.do("move", moves) / moves + self._listing,
        }
        self.subject.do("clear", moves)
        return {deed: 1 / span for deed, span in spans.items()}


def at_depth(lanes: dict[str, Lane], depth: int, rounds: int) -> Samples:
    """Fill all to a depth, and take samples in turns."""
    for lane in lanes.values():
        lane.fill(depth)
    samples: Samples = {}
    names = list(lanes)
    for number in range(rounds):
        at = number % len(names)
        for name in names[at:] + names[:at]:  # who comes behind whom should not matter
            for deed, rate in lanes[name].sample().items():
                samples.setdefault((deed, name), []).append(rate)
    return samples


def compare(report: Report, samples: Samples, depth: int) -> None:
    """Rows of one depth: each beside the bare calls, and ours beside those it is to be held against."""
    for (deed, name), rates in samples.items():
        what = f"{UNITS[deed]}, jobs/s, {depth:,} waiting"
        aim = {"aim": AIMS[deed, OURS, RAW]} if name == OURS else {}
        peer = samples[deed, RAW] if name != RAW else ()
        report.add(what, name, rates, peer=peer, to=RAW, depth=depth, **aim)
    for (deed, mine, theirs), wish in AIMS.items():
        if theirs != RAW and (deed, theirs) in samples:
            what, peer = f"{UNITS[deed]}, jobs/s, {depth:,} waiting", samples[deed, theirs]
            report.add(what, mine, samples[deed, mine], peer=peer, to=theirs, depth=depth, aim=wish)


def growth(report: Report, first: Samples, last: Samples, shallow: int, deep: int) -> None:
    """Rows that hold the deepest queue against the shallowest."""
    for (deed, name), rates in last.items():
        if name in {OURS, RAW, DIRQ, "mailbox.Maildir"}:
            aim = {"aim": FLAT} if name == OURS else {}
            what = f"{UNITS[deed]}, jobs/s, {deep:,} waiting"
            report.add(
                what, name, rates, peer=first[deed, name], to=f"{shallow:,} waiting", depth=deep, **aim
            )


def has_room(report: Report, jobs: int, place: int) -> bool:
    """Whether the memory is there for so many jobs; if not, it is noted."""
    with open("/proc/meminfo") as file:
        available = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    disk = os.statvfs(MEMORY)
    enough = min(available, disk.f_bavail * disk.f_frsize) > jobs * place * 1.3
    if not enough:
        report.note(f"no room in {MEMORY} for {jobs:,} jobs of {place:,} bytes")
    return enough


def depths(report: Report, names: list[str], steps: list[int], size: int, rounds: int) -> None:
    """Measure at every depth there is room for, and how the deepest compares to the first."""
    with opened(report, names, size) as subjects:
        lanes = {name: Lane(subject) for name, subject in subjects.items()}
        found: list[tuple[int, Samples]] = []
        for depth in steps:
            more = (depth - (found[-1][0] if found else 0)) * len(lanes)
            if not has_room(report, more, PLACE if size == SIZE else PLACE // 2):
                break
            found.append((depth, at_depth(lanes, depth, rounds)))
            compare(report, found[-1][1], depth)
        if len(found) > 1:
            (shallow, first), (deep, last) = found[0], found[-1]
            growth(report, first, last, shallow, deep)


def main() -> None:
    settings = options(__doc__, huge=(int, 0, "a million jobs as well; takes 11 GB"))
    quick, rounds = settings.quick, 4 if settings.quick else 15
    report = Report("queues")
    names = list(SUBJECTS)
    depths(report, names, [1_000, 10_000] if quick else [1_000, 10_000, 100_000], SIZE, rounds)
    if settings.huge:
        depths(report, [RAW, OURS], [1_000, 1_000_000], SMALL, rounds)
    queue_workers.measure(report, 2 if quick else 7)
    report.write(settings.json)


if __name__ == "__main__":
    main()
