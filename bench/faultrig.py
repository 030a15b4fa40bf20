"""One stage at work while its backend fails, and what becomes of the mail. Not a bench itself.

A `Rig` is a trap of two queues in a directory: that of the stage, emptied by the real worker in a process
of its own, and one behind it that nobody empties, where what the stage let pass is looked at. Mail is put
in at a steady rate; a fault is switched on and off meanwhile. The mail log, the worker's log, the audit and
the status say what happened.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kit
import msgspec

__all__ = ["Event"]

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from trap.configfile import parse  # noqa: E402 - after the path is set
from trap.envelope import Envelope, Rcpt  # noqa: E402
from trap.job import ID_LENGTH, Job  # noqa: E402
from trap.ledger import Event, events_since  # noqa: E402
from trap.queue import Spool  # noqa: E402

RATE = 20.0
"""Messages a second."""
CALM = 1.0
"""Seconds of work before the fault, and of work without a failure after it, until a line is done."""
PATIENCE = 15.0
"""Seconds after the fault that a line waits for that."""
DRAIN = 90.0
"""Seconds that the rest of the queue has to be worked off."""
LOOK = 0.01
"""Seconds between two looks at who holds which job."""
AFTER = "archive"
UNJUDGED = ("unjudged", "unscanned")

Scanned = Callable[[Mapping[str, Any]], bool]


@dataclass
class Outcome:
    """What one line of the matrix measured."""

    backend: str
    fault: str
    mode: str
    """pass or wait: what jobs do while the backend is away."""
    timeout: float
    """Seconds that a message may take."""
    put: int = 0
    out: int = 0
    lost: int = 0
    bad: int = 0
    under: int = 0
    """Messages that were dealt with while the fault was on, for as long as it was."""
    scanned_under: int = 0
    scanned: int = 0
    longest: float = 0.0
    """Seconds from claim to leaving the stage, of the message that took longest."""
    recovery: float = 0.0
    """Seconds from the end of the fault to the last message that left unscanned, or to an empty queue."""
    notes: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    spamc: dict[str, Any] = field(default_factory=dict)


def judged(notes: Mapping[str, Any]) -> bool:
    """Whether a stage has judged, by its notes."""
    return bool(notes) and not any(word in notes for word in UNJUDGED)


class Rig:
    """A trap of one stage.

    Args:
        home: an empty directory.
        stage: its name.
        settings: the stage's own.
        mail: messages that are put in, over and over.
        scanned: tells by the stage's notes whether it did what it is there for.
    """

    def __init__(
        self,
        home: Path,
        stage: str,
        settings: Mapping[str, Any],
        mail: list[bytes],
        scanned: Scanned = judged,
    ) -> None:
        self.stage, self.home, self._scanned = stage, home, scanned
        config = {
            "pipeline": [stage, AFTER],
            "paths": {name: str(home / name) for name in ("spool", "archive", "state")},
            "stages": {stage: {"deadline": "60s", **settings}},
        }
        (home / "spamtrap.yaml").write_bytes(msgspec.yaml.encode(config))
        self.config = parse((home / "spamtrap.yaml").read_text())
        self.spool = Spool.open(self.config)
        self.spool.make()
        self._mail = itertools.cycle(mail)
        self._numbers = itertools.count()
        self.put: dict[str, float] = {}
        self.left: dict[str, tuple[float, dict[str, Any]]] = {}
        self.held: dict[str, float] = {}
        """Longest time that each job was in the worker's hand, as far as it was seen there."""
        self._claimed: dict[str, float] = {}
        self._over = threading.Event()

    @contextmanager
    def working(self) -> Iterator[None]:
        """The worker runs, and is watched."""
        watcher = threading.Thread(target=self._watch)
        with (self.home / "log").open("wb") as log:
            worker = subprocess.Popen(
                self.command("work", self.stage), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        watcher.start()
        try:
            yield
        finally:
            kit.stop(worker, 30)
            self._over.set()
            watcher.join()
            self.spool.close()
            self.spool.log.close()

    def command(self, *words: str) -> list[str]:
        """A command line of this trap."""
        return [sys.executable, "-m", "trap", "--config", str(self.home / "spamtrap.yaml"), *words]

    def say(self, *words: str) -> Any:
        """What a command says as JSON."""
        done = subprocess.run(self.command(*words, "--json"), capture_output=True, timeout=60, check=False)
        return json.loads(done.stdout or b"{}")

    def feed(self, seconds: float, rate: float = RATE, until: Callable[[], bool] = lambda: False) -> None:
        """Put mail in at a rate for so long, or until something is true."""
        begun = time.monotonic()
        for number in itertools.count():
            if time.monotonic() - begun > seconds or until():
                return
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            self.add()

    def add(self) -> None:
        """Put one message in; no two have the same client or sender."""
        number = next(self._numbers)
        envelope = Envelope(
            client_ip=f"93.{184 + number // 65536 % 8}.{number // 256 % 256}.{number % 256}",
            helo=f"host{number}.example.net",
            mail_from=f"sender@domain{number}.example.org",
            rcpts=[Rcpt(address="somebody@trap.example")],
        )
        before = time.time()
        self.put[self.spool.put(self.stage, envelope, next(self._mail))] = before

    def settled(self) -> bool:
        """Whether the stage's queue is empty."""
        stats = self.spool[self.stage].stats()
        return not stats.waiting and not stats.claimed

    def settle(self, seconds: float = DRAIN) -> float:
        """Wait until the stage's queue is empty, or for so long; when that was (seconds since the epoch)."""
        end = time.monotonic() + seconds
        while not self.settled() and time.monotonic() < end:
            time.sleep(0.02)
        at = time.time()
        time.sleep(3 * LOOK)  # the watcher sees it as well
        return at

    def calm(self, since: float) -> bool:
        """Whether, after `since`, messages left scanned for a while, and no other ones."""
        now = time.time()
        late = [self._scanned(notes) for at, notes in list(self.left.values()) if at > max(since, now - CALM)]
        return now > since + CALM and len(late) > RATE * CALM / 2 and all(late)

    def finished(self, outcome: Outcome, on: float, off: float) -> Outcome:
        """Count; the fault was on from and to these times."""
        outcome.put = len(self.put)
        account = self.say("audit")
        outcome.bad = account["bad"]
        outcome.lost = len(account["missing"]) + len(self.put) - account["accepted"]
        ends = {
            event.id: event for event in events_since(self.config.paths.maillog, 0) if event.q == self.stage
        }
        dropped = {job_id for job_id, event in ends.items() if event.e == "dropped"}
        outcome.out = len(self.left) + len(dropped)
        good = {job_id for job_id, (_, notes) in self.left.items() if self._scanned(notes)} | dropped
        outcome.scanned = len(good)
        under = {job_id for job_id in (*self.left, *dropped) if on <= ends[job_id].t < off}
        outcome.under, outcome.scanned_under = len(under), len(under & good)
        outcome.longest = max([*self.held.values(), *(event.took for event in ends.values())], default=0.0)
        late = [ends[job_id].t - off for job_id in self.left if job_id not in good and ends[job_id].t > off]
        outcome.recovery = max([0.0, *late])
        outcome.notes = most(self._words(notes) for job, (_, notes) in self.left.items() if job not in good)
        outcome.log = most((self.home / "log").read_text(errors="replace").splitlines())
        return outcome

    def states(self) -> list[str]:
        """What `spamtrap status` says of the backends now."""
        said = self.say("status")
        found = [
            f"{one['state']}: {one['cause']}" if one["state"] != "up" else "up"
            for one in said.get("backends", [])
        ]
        return [plain(text) for text in found] or ["nothing"]

    def _words(self, notes: Mapping[str, Any]) -> str:
        for word in UNJUDGED:
            if word in notes:
                return f"{word}: {notes[word]}"
        if "missing" in notes:
            return (
                f"missing: {len(notes['missing'])} look-ups"
                if notes["missing"]
                else json.dumps(notes, default=str)[:160]
            )
        return json.dumps(notes, default=str)[:200]

    def _watch(self) -> None:
        """Note who holds which job, and what leaves, as it happens."""
        work, new = self.home / "spool" / self.stage / "work", self.home / "spool" / AFTER / "new"
        while not self._over.wait(LOOK):
            # A claim is a rename, which the file remembers; so one that was given back and claimed again in
            # between is told from one that was held all the time.
            held = dict(_claims(work))
            now = time.time()
            for job_id, since in self._claimed.items():
                if held.get(job_id) != since:
                    self.held[job_id] = max(self.held.get(job_id, 0.0), held.get(job_id, now) - since)
            self._claimed = held
            for name in os.listdir(new):
                if (job_id := name[:ID_LENGTH]) not in self.left:
                    job = Job.decode(job_id, (new / name).read_bytes())
                    self.left[job_id] = (now, dict(job.notes.get(self.stage, {})))


def _claims(work: Path) -> Iterator[tuple[str, float]]:
    """Jobs in the hand of a worker, each with the time of its claim."""
    with suppress(FileNotFoundError):
        for entry in os.scandir(work):
            with suppress(FileNotFoundError, NotADirectoryError):
                for name in os.listdir(entry.path):
                    with suppress(FileNotFoundError):
                        yield name[:ID_LENGTH], os.stat(f"{entry.path}/{name}").st_ctime


def run(
    rig: Rig,
    outcome: Outcome,
    on: Callable[[], object],
    off: Callable[[], object],
    lasts: float,
    beside: Callable[[], Mapping[str, Any]] | None = None,
) -> Outcome:
    """Measure one line: work, the fault, work again.

    Args:
        rig: the trap.
        outcome: where the figures go.
        on, off: switch the fault.
        lasts: seconds of the fault.
        beside: something else that is measured while the fault is on, in a thread.
    """
    with rig.working():
        rig.feed(10, until=lambda: rig.calm(0))
        begun = time.time()
        on()
        other = threading.Thread(target=lambda: outcome.spamc.update(beside() if beside else {}))
        other.start()
        rig.feed(lasts - 0.5)
        outcome.status = rig.states()
        rig.feed(0.5)
        over = time.time()
        off()
        rig.feed(PATIENCE + outcome.timeout, until=lambda: rig.calm(over))
        empty = rig.settle()
        other.join()
        rig.finished(outcome, begun, over)
        if outcome.mode == "wait":
            outcome.recovery = max(0.0, min(empty, _caught_up(rig, over)) - over)
    return outcome


def _caught_up(rig: Rig, over: float) -> float:
    """When all that had waited as the fault ended had left."""
    waited = [at for job_id, (at, _) in rig.left.items() if rig.put.get(job_id, over) < over <= at]
    return max(waited, default=over)


def most(lines: Iterator[str] | list[str], number: int = 3) -> list[str]:
    """The most frequent of them, without what differs from run to run, each with its count."""
    counts = Counter(plain(line) for line in lines if line.strip())
    return [f"{count} times {line}" if count > 1 else line for line, count in counts.most_common(number)]


def plain(text: str) -> str:
    """A line without time, ports, directories and ids."""
    text = re.sub(r"^\S+ \S+ \[?\w+\]? ", "", text) if re.match(r"\d{4}-\d\d-\d\d ", text) else text
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:port", text)
    text = re.sub(r"(/[\w.-]+)+/([\w.-]+)", r"…/\2", text)
    text = re.sub(r"\b\d{16,}\w*", "id", text)
    return re.sub(r"(\d+\.\d) s\b", "… s", text)[:160]
