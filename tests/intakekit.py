"""What tests of the sink's way into the spool share."""

from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

from trap import fsio
from trap.audit import Account, audit
from trap.config import Config
from trap.configfile import parse
from trap.draft import Draft
from trap.envelope import Envelope, Rcpt
from trap.intake import Intake, Stored
from trap.job import Job
from trap.queue import Spool

MESSAGE = b"Subject: hello\r\n\r\n" + b"x" * 20_000
TAGGED = "accept: {domains: {a.example: {tag: pristine}, b.example: {tag: typo}}}\n"
CHOICES = ["tempfail", "shed", "accept-and-drop"]


def trap_below(
    directory: Path, spool_settings: str = "", spool: Path | None = None, limits: str = ""
) -> Config:
    spool = spool or directory / "spool"
    return parse(
        f"pipeline: [first, second]\nstages: {{other: }}\nspool: {{{spool_settings}}}\n{TAGGED}"
        f"limits: {{{limits}}}\n"
        f"paths: {{spool: {spool}, archive: {directory}/a, state: {directory}/state}}\n"
    )


def opened(config: Config) -> tuple[Intake, Spool]:
    spool = Spool.open(config)
    return Intake(config, spool), spool


def envelope(*domains: str) -> Envelope:
    tags = {"a.example": "pristine", "b.example": "typo"}
    return Envelope(rcpts=[Rcpt(address=f"x@{d}", tag=tags.get(d, "")) for d in domains or ("c.example",)])


def store(intake: Intake, message: list[bytes] | Draft, *queues: str, to: str = "c.example") -> Stored:
    """Store a message, and return what became of it; where fsync is off that is told at once."""
    results: list[Stored] = []
    intake.store([(queue, envelope(to)) for queue in queues or ("first",)], message, results.append)
    (result,) = results
    return result


def draft_of(intake: Intake, message: bytes, *, tags: tuple[str, ...] = ()) -> Draft:
    draft = intake.draft(tags)
    for at in range(0, len(message), 8192):
        draft.write([message[at : at + 8192]])
    return draft


def messages(spool: Spool, queue: str) -> list[bytes]:
    """What waits, oldest first."""
    names = spool[queue].waiting()
    return [Job.decode(name, fsio.read(f"{spool[queue].new}/{name}")).message for name in names]


def balanced(config: Config, spool: Spool) -> Account:
    account = audit(config, spool)
    assert account.missing == []
    assert account.balanced, account
    return account


def space_of(free: dict[str, int]) -> AbstractContextManager[object]:
    """The spool is on a file system of 1,000 bytes and inodes, so much of them free."""
    real = fsio.space

    def space(path: Path) -> fsio.Space:
        return real(path) if path.name == "maillog" else fsio.Space(1000, free["bytes"], 1000, free["inodes"])

    return mock.patch.object(fsio, "space", space)
