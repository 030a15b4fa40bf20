"""The corpus with all reporters on, and whom they tell killed one after the other.

    python bench/reporters.py [--quick] [--messages N] [--away SECONDS] [--only letters,spamd] [--json FILE]

A whole trap (`spamtrap up`) tells real counterparts (tests/counterparts.py): Postfix for arf, xarf, spamcop
and forward, web servers as webhook and MISP, pyzord, rspamd with fuzzy storage in Redis, spamd --allow-tell,
the real razor-report before a server of ours, rbldnsd for dnsbl. While mail comes in, each is killed (-9)
a few times, and then is away for `--away` seconds; the next begins a while after it. Then:

* what the books say is held against what every counterpart has: nothing may be lost, nothing there twice,
* the others must have gone on meanwhile,
* all that left, but originals, is searched for the names of the trap by a search that shares nothing with
  the gate (tests/leakkit.py).
"""

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import kit
from corpus import needed

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from counterparts import ALL, Counterpart, everybody  # noqa: E402 - after the path is set
from reporterskit import Account, Stand, as_dict  # noqa: E402

PATIENCE = 600.0
LARGEST = 200_000
"""Bytes of a message: the largest tell nothing that others don't."""


def main() -> None:
    options = kit.options(
        __doc__,
        messages=(int, 3000, "of the corpus"),
        away=(float, 300.0, "seconds for which each is away"),
        stagger=(float, 20.0, "seconds between one that goes and the next"),
        blows=(int, 3, "times that each is killed and started again at once, before that"),
        searched=(int, 40, "texts of each reporter that are searched for names of the trap"),
        seed=(int, 1, "of the random numbers"),
        only=(str, ",".join(ALL), "whom to tell, with commas between"),
    )
    if options.quick:
        options.messages, options.away, options.stagger = 200, 10.0, 3.0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = kit.Report("reporters")
    with (
        tempfile.TemporaryDirectory(prefix="reporters-") as directory,
        tempfile.TemporaryDirectory(prefix="reporters-", dir=kit.MEMORY) as memory,
    ):
        home = Path(directory)
        home.chmod(0o755)
        for name in ("parts", "trap"):
            (home / name).mkdir(mode=0o755)
        (home / "trap" / "spool").symlink_to(memory)
        with everybody(home / "parts", options.only.split(",")) as parts:
            files = sample(options.messages, options.seed)
            measure(report, Stand(home / "trap", parts, files, limits=kit.LIMITS), options)
    report.write(options.json)
    sys.exit(0 if all(row.get("met", True) for row in report.rows) else 1)


def measure(report: kit.Report, stand: Stand, options: argparse.Namespace) -> None:
    """Send it all, and see what became of it."""
    lasts = options.stagger * len(stand.parts) + options.away + options.stagger
    windows: dict[str, tuple[float, float]] = {}
    stand.trap.start()
    try:
        threads = [
            threading.Thread(target=torment, args=(part, at, options, windows))
            for at, part in enumerate(stand.parts)
        ]
        for thread in threads:
            thread.start()
        fed = stand.feed(options.messages / lasts)
        for thread in threads:
            thread.join()
        since = time.monotonic()
        stand.settled(PATIENCE)
        report.note(
            f"{fed} messages fed; all was told {time.monotonic() - since:.0f} s after the last was back"
        )
        lists = [(part.name, *part.asked()) for part in stand.parts if part.asked]
    finally:
        stand.trap.stop()
    accounts = stand.accounts()
    tell(report, accounts, windows, stand)
    for name, listed, answered in lists:
        report.add("listed and not answered for", name, [listed - answered], aim="= 0", listed=listed)
    begun = time.process_time()
    found = stand.leaks(options.searched)
    report.note(f"the search for names took {time.process_time() - begun:.0f} s")
    report.add("names of the trap in what left", "all", [len(found)], aim="= 0", found=found[:20])


def sample(count: int, seed: int) -> list[Path]:
    """Mail of all kinds, the same each time."""
    files = [path for path in sorted(needed().glob("*/*.eml")) if path.stat().st_size < LARGEST]
    random.Random(seed).shuffle(files)
    return files[:count]


def torment(
    part: Counterpart, at: int, options: argparse.Namespace, windows: dict[str, tuple[float, float]]
) -> None:
    """Kill a counterpart a few times, and have it away for long once."""
    dice = random.Random(at)
    time.sleep(options.stagger * at)
    for _ in range(options.blows):
        time.sleep(options.stagger / options.blows * dice.random())
        part.kill()
        part.start()
    gone = time.time()
    part.kill()
    time.sleep(options.away)
    part.start()
    windows[part.name] = gone, time.time()


def tell(
    report: kit.Report, accounts: list[Account], windows: dict[str, tuple[float, float]], stand: Stand
) -> None:
    """The figures."""
    for account in accounts:
        more: dict[str, Any] = as_dict(account)
        report.add("lost", account.queue, [len(account.lost)], aim="= 0", account=more)
        wrong = len(account.twice) + len(account.strange)
        report.add("there twice, or against the book", account.queue, [wrong], aim="= 0")
        if sent := account.states.get("sent", 0):
            share = sent / (sent + len(account.gate))
            report.add("share that the gate lets go", account.queue, [share])
    report.table(
        "reports",
        ["reporter", "sent", "arrived", "unsure", "of these there", "held", "failed", "why"],
        [
            (
                each.queue, each.states.get("sent", 0), each.arrived, each.unsure, each.unsure_arrived,
                each.states.get("held", 0), each.states.get("failed", 0), str(each.held | each.failed or ""),
            )
            for each in accounts
        ],
    )  # fmt: skip
    sent = {
        queue: [report.sent for report in book.reports(["sent"], limit=1_000_000)]
        for queue, book in stand.books()
    }
    for part in stand.parts:
        gone, back = windows[part.name]
        others = [moment for queue, moments in sent.items() if queue not in part.stages for moment in moments]
        went_on = sum(gone < moment < back for moment in others)
        if others:
            report.add("others' reports meanwhile", part.name, [went_on], aim="> 0", away=back - gone)


if __name__ == "__main__":
    main()
