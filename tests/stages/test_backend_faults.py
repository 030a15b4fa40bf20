"""Every kind of backend x all that goes wrong in a conversation: real workers, real daemons.

A proxy before each daemon misbehaves (tests/troubler.py). Whatever it does: no message is lost, none is held
for longer than the stage's timeout, the others pass as soon as the backend is known to be away, and all is
scanned again once it is back. The whole matrix, with more faults and figures, is bench/faults.py.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from daemons import clamd, rspamd, spamd, unbound
from nametroubler import NameMode, NameTroubler
from support import eventually
from troubler import Mode, Troubler

import trap.backendserver
import trap.worker
from trap.audit import audit
from trap.config import Config
from trap.configfile import parse
from trap.envelope import Envelope
from trap.ledger import events
from trap.maillog import MailLog
from trap.queue import Spool
from trap.worker import Worker

pytestmark = [pytest.mark.timeout(120, method="thread")]

LIMIT = 0.3
"""Seconds that a stage here gives a message."""
SLACK = 3.0
"""Seconds that a busy machine may add to that."""
MAIL = b"From: <a@example.com>\r\nSubject: cheap pills\r\n\r\nMessage %d.\r\n"

CONVERSATIONS: dict[Mode, NameMode] = {
    "refuse": "refuse",
    "deaf": "drop",
    "half": "truncated_twice",
    "garbage": "garbage",
    "endless": "wrong_id",
    "late": "late",
    "drip": "late",
    "reset": "servfail",
    "close": "servfail",
}
"""What happens to those who are conversed with, and what meanwhile to names."""


@dataclass
class Patient:
    """A backend, and the settings of the stage that asks it through its proxy."""

    name: str
    stage: str
    settings: Mapping[str, Any]
    trouble: Troubler | NameTroubler
    spool: Spool = field(init=False, repr=False)
    config: Config = field(init=False, repr=False)

    def at(self, home: Path) -> None:
        """Have a trap of two queues there."""
        self.config = parse(
            f"pipeline: [{self.stage}, after]\n"
            f"paths: {{spool: {home}/spool, archive: {home}/archive, state: {home}/state}}\n"
            f"stages: {{{self.stage}: {{timeout: {LIMIT:g}s, {self._written()}}}}}\n"
        )
        self.spool = Spool(self.config.paths.spool, MailLog(self.config.paths.maillog), self.config.queues)

    def _written(self) -> str:
        return ", ".join(f"{key}: {value!r}" for key, value in self.settings.items())

    def put(self, number: int) -> str:
        """Put a message in, of which no other has the client."""
        envelope = Envelope(client_ip=f"93.184.216.{number % 256}", mail_from=f"a@d{number}.example.net")
        return self.spool.put(self.stage, envelope, MAIL % number)

    def notes(self) -> list[dict[str, Any]]:
        """What the stage noted of the messages behind it, each told once."""
        with self.spool["after"].consumer() as consumer:
            claims = list(iter(consumer.claim, None))
            found = [dict(claim.job().notes.get(self.stage, {})) for claim in claims]
            for claim in claims:
                claim.forward([])
        return found

    def turn(self, mode: Mode | str) -> None:
        """Have it misbehave so."""
        named = isinstance(self.trouble, NameTroubler)
        self.trouble.mode = CONVERSATIONS.get(mode, "pass") if named else mode  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Patient]]:
    """One of each kind, all well."""
    with ExitStack() as stack:

        def home(name: str) -> Path:
            return tmp_path_factory.mktemp(name)

        def before(target: int | str, path: Path | str = "", spare: int = 0) -> Troubler:
            trouble = stack.enter_context(Troubler(target, path=path, spare=spare))
            trouble.delay = LIMIT
            return trouble

        spam = stack.enter_context(spamd(home("spamd")))
        rspam = stack.enter_context(rspamd(home("rspamd")))
        clam = stack.enter_context(clamd(home("clamd")))
        names = stack.enter_context(unbound(home("unbound"), ["2.0.0.127.bl.example. A 127.0.0.2"]))
        lookups = [stack.enter_context(NameTroubler(names.port)) for _ in range(2)]
        for lookup in lookups:
            lookup.delay = 4 * LIMIT
        tcp, unix = before(spam.port), before(spam.socket, home("unix") / "s")
        files, streams = before(clam.socket, home("files") / "s"), before(clam.port, spare=1)
        http = before(rspam.port)
        yield [
            Patient("spamd by TCP", "spamd", {"spamd": tcp.tcp}, tcp),
            Patient("spamd by UNIX socket", "spamd", {"spamd": unix.socket}, unix),
            Patient("clamd by UNIX socket", "virus", {"clamd": files.socket}, files),
            Patient("clamd by TCP", "virus", {"clamd": streams.tcp}, streams),
            Patient("rspamd", "rspamd", {"rspamd": http.tcp}, http),
            Patient("names", "dns", {"servers": lookups[0].address}, lookups[0]),
            Patient("senders", "auth", {"servers": lookups[1].address}, lookups[1]),
        ]


@pytest.fixture
def at_work(
    patients: list[Patient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_are_closed: None
) -> Iterator[list[Patient]]:
    """Each has a worker."""
    monkeypatch.setattr(trap.worker, "TICK", 0.02)
    monkeypatch.setattr(trap.backendserver, "PROBE_PAUSE", 0.05)
    with ExitStack() as stack:
        for patient in patients:
            patient.turn("pass")
            patient.at(tmp_path / patient.name.replace(" ", "-"))
            stack.callback(patient.spool.log.close)
            stack.callback(patient.spool.close)
            stack.enter_context(working(patient))
        yield patients


@contextmanager
def working(patient: Patient) -> Iterator[None]:
    worker = Worker(patient.config, patient.stage, patient.spool)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive()


def judged(notes: Mapping[str, Any]) -> bool:
    return "unjudged" not in notes and "unscanned" not in notes


def until_judged(patients: list[Patient], numbers: Iterator[int]) -> None:
    """Put mail in until the stages judge it again."""
    waiting = list(patients)

    def all_well() -> bool:
        for patient in list(waiting):
            found = patient.notes()
            if any(map(judged, found)):
                waiting.remove(patient)
            elif not patient.spool[patient.stage].ids():
                patient.put(next(numbers))
        return not waiting

    eventually(all_well, what=f"a message that is judged, of {[patient.name for patient in waiting]}")


@pytest.mark.parametrize("mode", CONVERSATIONS)
def test_nothing_is_lost_or_late_and_all_is_judged_again(at_work: list[Patient], mode: Mode) -> None:
    numbers = iter(range(10_000))
    until_judged(at_work, numbers)
    for patient in at_work:
        patient.turn(mode)
    put = {patient.name: [patient.put(next(numbers)) for _ in range(6)] for patient in at_work}
    eventually(lambda: all(empty(patient) for patient in at_work), what=still(at_work))
    for patient in at_work:
        log = {event.id: event for event in events(patient.config.paths.maillog / "mail.log")}
        oldest = max(log[job_id].age for job_id in put[patient.name])
        assert oldest < LIMIT + SLACK, patient.name
        if mode in {"refuse", "deaf", "reset", "close"}:
            assert not any(map(judged, patient.notes())), patient.name
        patient.turn("pass")
    until_judged(at_work, numbers)
    for patient in at_work:
        account = audit(patient.config, patient.spool)
        assert (account.missing, account.bad) == ([], 0), patient.name


def empty(patient: Patient) -> bool:
    return not patient.spool[patient.stage].ids()


def still(patients: list[Patient]) -> str:
    return f"empty queues: {[patient.name for patient in patients if not empty(patient)]}"
