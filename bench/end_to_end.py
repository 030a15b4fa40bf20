"""From port to archive: the whole corpus through a whole trap, with and without every process being killed.

The peer is Postfix's smtp-sink, which receives the same replay and does nothing with it: what the
trap is slower by is what judging, archiving and reporting cost on the same two cores.

Usage: bench/end_to_end.py [--kill 10] [--limit 1000]
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from corpus import needed  # noqa: E402 - after the path is set
from support import free_port  # noqa: E402 - after the path is set
from trapkit import Trap, digests, hurt  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kill", type=int, default=0, help="SIGKILL each process this often meanwhile")
    parser.add_argument("--limit", type=int, default=0, help="only this many messages")
    options = parser.parse_args()
    files = sorted(needed().glob("*/*.eml"))[: options.limit or None]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        mail = Path(directory, "mail")
        mail.mkdir()
        for file in files:
            (mail / file.name).symlink_to(file)
        peer = to_smtp_sink(mail, Path(directory))
        home = Path(directory, "trap")
        home.mkdir()
        trap = Trap(home)
        try:
            trap.start()
            through_trap(trap, files, mail, options.kill, peer)
        finally:
            trap.stop()


def replay(mail: Path, port: int) -> "subprocess.Popen[str]":
    line = [
        sys.executable,
        "-m",
        "trap",
        "replay",
        str(mail),
        "--to",
        f"127.0.0.1:{port}",
        "--connections",
        "20",
    ]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def to_smtp_sink(mail: Path, directory: Path) -> float | None:
    """Seconds that the replay needs when Postfix's smtp-sink receives it; None when it is not installed."""
    program = shutil.which("smtp-sink", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        return None
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = subprocess.Popen([program, *user, f"127.0.0.1:{port}", "256"], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        start = time.monotonic()
        sent = replay(mail, port)
        out, _ = sent.communicate()
        print(f"smtp-sink: {out.strip().splitlines()[-1]}")
        return time.monotonic() - start
    finally:
        sink.kill()
        sink.wait()


def through_trap(trap: Trap, files: list[Path], mail: Path, kill: int, peer: float | None) -> None:
    start = time.monotonic()
    sent = replay(mail, trap.port)
    killed = hurt(trap, sent, kill, 0.05) if kill else {}
    out, _ = sent.communicate()
    received = time.monotonic() - start
    trap.settled(300)
    done = time.monotonic() - start
    account = trap.json("audit")
    status = trap.json("status")
    print(f"trap:      {out.strip().splitlines()[-1]}")
    if killed:
        print(f"killed:    {killed}")
    for what, seconds in (("received", received), ("end to end", done)):
        ratio = f"  {peer / seconds:.2f} of smtp-sink" if peer else ""
        print(f"{what:10} {len(files) / seconds:8.0f} messages/s{ratio}")
    print(f"queues empty {done - received:.1f} s after the last message")
    print(f"audit: {account}")
    rows = trap.archived()
    unknown = set(rows) - digests(files)
    print(f"archived {len(rows)} distinct messages, {len(unknown)} that nobody sent; bad {status['bad']}")
    print(trap.run("archive", "verify").strip().splitlines()[-1])
    report_sizes(trap.directory / "archive", [file for file in files if file.stem in rows])


def report_sizes(archive: Path, files: list[Path]) -> None:
    """Bytes on disk for each archived message, against gzip -9 of each file."""
    sizes = {path: path.stat().st_size for path in archive.rglob("*") if path.is_file()}
    segments = sum(size for path, size in sizes.items() if "segments" in path.parts)
    zipped = sum(len(gzip.compress(file.read_bytes(), 9)) for file in files)
    count = len(files)
    print(f"archive {segments / count:.0f} bytes a message, gzip -9 a file {zipped / count:.0f}", end="")
    print(f": {segments / zipped:.2f} of it; the index adds {(sum(sizes.values()) - segments) / count:.0f}")


if __name__ == "__main__":
    main()
