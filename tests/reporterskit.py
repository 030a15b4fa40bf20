"""A whole trap with reporters on, mail for it, and the account: what the books say against what arrived."""

import random
import re
import smtplib
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from counterparts import Counterpart, Got
from leakkit import leaks
from support import eventually, free_port
from trapkit import Trap

from stages.reporting.case import name
from trap.config import Config, paths_below
from trap.configfile import parse
from trap.place import DIRECTORY, Place
from trap.reports import Book, Report

HOST = "mx.trap-host.example"
PIPELINE = ["extract", "dedup"]
ADDRESS = re.compile(r"[\w.+-]{1,64}@([\w-]{1,63}(?:\.[\w-]{1,63}){1,5})")
ANYBODY = re.compile(
    r"(?:.*\.)?(?:gmail|googlemail|hotmail|aol|yahoo\w*|example|msn|outlook)\.[a-z.]+|\d[\d.]*|[x.]+"
)
"""Domains of nobody or of too many, or blanked by who gave the mail away: they are no trap's here."""
NETWORKS = ["1.1.0.0", "5.9.0.0", "8.8.0.0", "93.184.0.0", "151.101.0.0", "185.199.0.0"]
"""Beginnings of addresses that clients say they have; anybody's in the Internet."""
POISON = "poison"
"""Kind of evidence of what the sentinel holds; all others are the gate's."""
LATER = ("gathering", "sending", "retracting")


@dataclass
class Account:
    """What became of one reporter's reports."""

    queue: str
    states: dict[str, int]
    arrived: int
    """Reports that the counterpart has."""
    lost: list[str] = field(default_factory=list)
    """Said to be sent, and not there."""
    twice: list[str] = field(default_factory=list)
    """There more than once."""
    strange: list[str] = field(default_factory=list)
    """There, though the book says otherwise."""
    unsure: int = 0
    unsure_arrived: int = 0
    """Of those that are unsure, how many are there."""
    held: dict[str, int] = field(default_factory=dict)
    """How many reports are held for what kinds of evidence."""
    gate: list[str] = field(default_factory=list)
    """The first thing that the gate found in each of those it holds."""
    failed: dict[str, int] = field(default_factory=dict)
    """Why reports failed."""

    @property
    def good(self) -> bool:
        """Nothing lost, nothing twice."""
        return not (self.lost or self.twice or self.strange)


class Stand:
    """A trap, and those whom it tells.

    Args:
        home: an empty directory.
        parts: whom it tells; their stages stand side by side at the end of the pipeline.
        files: the mail it will get; whom that was for are the traps.
        gather: how long a report waits for more copies.
        more: of its configuration.

    Attributes:
        names: of the traps.
    """

    def __init__(
        self, home: Path, parts: list[Counterpart], files: Sequence[Path], *, gather: str = "2s", **more: Any
    ) -> None:
        self._files = list(files)
        self._rcpts = [recipient(file.read_bytes(), number) for number, file in enumerate(self._files)]
        domains = {rcpt.rpartition("@")[2] for rcpt in self._rcpts}
        self.names = sorted({HOST, *self._rcpts, *domains})
        self.parts = parts
        self.stages = {queue: dict(stage) for part in parts for queue, stage in part.stages.items()}
        self._whose = {queue: part for part in parts for queue in part.stages}
        for queue, stage in self.stages.items():
            if not self._whose[queue].asked:
                stage["terms"] = {"rate": 0, "gather": gather, "min_traps": 1}
        self._door, self._proxied = free_port(), free_port()
        settings = {
            "listen": [{"port": self._door}, {"port": self._proxied, "proxy": ["127.0.0.0/8"]}],
            "smtp": {"hostname": HOST},
            "accept": {"domains": sorted(domains)},
            "pipeline": [*PIPELINE, list(self.stages)],
            "stages": self.stages,
            **more,
        }
        self.trap = _Trap(home, msgspec.yaml.encode(settings).decode())
        self.trap.port = self._door
        text = (home / "spamtrap.yaml").read_text()
        self.config: Config = msgspec.structs.replace(parse(text), paths=paths_below(home))

    # -- mail --------------------------------------------------------------------------------------

    def feed(self, rate: float = 0.0) -> int:
        """Send it all the mail, from as many clients.

        Args:
            rate: messages a second; as fast as it goes if 0.

        Returns:
            How many were taken.
        """
        taken, begun = 0, time.monotonic()
        for number, (file, rcpt) in enumerate(zip(self._files, self._rcpts, strict=True)):
            if rate and (early := begun + number / rate - time.monotonic()) > 0:
                time.sleep(early)
            taken += self._send(number, rcpt, file.read_bytes())
        return taken

    def _send(self, number: int, rcpt: str, message: bytes) -> bool:
        try:
            with closing(_Client(client_ip(number), self._proxied)) as client:
                client.ehlo("client.sender.example")
                client.sendmail(f"bounce{number}@sender.example", [rcpt], message)
        except (OSError, smtplib.SMTPException):
            return False
        return True

    # -- the account -------------------------------------------------------------------------------

    def books(self) -> Iterator[tuple[str, Book]]:
        """The books there are."""
        directory = self.config.paths.state / DIRECTORY
        for queue in Book.queues(directory):
            with closing(Book(directory, queue)) as book:
                yield queue, book

    def told(self) -> dict[str, Counter[str]]:
        """How many reports there are in each state, by queue."""
        counts = {queue: Counter(book.counts()) for queue, book in self.books()}
        return {queue: counts.get(queue, Counter()) for queue in self.stages}

    def settled(self, seconds: float) -> None:
        """Wait until nothing is to be sent any more."""
        self.trap.settled(seconds)

        def nothing() -> bool:
            return not any(counts[state] for counts in self.told().values() for state in LATER)

        eventually(nothing, seconds, f"all is sent: {self.told()}")

    def accounts(self) -> list[Account]:
        """What the books say against what arrived."""
        return [self._account(queue, self._whose[queue], book) for queue, book in self.books()]

    def _account(self, queue: str, part: Counterpart, book: Book) -> Account:
        reports, got = book.reports(limit=1_000_000), part.got(queue)
        account = Account(queue, dict(Counter(report.state for report in reports)), _number(got))
        sent = [report for report in reports if report.state == "sent"]
        unsure = [report for report in reports if report.state == "unsure"]
        account.unsure = len(unsure)
        if isinstance(got, int):
            expected = sum(_weight(report) for report in sent)
            account.lost = [f"{expected - got} of {expected}"] * (got < expected)
            more = got - expected - len(unsure) * max(map(_weight, sent), default=1)
            account.twice = [f"{more} more"] * (more > 0)
        else:
            known = {part.know(self.id_of(queue, report)): report.state for report in reports}
            account.lost = [each for each, state in known.items() if state == "sent" and not got[each]]
            account.twice = [each for each, times in got.items() if times > 1]
            account.strange = [each for each in got if known.get(each) not in ("sent", "unsure")]
            account.unsure_arrived = sum(known.get(each) == "unsure" for each in got)
        account.failed = dict(Counter(report.word[:60] for report in reports if report.state == "failed"))
        held = [report for report in reports if report.state == "held"]
        for report in held:
            evidence = book.held.evidence(report.id)
            kinds = ", ".join(sorted({each.kind for each in evidence}))
            account.held[kinds] = account.held.get(kinds, 0) + 1
            gate = [each for each in evidence if each.kind != POISON]
            account.gate += [f"{each.kind} {each.name!r} in {each.where}" for each in gate[:1]]
        return account

    def id_of(self, queue: str, report: Report) -> str:
        """What a report is called where it goes."""
        return name(Place(self.config, queue).consumer_key(report.recipient), report.id)

    def leaks(self, most: int = 100) -> list[tuple[str, str, str]]:
        """What names the trap in all that was redacted and left: queue, name, spelling.

        Args:
            most: texts that are searched of each reporter, evenly chosen: the search takes its time.
        """
        told: dict[str, list[bytes]] = {}
        for part in self.parts:
            for queue, text in part.texts():
                told.setdefault(queue, []).append(text)
        found = []
        for queue, texts in told.items():
            for text in texts[:: -(-len(texts) // most)]:
                found += [(queue, *leak) for leak in leaks(text, self.names)]
        return found


class _Trap(Trap):
    """A trap that listens where its configuration says."""

    def start(self) -> None:
        """Run it, and wait until it greets."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command("up"), stdout=log, stderr=log)
        self.greets()


class _Client(smtplib.SMTP):
    """A client that says where it comes from, as a load balancer would."""

    def __init__(self, ip: str, port: int) -> None:
        self._ip = ip
        super().__init__("127.0.0.1", port, timeout=30)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # type: ignore[override]
        sock = socket.create_connection((host, port), timeout)
        sock.sendall(f"PROXY TCP4 {self._ip} 127.0.0.1 40000 {port}\r\n".encode())
        return sock

    def close(self) -> None:
        """Say goodbye."""
        with suppress(OSError, smtplib.SMTPException):
            if self.sock:
                self.docmd("quit")
        super().close()


def client_ip(number: int) -> str:
    """Of the client of one message."""
    dice = random.Random(number)
    first, second, *_ = dice.choice(NETWORKS).split(".")
    return f"{first}.{second}.{dice.randrange(1, 255)}.{dice.randrange(1, 255)}"


def recipient(message: bytes, number: int) -> str:
    """For whom a message was, by its own words; else one of a trap's."""
    head = message[:20_000].decode("latin-1")
    for field_ in ("Delivered-To", "X-Original-To", "To"):
        said = re.search(rf"(?im)^{field_}:(.*)$", head)
        if (
            said
            and said[1].isascii()
            and (found := ADDRESS.search(said[1]))
            and not ANYBODY.fullmatch(found[1].lower())
        ):
            return found[0].lower()
    return f"trap{number}@hidden-trap.example"


def _number(got: Got) -> int:
    return got if isinstance(got, int) else len(got)


def _weight(report: Report) -> int:
    """What a report adds to a counterpart that only counts: as many as it said itself, or one."""
    said = re.match(r"(\d+) fuzzy hashes added|accepted, (\d+) of", report.word)
    return int(said[1] or said[2]) if said else int(report.word != "known already")


def as_dict(account: Account) -> dict[str, Any]:
    """For reports of figures."""
    return {**asdict(account), "good": account.good}
