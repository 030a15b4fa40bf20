"""dedup_scale - what a message costs the more digests are remembered.

    python -m bench.dedup_scale [--digests 10000 100000 1000000] [--long]

Fills a state directory with random digests, spread over its slices as a steady stream would, and
then judges messages of our own making: all new, then a near-copy of each. --long adds ten million
digests: about 6 GB in the directory for temporary files and ten minutes to fill.
"""

import argparse
import os
import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from stages.copies.fingerprint import BANDS, SKETCH
from stages.copies.slices import SLICES, Slices
from stages.dedup import Dedup
from trap.config import Duration, Size
from trap.job import Job

REMEMBER = Duration("7d")
ROOM = Size("100GB")
CHUNK = 250_000
MESSAGES = 1000


def fill(directory: Path, digests: int) -> None:
    """Write `digests` random ones, an equal share into each slice."""
    memory = Slices(directory, REMEMBER, ROOM)
    now = time.time()
    for age in reversed(range(SLICES)):
        memory.turn(now - age * REMEMBER / SLICES)
        db = memory.current
        db.execute("PRAGMA synchronous = off")
        for start in range(1, digests // SLICES + 1, CHUNK):
            fill_chunk(db, start, min(start + CHUNK, digests // SLICES + 1))
    memory.close()


def fill_chunk(db: sqlite3.Connection, start: int, stop: int) -> None:
    numbers = range(start, stop)
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "INSERT INTO digest VALUES (?, ?, ?, ?)",
        ((n, random.getrandbits(47), random.getrandbits(47), random.randbytes(4 * SKETCH)) for n in numbers),
    )
    shelved = [(random.getrandbits(47), n) for n in numbers for _ in range(BANDS + 1)]
    db.executemany("INSERT INTO band VALUES (?, ?)", sorted(shelved))
    db.execute("COMMIT")


def message(number: int, copy: int) -> bytes:
    """One of our own making: 100 words of a vocabulary of 5,000; copies differ in two words and a link."""
    dice = random.Random(number)
    words = [f"w{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(5000)]
    text = dice.choices(words, k=100)
    if copy:
        text[10], text[60] = "another", "wording"
    return f"Subject: {number}\r\n\r\n{' '.join(text)} http://host{copy}.example/{number}\r\n".encode()


def measure(directory: Path, first: int, batch: int) -> None:
    """Time new messages and near-copies of them, handed over in batches."""
    stage = Dedup(state_dir=directory, keep=1, remember=REMEMBER, max_bytes=ROOM)
    stage.process(Job.from_message(message(first - 1, 0)))  # opens the files
    for copy, name in enumerate(("new", "near-copy")):
        jobs = [Job.from_message(message(number, copy)) for number in range(first, first + MESSAGES)]
        times, drops = [], 0
        for at in range(0, MESSAGES, batch):
            start = time.perf_counter()
            verdicts = stage.process_batch(jobs[at : at + batch])
            times.append((time.perf_counter() - start) / len(verdicts) * 1000)
            drops += sum(hasattr(verdict, "reason") for verdict in verdicts)
        cuts = statistics.quantiles(times, n=100)
        print(
            f"  batch {batch:3} {name:10} median {statistics.median(times):6.3f} ms/message  "
            f"p99 {cuts[98]:7.3f}  dropped {drops}/{MESSAGES}"
        )
    stage.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digests", type=int, nargs="+", default=[0, 10_000, 100_000, 1_000_000])
    parser.add_argument("--long", action="store_true", help="ten million as well")
    options = parser.parse_args()
    for digests in options.digests + [10_000_000] * options.long:
        with tempfile.TemporaryDirectory() as state:
            start = time.perf_counter()
            fill(Path(state), digests)
            size = sum(entry.stat().st_size for entry in os.scandir(state))
            took = time.perf_counter() - start
            print(f"{digests:,} digests remembered: {size / 1e6:,.0f} MB, filled in {took:.0f} s")
            for batch in (1, 64):
                measure(Path(state), batch * 1_000_000, batch)


if __name__ == "__main__":
    main()
