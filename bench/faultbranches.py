"""Whether a branch of the pipeline notices how the scanner of another one is. Not a bench itself."""

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import faultrig
import kit
import msgspec
from faultscenes import DEADLINE

from daemons import spamd  # isort: skip
from troubler import Mode, Troubler  # isort: skip

from stages.backscatter import Backscatter
from trap.configfile import parse
from trap.envelope import Envelope
from trap.job import Job
from trap.ledger import events_since
from trap.queue import Spool
from trap.stage import Pass

OTHER = "other"
PIPELINE = ["backscatter", ["spamd", OTHER]]
RATE = 60.0
STEADY = 6.0
"""Seconds: the worker of the other branch meets the scanner's deadline and its breaker."""
BURST = 1500
STATES: dict[str, Mode] = {"well": "pass", "hanging": "deaf", "not there": "refuse"}
Figures = dict[str, dict[str, list[float]]]


def measured(where: Path, mail: list[bytes], rounds: int) -> Figures:
    """A branch beside that of spamd, with spamd well, hanging and not there, in turns.

    Returns:
        By how spamd is: milliseconds that half and 99 of 100 messages took until they had left the other
        branch, at a steady rate; and messages a second that went through it when many came at once.
    """
    found: Figures = {state: {"p50": [], "p99": [], "rate": []} for state in STATES}
    judge = Backscatter()
    mail = [one for one in mail if isinstance(judge.process(Job.from_message(one)), Pass)]
    home = where / "branch-spamd"
    home.mkdir()
    with spamd(home) as daemon, Troubler(daemon.port) as trouble:
        for _, (state, mode) in itertools.product(range(rounds), STATES.items()):
            with tempfile.TemporaryDirectory(dir=where) as directory, ExitStack() as stack:
                trouble.mode = "pass"
                one = _Trap(Path(directory), trouble.tcp, mail, stack)
                one.steady(1.0)
                trouble.mode = mode
                for name, value in one.figures().items():
                    found[state][name].append(value)
    return found


class _Trap:
    """A trap whose pipeline ends in two branches, each with its worker."""

    def __init__(self, home: Path, address: str, mail: list[bytes], stack: ExitStack) -> None:
        config = {
            "pipeline": PIPELINE,
            "paths": {name: str(home / name) for name in ("spool", "archive", "state")},
            "stages": {
                "spamd": {"spamd": address, "timeout": f"{DEADLINE:g}s"},
                OTHER: {"use": "stages.backscatter:Backscatter"},
            },
        }
        file = home / "spamtrap.yaml"
        file.write_bytes(msgspec.yaml.encode(config))
        self._config = parse(file.read_text())
        self._spool = Spool.open(self._config)
        self._spool.make()
        stack.callback(self._spool.log.close)
        stack.callback(self._spool.close)
        self._mail = itertools.cycle(mail)
        log = stack.enter_context((home / "log").open("wb"))
        for stage in ("backscatter", "spamd", OTHER):
            command = [sys.executable, "-m", "trap", "--config", str(file), "work", stage]
            worker = subprocess.Popen(command, stdout=log, stderr=log, cwd=faultrig.ROOT)
            stack.callback(kit.stop, worker, 30)
        self._put()
        self._await(1)

    def figures(self) -> dict[str, float]:
        """At a steady rate, then all at once."""
        since = time.time()
        self.steady(STEADY)
        time.sleep(0.5)
        ages = [event.age for event in self._done(since) if event.t - event.age > since]
        begun, before = time.time(), len(self._done(0))
        for _ in range(BURST):
            self._put()
        self._await(before + BURST)
        last = max(event.t for event in self._done(begun))
        return {
            "p50": kit.percentile(ages, 0.5) * 1000,
            "p99": kit.percentile(ages, 0.99) * 1000,
            "rate": BURST / (last - begun),
        }

    def steady(self, seconds: float) -> None:
        """Put mail in at RATE."""
        begun = time.monotonic()
        for number in range(int(seconds * RATE)):
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
            self._put()

    def _put(self) -> None:
        self._spool.put(
            "backscatter", Envelope(client_ip="192.0.2.1", mail_from="a@example.com"), next(self._mail)
        )

    def _done(self, since: float) -> list[faultrig.Event]:
        return [e for e in events_since(self._config.paths.maillog, since) if e.q == OTHER and e.e == "done"]

    def _await(self, count: int) -> None:
        end = time.monotonic() + 60
        while len(self._done(0)) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{count} messages did not get through the other branch")
            time.sleep(0.1)


def told(report: kit.Report, figures: Figures, name: Callable[[str], str] = "spamd {}".format) -> None:
    """Into the report: ratios to the rounds in which spamd is well."""
    for what, measure, aim in (
        ("p50", "other branch, ms from put to done, p50", "<= 1.25"),
        ("p99", "other branch, ms from put to done, p99", ""),
        ("rate", "other branch, messages/s of a burst", ">= 0.9"),
    ):
        well = figures["well"][what]
        report.add(measure, name("well"), well)
        for state in list(STATES)[1:]:
            more = {"aim": aim} if aim else {}
            report.add(measure, name(state), figures[state][what], peer=well, to=name("well"), **more)
