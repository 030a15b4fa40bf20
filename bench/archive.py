"""What the archive costs: bytes a message against gzip a file, messages stored and indexed a second,
time to search. All in one run on the same mail, so that the ratios hold on any machine.

    python bench/archive.py [--corpus DIR] [--messages N] [--dir DIR] [--level L]

The mail is shuffled: near-copies lie as far apart as they can, which flatters nobody. It takes the
way it takes in a trap: what the dedup stage drops is not archived, by us nor by gzip.
"""

import argparse
import gzip
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corpus import CORPUS, needed

from stages.dedup import Dedup
from trap.archive.index import Index
from trap.archive.indexer import catch_up
from trap.archive.query import parse
from trap.archive.search import find, get
from trap.archive.segment import Reader
from trap.archive.store import LEVEL, Store, segment_path, segments
from trap.archive.verify import Proof
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.stage import Pass

BATCH = 64
SMALL = 64 << 10
QUERIES = (
    "", "the", "viagra", '"bank account"', "from:paypal.com", "subject:re*", "invoice -paypal", "-the",
    "attachment:pdf", "ip:192.0.2.0/24", "date:today money", "zxqwvk",
)  # fmt: skip


@contextmanager
def clock(times: dict[str, float], name: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    times[name] = time.perf_counter() - wall
    times[name + "_cpu"] = time.process_time() - cpu


def jobs_from(corpus: Path, count: int) -> list[Job]:
    paths = sorted(corpus.glob("*/*.eml"))
    random.Random(1).shuffle(paths)
    made = []
    for number, path in enumerate(paths[:count] if count else paths):
        envelope = Envelope(
            client_ip=f"192.0.{number % 4}.{number % 251}",
            client_port=20000 + number % 40000,
            server_ip="198.51.100.25",
            server_port=25,
            helo=f"host{number % 997}.example",
            helo_verb="EHLO",
            mail_from=f"sender{number % 1999}@bulk{number % 101}.example",
            rcpts=[Rcpt(address=f"trap{number % 307}@trap.example", tag="pristine")],
            connected_at=time.time(),
            received_at=time.time(),
            commands=4,
        )
        made.append(Job.from_message(path.read_bytes(), envelope))
    return made


def deduplicated(jobs: list[Job], state: Path) -> list[Job]:
    """The jobs that pass the dedup stage, with its notes."""
    stage = Dedup(state)
    verdicts = [
        verdict for at in range(0, len(jobs), BATCH) for verdict in stage.process_batch(jobs[at : at + BATCH])
    ]
    stage.close()
    return [
        Job(job.id, job.envelope, {"dedup": verdict.notes}, job.message)
        for job, verdict in zip(jobs, verdicts, strict=True)
        if isinstance(verdict, Pass)
    ]


def gzip_size(jobs: list[Job]) -> int:
    return sum(len(gzip.compress(job.message, 9)) for job in jobs)


def compression(directory: Path, jobs: list[Job]) -> dict[str, float]:
    """Bytes of the archive against gzip -9, over all, and over what came once a dictionary was there."""
    by_id = {job.id: job for job in jobs}
    used: list[tuple[Job, int]] = []
    for path in segments(directory):
        with Reader(path) as reader:
            if reader.dictionary:
                used += [(by_id[frame.id], frame.end - frame.offset) for frame in reader.frames()]
    on_disk = sum(path.stat().st_size for path in segments(directory))
    small = [(job, size) for job, size in used if job.size <= SMALL]
    return {
        "mail_bytes_per_message": sum(job.size for job in jobs) / len(jobs),
        "archive_bytes_per_message": on_disk / len(jobs),
        "gzip_bytes_per_message": gzip_size(jobs) / len(jobs),
        "of_gzip": on_disk / gzip_size(jobs),
        "of_gzip_with_dictionary": sum(size for _, size in used) / (gzip_size([job for job, _ in used]) or 1),
        "of_gzip_with_dictionary_to_64k": sum(size for _, size in small)
        / (gzip_size([j for j, _ in small]) or 1),
    }


def searches(index: Index) -> dict[str, float]:
    """Milliseconds to the first page of 50, the best of three."""
    taken = {}
    for text in QUERIES:
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            list(find(index, parse(text), limit=50))
            best = min(best, time.perf_counter() - start)
        taken[text or "(all)"] = round(best * 1000, 2)
    return taken


def measure(directory: Path, jobs: list[Job], level: int) -> dict[str, object]:
    times: dict[str, float] = {}
    store = Store(directory, level=level)
    with clock(times, "put"):
        for at in range(0, len(jobs), BATCH):
            store.put(jobs[at : at + BATCH])
    store.close()
    index = Index.open(directory)
    with clock(times, "index"):
        catch_up(directory, index)
    proof = Proof()
    with clock(times, "verify"):
        faults = list(proof.faults(directory, index))
    names = {segment.number: segment.name for segment in index.segments().values()}
    some = random.Random(2).sample(jobs, min(200, len(jobs)))
    with clock(times, "show"):
        for job in some:
            row = get(index, job.id)
            if row:
                with Reader(segment_path(directory, names[row.segment])) as reader:
                    reader.read(row.offset)
    index.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return {
        "messages": len(jobs),
        **compression(directory, jobs),
        "put_per_second": len(jobs) / times["put"],
        "put_per_core_second": len(jobs) / times["put_cpu"],
        "index_ms_per_message": times["index"] / len(jobs) * 1000,
        "index_bytes_per_message": os.path.getsize(index.path) / len(jobs),
        "verify_per_second": len(jobs) / times["verify"],
        "faults": len(faults),
        "show_ms": times["show"] / len(some) * 1000,
        "search_ms": searches(index),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--messages", type=int, default=0, help="at most so many; 0: all")
    parser.add_argument("--dir", type=Path, help="where the archive is made; a real disk, for real syncs")
    parser.add_argument("--level", type=int, default=LEVEL)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench-archive-", dir=options.dir))
    try:
        jobs = jobs_from(needed(options.corpus), options.messages)
        if not jobs:
            parser.error(f"no mail in {options.corpus}")
        found = measure(directory, deduplicated(jobs, directory), options.level)
    finally:
        shutil.rmtree(directory)
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in found.items()}
    print(json.dumps(rounded, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
