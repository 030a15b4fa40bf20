"""What the queues cost, as ratios to the raw system calls they are made of.

    python bench/queues.py [--huge] [--directory /dev/shm]

Each deed of the queue (put, claim and drop, claim with new notes and pass) is timed beside the bare
system calls for the same files, made from Python in the same run and in turns, so that the machine's
mood cancels out. That is done with nothing, then 1,000, 10,000 and 100,000 jobs (with --huge 1,000,000)
waiting in the queue: by the design no deed costs more when the queue is deep. Last come the time from
a job's arrival to an idle worker's claim, and the events that a burst of 5,000 arrivals sends to a
busy worker.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trap.config import Config, paths_below
from trap.envelope import Envelope, Rcpt
from trap.job import encode
from trap.queue import Spool
from trap.wake import Wake

SIZE = 3500
"""Bytes of a message: with its envelope and notes it takes one page."""
ROUNDS = 30
DEEDS = 100
"""Deeds a round; rounds of the queue's and of the raw calls alternate."""
ENVELOPE = Envelope(
    client_ip="192.0.2.1",
    helo="mx.spam.example",
    mail_from="a@spam.example",
    rcpts=[Rcpt(address="b@trap.example")],
)
MESSAGE = b"Subject: bench\r\n\r\n" + b"x" * SIZE
NOTES = {"first": {"count": 1, "campaign": "abcdef0123456789"}}


@contextmanager
def spool_in(directory: str) -> Iterator[Spool]:
    below = Path(tempfile.mkdtemp(prefix="bench-queue-", dir=directory))
    try:
        spool = Spool.open(Config(pipeline=["first", "second"], paths=paths_below(below)))
        yield spool
        spool.close()
    finally:
        shutil.rmtree(below)


def timed(deed: Callable[[], object]) -> float:
    """Microseconds of one deed, over a round of them."""
    start = time.perf_counter()
    for _ in range(DEEDS):
        deed()
    return (time.perf_counter() - start) / DEEDS * 1e6


class Raw:
    """The bare system calls of each deed, on files of the same size in directories of the same depth."""

    def __init__(self, spool: Spool) -> None:
        self.base = f"{spool.root}/raw"
        for name in ("tmp", "new", "work", "next"):
            os.makedirs(f"{self.base}/{name}")
        self.pieces = encode(ENVELOPE, {}, MESSAGE)
        self.noted = encode(ENVELOPE, NOTES, MESSAGE)
        self.log = os.open(f"{self.base}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.line = b"x" * 250 + b"\n"
        self.made = self.taken = self.passed = 0

    def write(self, path: str, pieces: list[bytes]) -> None:
        """Make a file."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.writev(fd, pieces)
        os.close(fd)

    def put(self) -> None:
        """Write, rename, log."""
        name = f"{self.made:024d}.0"
        self.write(f"{self.base}/tmp/{name}", self.pieces)
        os.rename(f"{self.base}/tmp/{name}", f"{self.base}/new/{name}")
        os.write(self.log, self.line)
        self.made += 1

    def claim(self) -> str:
        """Rename."""
        name = f"{self.taken:024d}.0"
        os.rename(f"{self.base}/new/{name}", f"{self.base}/work/{name}")
        self.taken += 1
        return name

    def drop(self) -> None:
        """Claim, log, unlink."""
        name = self.claim()
        os.write(self.log, self.line)
        os.unlink(f"{self.base}/work/{name}")

    def rewrite_and_pass(self) -> None:
        """Claim, read, write anew, rename over the old, log, rename."""
        name = self.claim()
        fd = os.open(f"{self.base}/work/{name}", os.O_RDONLY | os.O_CLOEXEC)
        os.read(fd, os.fstat(fd).st_size)
        os.close(fd)
        self.write(f"{self.base}/tmp/{name}", self.noted)
        os.rename(f"{self.base}/tmp/{name}", f"{self.base}/work/{name}")
        os.write(self.log, self.line)
        os.rename(f"{self.base}/work/{name}", f"{self.base}/next/{name}")


def compare(spool: Spool, raw: Raw, depth: int) -> None:
    """Time each deed and its raw calls in turns, at a depth, and print their medians and the ratio."""
    queue = spool["first"]
    while len(os.listdir(queue.new)) < depth:
        for _ in range(max(1, depth // 10)):
            spool.put("first", ENVELOPE, MESSAGE)
            raw.put()
    with queue.consumer() as worker:
        start = time.perf_counter()
        claim = worker.claim()
        listing = time.perf_counter() - start
        if claim:
            claim.give_back(first=True)

        def put() -> None:
            spool.put("first", ENVELOPE, MESSAGE)

        def drop() -> None:
            if claim := worker.claim():
                claim.drop("duplicate", 0.001)

        def rewrite_and_pass() -> None:
            if claim := worker.claim():
                claim.job()
                claim.forward(["second"], NOTES, 0.001)

        results: dict[str, tuple[list[float], list[float]]] = {}
        for _ in range(ROUNDS):
            for name, mine, bare in (
                ("put", put, raw.put),
                ("claim, drop", drop, raw.drop),
                ("put", put, raw.put),
                ("claim, rewrite, pass", rewrite_and_pass, raw.rewrite_and_pass),
            ):
                costs = results.setdefault(name, ([], []))
                costs[0].append(timed(mine))
                costs[1].append(timed(bare))
    for name, (mine_all, bare_all) in results.items():
        mine_at, bare_at = statistics.median(mine_all), statistics.median(bare_all)
        print(f"{depth:>9,}  {name:<22} {mine_at:8.1f} µs  {bare_at:8.1f} µs  {mine_at / bare_at:5.2f}")
    print(f"{depth:>9,}  {'the first claim lists':<22} {listing * 1e3:8.1f} ms")


def latency(spool: Spool, arrivals: int = 200) -> None:
    """Time from before a put to after the claim of a worker that was asleep."""
    wake, times, asleep = Wake(spool["second"].new), [], threading.Semaphore(0)

    def work() -> None:
        with spool["second"].consumer() as worker:
            for _ in range(arrivals):
                wake.arm()
                asleep.release()
                while not (claim := worker.claim()):
                    wake.wait(10)
                times.append(time.perf_counter())
                claim.drop("seen")

    thread = threading.Thread(target=work)
    thread.start()
    starts = []
    for number in range(arrivals):
        asleep.acquire()
        time.sleep(0.003)
        starts.append(time.perf_counter())
        spool.put("second", ENVELOPE, MESSAGE)
        while len(times) <= number:
            time.sleep(0.0005)
    thread.join()
    spans = sorted((end - begin) * 1e6 for begin, end in zip(starts, times, strict=True))
    middle, most = statistics.median(spans), spans[int(arrivals * 0.99)]
    print(f"idle worker: put to claim {middle:.0f} µs, 99% {most:.0f} µs")


def burst(spool: Spool, arrivals: int = 5000) -> None:
    """Events that reach a worker whose watch is set once, while many jobs arrive."""
    wake = Wake(spool["second"].new)
    wake.arm()
    for _ in range(arrivals):
        spool.put("second", ENVELOPE, MESSAGE)
    time.sleep(0.2)
    print(f"busy worker: {arrivals} arrivals, {wake.events} event(s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--huge", action="store_true", help="a million jobs as well; takes 10 GB")
    parser.add_argument("--directory", default="/dev/shm", help="where the spool is made (a tmpfs)")
    arguments = parser.parse_args()
    print(f"{'waiting':>9}  {'deed':<22} {'queue':>11}  {'raw calls':>11}  ratio")
    for depth in (0, 1_000, 10_000, 100_000, *([1_000_000] if arguments.huge else [])):
        with spool_in(arguments.directory) as spool:
            compare(spool, Raw(spool), depth)
    with spool_in(arguments.directory) as spool:
        latency(spool)
    with spool_in(arguments.directory) as spool:
        burst(spool)


if __name__ == "__main__":
    main()
