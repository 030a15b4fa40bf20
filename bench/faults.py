"""The fault matrix: every backend x everything that befalls such programs, with mail coming in all the while.

    python bench/faults.py [--quick] [--only spamd,dns] [--jobs 4] [--json FILE] [--page FILE]

A line is one stage at work, by its real worker, with a real daemon (tests/daemons.py): 20 messages of the
corpus a second, a second of peace, five of the fault, and then as long as it takes until all is scanned
again. What a daemon can't be made to do itself a proxy before it does (tests/troubler.py). The limit is
three seconds a message. Beside each line of spamd twelve processes `spamc -t 3` ask the same one.

Then riseup's series: 3,000 messages at once for one child; and whether another branch of the pipeline
notices how the scanner is. As root, it runs in a network and a mount namespace of its own, for packets
that are dropped and disks that are full; else those lines are left out.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import faultbranches
import faultcrowd
import faultpage
import faultrig
import kit
from corpus import needed
from faultgroups import GROUPS, QUICK
from faultscenes import DEADLINE, Scene

MESSAGES = 120
LARGEST = 40_000
"""Bytes of a message: what is measured is time, not size."""
SLACK = 1.0
"""Seconds over its deadline that a message may take."""
RECOVERY = 5.0
"""Seconds after the fault within which all is scanned again."""
CROWD = 3000
QUICK_CROWD = 200


@dataclass
class FaultReport(kit.Report):
    """The figures, and every line of the matrix."""

    limit: float = DEADLINE
    rate: float = faultrig.RATE
    lines: list[dict[str, Any]] = field(default_factory=list)
    riot: dict[str, Any] = field(default_factory=dict)


def main() -> None:
    options = kit.options(
        __doc__,
        only=(str, "", "groups to be measured, with commas between; crowd and branches are two"),
        jobs=(int, 4, "groups at a time"),
        crowd=(int, CROWD, "messages at once, for one child"),
        page=(Path, None, "write the table there, as Markdown"),
    )
    if os.geteuid() == 0 and not os.environ.get("OWN_NETWORK"):
        alone()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = FaultReport("faults")
    mail = sample()
    wanted = set(options.only.split(",")) if options.only else {*GROUPS, "crowd", "branches"}
    with tempfile.TemporaryDirectory(prefix="faults-", dir=kit.MEMORY) as directory:
        where = Path(directory)
        where.chmod(0o755)
        outcomes = matrix([name for name in GROUPS if name in wanted], where, mail, options)
        riot: dict[str, Any] = {}
        if "crowd" in wanted:
            outcomes += faultcrowd.crowds(where, mail)
            riot = faultcrowd.riot(
                faultcrowd.room(where, "riot"), mail, QUICK_CROWD if options.quick else options.crowd
            )
        if "branches" in wanted:
            rounds = 1 if options.quick else 3
            faultbranches.told(report, faultbranches.measured(where, mail, rounds))
    tell(report, outcomes, riot)
    report.write(options.json)
    if options.page:
        options.page.write_text(faultpage.page(asdict(report)))


def alone() -> None:
    """Go on in a network and with mounts of our own, where that is allowed."""
    command = ["unshare", "--net", "--mount", "--propagation", "private"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
        script = 'ip link set lo up && exec "$@"'
        words = [*command, "sh", "-c", script, "sh", sys.executable, *sys.argv]
        os.execvpe("unshare", words, {**os.environ, "OWN_NETWORK": "1"})


def sample() -> list[bytes]:
    """Real mail, the same each time."""
    files = [path for path in sorted(needed().glob("*/*.eml")) if path.stat().st_size < LARGEST]
    random.Random(1).shuffle(files)
    return [path.read_bytes() for path in files[:MESSAGES]]


def matrix(
    groups: list[str], where: Path, mail: list[bytes], options: argparse.Namespace
) -> list[faultrig.Outcome]:
    """All lines of these groups, several groups at a time."""

    over = threading.Event()

    def measured(name: str) -> list[faultrig.Outcome]:
        try:
            return list(lines(name, where / name, mail, over, quick=options.quick))
        except Exception:  # the other groups' lines are worth having
            traceback.print_exc()
            return [faultrig.Outcome(name, "(not measured)", "pass", DEADLINE)]

    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            return [outcome for found in pool.map(measured, groups) for outcome in found]
        except KeyboardInterrupt:
            over.set()  # else the daemons outlive us
            pool.shutdown(cancel_futures=True)
            raise


def lines(
    name: str, home: Path, mail: list[bytes], over: threading.Event, *, quick: bool
) -> Iterator[faultrig.Outcome]:
    """The lines of one group, one after the other, until it is over."""
    home.mkdir()
    with ExitStack() as stack:
        for number, scene in enumerate(GROUPS[name](stack, home)):
            if over.is_set() or (quick and scene.fault not in QUICK):
                continue
            place = home / f"line{number}"
            place.mkdir()
            outcome = line(scene, place, mail)
            print(faultpage.row(asdict(outcome)), flush=True)
            yield outcome


def line(scene: Scene, place: Path, mail: list[bytes]) -> faultrig.Outcome:
    """Measure one."""
    settings = {**scene.settings, "timeout": f"{scene.timeout:g}s", "when_unavailable": scene.mode}
    rig = faultrig.Rig(place, scene.stage, settings, mail, scene.scanned)
    outcome = faultrig.Outcome(scene.backend, scene.fault, scene.mode, scene.timeout)

    def beside() -> dict[str, Any]:
        if not scene.spamc:
            return {}
        time.sleep(0.3)
        return faultcrowd.spamc(scene.spamc, mail[: faultcrowd.SPAMC], DEADLINE, faultcrowd.SPAMC)

    return faultrig.run(rig, outcome, scene.on, scene.off, scene.lasts, beside)


def tell(report: FaultReport, outcomes: list[faultrig.Outcome], riot: dict[str, Any]) -> None:
    """Aims, and all lines."""
    measured = [outcome for outcome in outcomes if outcome.put]
    report.lines = [asdict(one) for one in measured]
    report.riot = riot
    if not measured:
        return
    report.add("messages lost, all lines", kit.OURS, [sum(one.lost for one in measured)], aim="= 0")
    report.add("messages put in, all lines", kit.OURS, [sum(one.put for one in measured)])
    over = [one for one in measured if one.longest > one.timeout + SLACK]
    report.add("lines with a message over its deadline + 1 s", kit.OURS, [len(over)], aim="= 0")
    slow = [one for one in measured if one.recovery > RECOVERY and one.under]
    report.add("lines not scanning again within 5 s", kit.OURS, [len(slow)], aim="= 0")
    worst = max(measured, key=lambda one: one.longest - one.timeout)
    report.add("longest over the deadline, s", kit.OURS, [worst.longest - worst.timeout], aim=f"<= {SLACK:g}")
    for one in {id(one): one for one in (*over, *slow)}.values():
        report.note(
            f"missed: {one.backend}, {one.fault}, {one.mode}: longest {one.longest:.1f} s "
            f"of {one.timeout:g}, again after {one.recovery:.1f} s"
        )


if __name__ == "__main__":
    main()
