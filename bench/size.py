"""How many bytes a message takes: our archive, with and without its index, beside other ways to keep mail.

    python bench/size.py [--quick] [--only corpus|trap] [--messages N] [--level L] [--json FILE]

Two streams of mail. The corpus, shuffled, has no copies: near-copies in it are few and lie far apart, which
flatters nobody. What a trap gets is copies: every third message of the corpus as a campaign, as many
copies as campaigns have (one in n has n of them or more), mixed as they come, with other names, numbers,
links and signatures in each, and five of a campaign kept, as the dedup stage does. All keep the same
messages; only ours keeps envelopes and what stages noted as well. Bytes are those in files, not blocks of
a disk, which suits those with a file a message.
"""

import gzip
import lzma
import random
import re
import resource
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import kit
import zstandard
from archive import deduplicated, jobs_from
from corpus import needed

from trap.archive import packer
from trap.archive.export import mbox_entry, to_maildir
from trap.archive.fold import Piece, fold, unfold
from trap.archive.form import read_head
from trap.archive.index import Index
from trap.archive.indexer import catch_up
from trap.archive.packed import BLOB, BLOCK, DICTIONARY, Packed
from trap.archive.record import Record
from trap.archive.segment import Reader
from trap.archive.store import Store, segments
from trap.archive.verify import Proof
from trap.job import Job

BATCH = 64
MOST_COPIES = 200
SPREAD = 500
"""Messages that come between two copies of a campaign, at most."""
AIM = "<= 0.5"
QUICK = 600
READS = 300
NAMES = (b"Anna", b"Bertram", b"Claire", b"Dmitri", b"Eduardo", b"Fatima", b"Giovanni", b"Hyun-jin")
_VARIES = re.compile(
    rb"(?m)(?P<line>^[A-Za-z0-9+/]{40,}=*\r?$)|[A-Za-z0-9+/_-]{20,}|\d{5,}|(?P<name>\b[Dd]ear [A-Z][a-z]+)"
)
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def main() -> None:
    options = kit.options(
        __doc__,
        only=(str, "", "corpus or trap; both when not set"),
        messages=(int, 0, "take so many of the corpus; 0: all"),
        level=(int, packer.LEVEL, "of zstd, for packing"),
    )
    corpus = needed()
    report = kit.Report("size")
    count = QUICK if options.quick else options.messages
    for name, make in (("corpus", jobs_from), ("trap", campaigns)):
        if options.only in {"", name}:
            with tempfile.TemporaryDirectory(prefix="bench-size-") as made:
                directory = Path(made)
                jobs = deduplicated(make(corpus, count), directory)
                compare(name, jobs, directory, report, options.level)
    report.write(options.json)


def campaigns(corpus: Path, count: int) -> list[Job]:
    """Mail as a trap gets it: campaigns of many sizes, their copies varied and mixed."""
    firsts = jobs_from(corpus, count)[::3]
    dice = random.Random(5)
    coming = []
    for number in range(len(firsts)):
        at = float(number * 3)
        for copy in range(min(MOST_COPIES, int(1 / (1 - dice.random())))):
            coming.append((at, number, copy))
            at += dice.random() * SPREAD
    made = []
    for _, number, copy in sorted(coming):
        own = random.Random(f"{number} {copy}")
        message = varied(firsts[number].message, own) if copy else firsts[number].message
        made.append(Job.from_message(message, firsts[number].envelope))
    return made


def varied(message: bytes, dice: random.Random) -> bytes:
    """A copy with other names, numbers, links and signatures; files are what they were."""

    def other(match: re.Match[bytes]) -> bytes:
        found = match[0]
        if match["line"]:
            return found
        if match["name"]:
            return found[:5] + dice.choice(NAMES)
        if found.isdigit():
            return b"%0*d" % (len(found), dice.randrange(10 ** len(found)))
        random_looking = len(set(found)) > 10 and not found.isalpha() and re.search(rb"\d", found)
        return bytes(dice.choices(_ALPHABET, k=len(found))) if random_looking else found

    def copied(piece: Piece) -> Piece:
        if isinstance(piece, bytes):
            return _VARIES.sub(other, piece)
        width, crlf, data = piece
        return [width, crlf, _VARIES.sub(other, data) if data.isascii() else data]

    return unfold([copied(piece) for piece in fold(message)])


def compare(name: str, jobs: list[Job], directory: Path, report: kit.Report, level: int) -> None:
    """All ways to keep this mail."""
    number = len(jobs)
    peer = [sum(len(gzip.compress(job.message, 9)) for job in jobs) / number]
    report.add(f"bytes a message, {name}", "as received", [sum(job.size for job in jobs) / number])
    report.add(f"bytes a message, {name}", "gzip -9 a file", peer)

    def add(subject: str, size: float, **more: object) -> None:
        report.add(
            f"bytes a message, {name}", subject, [size / number], peer=peer, to="gzip -9 a file", **more
        )

    for size, subject, aim in ours(name, jobs, directory / "archive", report, level):
        add(subject, size, **({"aim": AIM} if aim else {}))
    for subject, kept in OTHERS.items():
        try:
            add(subject, kept(jobs, directory / "other"))
        except kit.Missing as missing:
            report.note(f"{subject}: {missing}")
        shutil.rmtree(directory / "other", ignore_errors=True)


def ours(
    name: str, jobs: list[Job], directory: Path, report: kit.Report, level: int
) -> Iterator[tuple[float, str, bool]]:
    """Our archive, as it is written, packed, and with its index."""
    store = Store(directory)
    for at in range(0, len(jobs), BATCH):
        store.put(jobs[at : at + BATCH])
    store.seal()
    yield on_disk(directory), f"{kit.OURS}, as written", False
    loose = reading(directory)
    index = Index.open(directory)
    catch_up(directory, index)
    begun = time.process_time()
    for path in segments(directory):
        packer.pack(path, level)
    taken = time.process_time() - begun
    packed = on_disk(directory)
    yield packed, f"{kit.OURS}, packed", False
    words, rest = index_bytes(index)
    yield packed + rest, f"{kit.OURS}, packed, with the index but for words", True
    yield packed + rest + words, f"{kit.OURS}, packed, with all of the index", False
    yield words, f"{kit.OURS}, index of words alone", False
    report.add(f"CPU ms a message to pack, {name}", kit.OURS, [taken / len(jobs) * 1000])
    for (what, before), (_, after) in zip(loose, reading(directory), strict=True):
        report.add(f"{what}, {name}", f"{kit.OURS}, packed", [after], peer=[before], to="as written")
    faults = list(Proof().faults(directory, index))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    report.note(
        f"{name}: {len(jobs)} messages, {len(faults)} faults found; {peak} MiB at most, the mail included"
    )
    report.table(f"What the bytes of {name} are", ["part", "bytes a message"], parts(directory, len(jobs)))
    index.close()


def on_disk(directory: Path) -> int:
    """Bytes of the segments."""
    return sum(path.stat().st_size for path in segments(directory))


def index_bytes(index: Index) -> tuple[int, int]:
    """Bytes of the tables of words, and of the others."""
    index.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    tables = index.db.execute("SELECT name LIKE 'words%', sum(pgsize) FROM dbstat GROUP BY 1").fetchall()
    found = dict(tables)
    return found.get(1, 0), found.get(0, 0)


def reading(directory: Path) -> list[tuple[str, float]]:
    """What it costs to read, in CPU time, the best of three: all in a row, and some at random."""
    best = float("inf")
    for _ in range(3):
        places = []
        begun = time.process_time()
        for path in segments(directory):
            with Reader(path) as reader:
                for frame in reader.frames():
                    reader.record(frame)
                    places.append((path, frame.offset))
        best = min(best, time.process_time() - begun)
    some = random.Random(7).choices(places, k=READS)
    times = [float("inf")] * READS
    for _ in range(3):
        with ExitStack() as stack:
            readers = {path: stack.enter_context(Reader(path)) for path in segments(directory)}
            for number, (path, offset) in enumerate(some):
                begun = time.process_time()
                readers[path].read(offset)
                times[number] = min(times[number], (time.process_time() - begun) * 1000)
    return [
        ("CPU ms a message to read all", best / len(places) * 1000),
        ("CPU ms to read one, median", kit.percentile(times, 0.5)),
        ("CPU ms to read one, 99 of 100", kit.percentile(times, 0.99)),
    ]


def parts(directory: Path, number: int) -> list[list[object]]:
    """What of a packed archive is what."""
    files = lines = tables = texts = tokens = 0
    for path in segments(directory):
        with path.open("rb") as file:
            _, start, says = read_head(file.fileno())
            for _, mark in Packed(path.name, file.fileno(), start, says).marks():
                files += mark.length if mark.kind == BLOB else 0
                lines += mark.length if mark.kind == DICTIONARY else 0
                tables += mark.table
                texts += mark.text if mark.kind == BLOCK else 0
                tokens += mark.length - mark.table - mark.text if mark.kind == BLOCK else 0
    found = {"files": files, "shared lines": lines, "texts": texts, "random tokens": tokens, "tables": tables}
    return [[kind, round(size / number)] for kind, size in found.items()]


# Others


def zstd_files(jobs: list[Job], directory: Path) -> float:
    compressor = zstandard.ZstdCompressor(level=19)
    return sum(len(compressor.compress(job.message)) for job in jobs)


def records(jobs: list[Job]) -> Iterator[Record]:
    return (Record(job.id, b"", job.envelope, {}, job.message) for job in jobs)


def mbox_xz(jobs: list[Job], directory: Path) -> float:
    return len(lzma.compress(b"".join(map(mbox_entry, records(jobs))), preset=6))


def tar_xz(jobs: list[Job], directory: Path) -> float:
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w:xz", preset=6) as tar:
        for job in jobs:
            entry = tarfile.TarInfo(f"Maildir/new/{job.id}.trap")
            entry.size = job.size
            tar.addfile(entry, BytesIO(job.message))
    return len(made.getvalue())


def notmuch(jobs: list[Job], directory: Path) -> float:
    """Bytes of the Maildir and of its index."""
    program = kit.program("notmuch", "notmuch")
    mail = directory / "mail"
    to_maildir(records(jobs), mail)
    config = directory / "config"
    config.write_text(
        f"[database]\npath={directory / 'mail'}\n[user]\nname=t\nprimary_email=t@trap.example\n"
    )
    command = [program, "--config", str(config), "new", "--no-hooks", "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return sum(path.stat().st_size for path in mail.rglob("*") if path.is_file())


OTHERS: dict[str, Callable[[list[Job], Path], float]] = {
    "zstd -19 a file": zstd_files,
    "mbox.xz, all in one": mbox_xz,
    "Maildir.tar.xz, all in one": tar_xz,
    "notmuch and its Maildir": notmuch,
}


if __name__ == "__main__":
    main()
