"""The corpus through the whole pipeline, while those that its stages ask are stopped and started at random.

    python bench/chaos.py [--quick] [--messages N] [--rate N] [--seed N] [--json FILE]

spamd, rspamd with Redis, clamd, a resolver and a program are frozen, killed, ended in order and restarted,
each every other second or so, for as long as mail comes in (tests/chaoskit.py). Every stage is on. The
account must balance then, nothing may be bad, the archive must be whole, and all backends found up again.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kit
from corpus import needed

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from chaoskit import ASKING, Cast, undisturbed  # noqa: E402 - after the path is set
from trapkit import Trap  # noqa: E402

from trap.ledger import events_since  # noqa: E402

PATIENCE = 300.0


def main() -> None:
    options = kit.options(
        __doc__,
        messages=(int, 0, "of the corpus; all if 0"),
        rate=(int, 80, "messages a second"),
        seed=(int, 1, "of the random numbers"),
    )
    if options.quick:
        options.messages = options.messages or 600
    files = sorted(needed().glob("*/*.eml"))
    random.Random(options.seed).shuffle(files)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = kit.Report("chaos")
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as directory,
        tempfile.TemporaryDirectory(prefix="chaos-", dir=kit.MEMORY) as memory,
        ExitStack() as stack,
    ):
        home = Path(directory)
        home.chmod(0o755)
        measure(report, home, Path(memory), stack, files[: options.messages or None], options)
    report.write(options.json)


def measure(
    report: kit.Report,
    home: Path,
    memory: Path,
    stack: ExitStack,
    files: list[Path],
    options: argparse.Namespace,
) -> None:
    """Send it all, and see what became of it."""
    for name in ("cast", "mail", "trap"):
        (home / name).mkdir()
    for file in files:
        (home / "mail" / file.name).symlink_to(file)
    (home / "trap" / "spool").symlink_to(memory)
    cast = Cast(home / "cast", stack)
    trap = Trap(home / "trap", cast.settings(limits=kit.LIMITS))
    trap.start()
    try:
        since, begun = time.time(), time.monotonic()
        line = ["replay", str(home / "mail"), "--to", f"127.0.0.1:{trap.port}", "--connections", "20"]
        with cast.tormented(options.seed) as acts:
            sent = subprocess.run(
                trap.command(*line, "--rate", str(options.rate)), capture_output=True, text=True, check=False
            )
            print(sent.stdout.strip().splitlines()[-1])
        trap.settled(PATIENCE)
        seconds = time.monotonic() - begun
        states = undisturbed(lambda: trap.json("status"))
        account, status = trap.json("audit"), trap.json("status")
        whole = trap.run("archive", "verify").strip().splitlines()[-1]
        longest = held(home / "trap" / "state" / "maillog", since)
    finally:
        trap.stop()
    print(f"verify: {whole}")
    tell(report, len(files), account, acts, status["unjudged"])
    tell_time(report, longest, seconds, states)
    report.note(f"archive verify: {whole}")


def held(maillog: Path, since: float) -> dict[str, float]:
    """The longest time from one stage to the next, by stage: its waiting, its deadline, its writing."""
    last: dict[str, float] = {}
    found: defaultdict[str, float] = defaultdict(float)
    for event in events_since(maillog, since):
        if event.e in {"passed", "dropped", "archived"} and event.id in last:
            found[event.q] = max(found[event.q], event.t - last[event.id])
        last[event.id] = event.t
    return dict(found)


def tell(
    report: kit.Report, sent: int, account: dict[str, Any], acts: Counter[str], unjudged: dict[str, int]
) -> None:
    """The account."""
    lost = len(account["missing"]) + sent - account["accepted"]
    report.add("messages put in", kit.OURS, [sent])
    report.add("messages lost", kit.OURS, [lost], aim="= 0")
    report.add("messages put aside as bad", kit.OURS, [account["bad"]], aim="= 0")
    report.add("messages still under way", kit.OURS, [account["in_flight"]], aim="= 0")
    report.add("messages archived", kit.OURS, [account["archived"]])
    report.add("messages dropped", kit.OURS, [sum(account["dropped"].values())])
    report.add("account balances", kit.OURS, [float(account["balanced"])], aim="= 1")
    report.table(
        "What befell them",
        ["whom and what", "times"],
        [[name, count] for name, count in sorted(acts.items())],
    )
    report.table(
        "Passed unjudged",
        ["stage", "messages", "share"],
        [[name, unjudged.get(name, 0), unjudged.get(name, 0) / sent] for name in ASKING],
    )


def tell_time(
    report: kit.Report, longest: dict[str, float], seconds: float, states: list[dict[str, Any]]
) -> None:
    """Who kept mail for how long."""
    report.add("messages under way, s", kit.OURS, [seconds])
    worst = max((longest.get(name, 0.0), name) for name in ASKING)
    # No aim: it holds the waiting in a queue, which is for who is slow. faults.py measures from the claim.
    report.add("longest from stage to stage, waiting included, s", worst[1], [worst[0]])
    away = [one["address"] for one in states if one["state"] != "up"]
    report.add("backends away at the end", kit.OURS, [len(away)], aim="= 0")
    report.table(
        "Longest from stage to stage", ["stage", "s"], [[name, took] for name, took in longest.items()]
    )


if __name__ == "__main__":
    main()
