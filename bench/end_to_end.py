"""From port to archive: the corpus over SMTP through a whole trap, all stages on, until every message is
archived and searchable.

    python bench/end_to_end.py [--quick] [--messages N] [--rounds N] [--json FILE]
    python bench/end_to_end.py --kill 10 [--messages N]

Sustained: mail is sent as fast as it is taken, over 20 connections; the clock stops when the last
message has gone its way and is in the index. The corpus is sent again and again, each time in other
words, so that dedup drops in each round what it would drop of the corpus and not all of it; "unlike"
puts each message into words of its own, so that nearly all go the whole way. Latency: from the 250 to
the archive, by the mail log, at half the sustained rate. CPU: of every process, by the kernel's clock,
a message sent and a message that reached it.

The peer is Postfix's smtp-sink, which receives the same and does nothing with it: what the trap is
slower by is what judging, archiving and reporting cost on the same cores. The spool is on tmpfs, the
archive and all else on --dir's disk.

With --kill every process of the trap is killed so often meanwhile, and the account must balance.
"""

import argparse
import gzip
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from os import scandir
from pathlib import Path
from typing import NamedTuple

import msgspec

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import kit  # noqa: E402 - after the path is set
from corpus import needed  # noqa: E402
from smtp_load import send, stream, write  # noqa: E402
from trapkit import Trap, digests, hurt  # noqa: E402

from trap.archive.index import Index  # noqa: E402
from trap.archive.indexer import behind, ends  # noqa: E402
from trap.ledger import Event, events_since  # noqa: E402

WARM = 1500
"""Messages sent before anything is measured: processes start, the archive trains its first dictionary."""
LATE = 15.0
"""Seconds for which the latency is measured."""
PATIENCE = 300.0
INDEXER = "archive indexer"
OTHERS = ("sink", "reap", "web")
JUDGED = frozenset({"accepted", "passed", "archived", "reported", "done", "dropped"})
KINDS = {"corpus": False, "unlike": True}


class Usage(NamedTuple):
    """What one process took for one run."""

    cpu_ms: float
    """A message sent."""
    reached: float
    """Of the messages sent, the share that came to it."""


class Run(NamedTuple):
    """One run of one kind."""

    rate: float
    taken: float
    """Messages a second that were taken, while they were taken."""
    usage: dict[str, Usage]


class Home:
    """A trap at work, and what a bench asks of it."""

    def __init__(self, directory: Path, memory: Path) -> None:
        self.spool = directory / "spool"
        self.spool.symlink_to(memory)
        self.archive = directory / "archive"
        self.maillog = directory / "state" / "maillog"
        self.trap = Trap(directory, msgspec.yaml.encode({"limits": kit.LIMITS}).decode())

    def settle(self) -> None:
        """Wait until every queue is empty and all that is archived is in the index."""
        end = time.monotonic() + PATIENCE
        while self._busy() or self._unindexed():
            if time.monotonic() > end:
                sys.exit(f"the trap is not done after {PATIENCE:g} s")
            time.sleep(0.02)

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each process so far, by what it does."""
        found: Counter[str] = Counter()
        for pid, name in self.trap.children().items():
            found[_called(name)] += kit.cpu_seconds(pid)
        return found

    def events(self, since: float) -> Iterator[Event]:
        """Lines of the mail log from then on."""
        return events_since(self.maillog, since)

    def _busy(self) -> bool:
        for queue in self.spool.iterdir():
            if queue.name in {"tmp", "bad"}:
                continue
            for place in [queue / "new", *(queue / "work").glob("*")]:
                try:
                    if any(scandir(place)):
                        return True
                except (FileNotFoundError, NotADirectoryError):
                    continue
        return False

    def _unindexed(self) -> int:
        index = Index.open(self.archive)
        try:
            return behind(index, ends(self.archive, index))
        finally:
            index.close()


def _called(command: str) -> str:
    words = command.split()
    if "trap.archive.indexer" in words:
        return INDEXER
    if "work" in words:
        return words[words.index("work") + 1]
    return next((word for word in words if word in OTHERS), "other")


def sustained(home: Home, mail: Path, first: int, count: int) -> Run:
    """Send as fast as it goes, and wait until all is done."""
    since, begun, before = time.time(), time.perf_counter(), home.cpu()
    sent = send(mail, home.trap.port, first=first, count=count)
    home.settle()
    seconds = time.perf_counter() - begun
    after = home.cpu()
    reached: Counter[str] = Counter({"(sender)": count})
    for event in home.events(since):
        reached[event.q if event.e != "accepted" else "sink"] += event.e in JUDGED
        reached[INDEXER] += event.e == "archived"
    if sent.refused or reached["sink"] != count:
        sys.exit(f"{reached['sink']} of {count} messages were taken, {sent.refused} refused")
    spent = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    spent["(sender)"] = sent.cpu_seconds
    usage = {name: Usage(spent[name] / count * 1000, reached[name] / count) for name in spent}
    return Run(count / seconds, count / sent.seconds, usage)


def latency(home: Home, mail: Path, rate: float, count: int) -> list[float]:
    """Seconds from the 250 to the archive, of each message that is archived, sorted; sent at a given rate."""
    since = time.time()
    send(mail, home.trap.port, rate=rate, count=count)
    home.settle()
    taken: dict[str, float] = {}
    waited = []
    for event in home.events(since):
        if event.e == "accepted":
            taken[event.id] = event.t
        elif event.e == "archived" and event.id in taken:
            waited.append(event.t - taken[event.id])
    return sorted(waited)


@contextmanager
def at_home(where: Path | None) -> Iterator[Home]:
    """A trap that runs, its spool on tmpfs; it ends, and all of it goes, with the block."""
    with (
        tempfile.TemporaryDirectory(dir=where, prefix="bench-trap-") as directory,
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="bench-trap-") as memory,
    ):
        home = Home(Path(directory), Path(memory))
        try:
            home.trap.start()
            yield home
        finally:
            home.trap.stop()


def warm(home: Home, mail: Path) -> None:
    """Let the processes start and the archive train its first dictionary."""
    send(mail, home.trap.port, count=WARM)
    home.settle()


def measure(report: kit.Report, files: list[Path], options: argparse.Namespace, scratch: Path) -> None:
    """Every kind of stream, in turns with the peer; then the latency at half of what was sustained."""
    for kind, unlike in KINDS.items():
        mail = scratch / "mail"
        write(mail, stream(files, WARM + options.messages, unlike=unlike))
        runs, peers = [], []
        for _ in range(options.rounds):
            with at_home(options.dir) as home:
                warm(home, mail)
                runs.append(sustained(home, mail, WARM, options.messages))
            if not unlike:
                peers.append(to_peer(report, mail, options.messages))
        tell(report, kind, runs)
        if not unlike:
            if all(peers):
                report.add("messages/s, only taken", "smtp-sink", peers)
            rate = statistics.median(run.rate for run in runs) / 2
            tell_delays(report, mail, rate, options)


def to_peer(report: kit.Report, mail: Path, count: int) -> float:
    """Messages a second that smtp-sink takes; 0 when it is not there."""
    try:
        with kit.running("smtp-sink", core=None) as sink:
            return count / send(mail, sink.port, first=WARM, count=count).seconds
    except kit.Missing as missing:
        report.note(f"missing: {missing}")
        return 0.0


def tell(report: kit.Report, kind: str, runs: list[Run]) -> None:
    """Messages a second, how many of them were archived, and where the time went."""
    aim = {} if KINDS[kind] else {"aim": ">= 1000"}
    report.add(f"{kind}: messages/s, archived and searchable", kit.OURS, [run.rate for run in runs], **aim)
    report.add(f"{kind}: messages/s, taken meanwhile", kit.OURS, [run.taken for run in runs])
    report.add(f"{kind}: share archived", kit.OURS, [run.usage[INDEXER].reached for run in runs])
    first = runs[0].usage
    for name in sorted(first, key=lambda name: -first[name].cpu_ms):
        each = [run.usage[name] for run in runs]
        report.add(f"{kind}: CPU ms a message sent", name, [use.cpu_ms for use in each])
        if all(use.reached for use in each):
            report.add(f"{kind}: CPU ms a message reached", name, [use.cpu_ms / use.reached for use in each])
    report.add(
        f"{kind}: CPU ms a message sent", "all", [sum(u.cpu_ms for u in run.usage.values()) for run in runs]
    )


def tell_delays(report: kit.Report, mail: Path, rate: float, options: argparse.Namespace) -> None:
    """Milliseconds from the 250 to the archive."""
    waited = []
    for _ in range(options.rounds):
        with at_home(options.dir) as home:
            warm(home, mail)
            waited.append(latency(home, mail, rate, min(options.messages, int(rate * LATE))))
    for share, aim in ((0.5, {}), (0.99, {"aim": "< 1000"})):
        cuts = [kit.percentile(each, share) * 1000 for each in waited]
        report.add(f"250 to archived at {rate:.0f}/s, p{share * 100:.0f} ms", kit.OURS, cuts, **aim)


def killed(files: list[Path], options: argparse.Namespace, scratch: Path) -> None:
    """Replay while every process is killed again and again, and let the audit say what became of it."""
    mail = scratch / "eml"
    mail.mkdir()
    for file in files:
        (mail / file.name).symlink_to(file)
    with at_home(options.dir) as home:
        trap = home.trap
        line = [sys.executable, "-m", "trap", "replay", str(mail), "--to", f"127.0.0.1:{trap.port}"]
        sent = subprocess.Popen([*line, "--connections", "20"], stdout=subprocess.PIPE, text=True)
        print(f"killed:   {hurt(trap, sent, options.kill, 0.05)}")
        print(f"replay:   {sent.communicate()[0].strip().splitlines()[-1]}")
        trap.settled(300)
        print(f"audit:    {trap.json('audit')}")
        rows = trap.archived()
        unknown, bad = set(rows) - digests(files), trap.json("status")["bad"]
        print(f"archived: {len(rows)} distinct messages, {len(unknown)} that nobody sent; bad {bad}")
        print(f"verify:   {trap.run('archive', 'verify').strip().splitlines()[-1]}")
        sizes(home.archive, [file for file in files if file.stem in rows])


def sizes(archive: Path, files: list[Path]) -> None:
    """Bytes on disk for each archived message, against gzip -9 of each file."""
    found = {path: path.stat().st_size for path in archive.rglob("*") if path.is_file()}
    segments = sum(size for path, size in found.items() if "segments" in path.parts)
    zipped = sum(len(gzip.compress(file.read_bytes(), 9)) for file in files)
    print(
        f"archive:  {segments / len(files):.0f} bytes a message, {segments / zipped:.2f} of gzip -9 a file; "
        f"the index adds {(sum(found.values()) - segments) / len(files):.0f}"
    )


def main() -> None:
    options = kit.options(
        __doc__,
        messages=(int, 6000, "of one run"),
        rounds=(int, 3, "of each"),
        dir=(Path, None, "where archive, log and state lie: a real disk"),
        kill=(int, 0, "SIGKILL each process this often meanwhile"),
    )
    if options.quick:
        options.messages, options.rounds = 2500, 1
    files = sorted(needed().glob("*/*.eml"))
    random.Random(1).shuffle(files)
    with tempfile.TemporaryDirectory(dir=kit.MEMORY, prefix="bench-mail-") as scratch:
        if options.kill:
            killed(files[: options.messages], options, Path(scratch))
            return
        report = kit.Report("end_to_end")
        report.note("the corpus again and again, each round in other words; unlike: each message in its own")
        measure(report, files, options, Path(scratch))
        report.write(options.json)


if __name__ == "__main__":
    main()
