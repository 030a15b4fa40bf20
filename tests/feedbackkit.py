"""Reports by mail, for tests: a case that came by SMTP, and a report read by others' parsers."""

import asyncio
import base64
import email
import email.policy
import json
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

from hookkit import NOTES, case
from support import lack

from stages.reporting.mail import Writer
from stages.reporting.mailed import Mailed
from stages.reporting.terms import Terms
from trap.config import Duration
from trap.configfile import parse
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.place import Place
from trap.redaction.gate import leaks
from trap.redaction.identities import Identities
from trap.reports import Book

R = TypeVar("R", bound=Mailed)

WRITER = Writer("Example Reports", "reports@example.org")
ENVELOPE = Envelope(
    client_ip="192.0.2.7",
    client_port=40123,
    helo="pc.example",
    helo_verb="EHLO",
    mail_from="joe@spammer.example",
    received_at=1_795_158_125.75,  # 2026-11-20 07:02:05
)


def spam(
    *, notes: Mapping[str, Any] | None = None, session: Mapping[str, Any] | None = None, **changes: Any
) -> Any:
    """A case that came by SMTP.

    Args:
        notes: of stages, besides the usual ones.
        session: what is different in the envelope.
        changes: what else is.
    """
    known = {name: getattr(ENVELOPE, name) for name in ENVELOPE.__struct_fields__} | dict(session or {})
    return case(envelope=Envelope(**known), notes={**NOTES, **(notes or {})}, **changes)


def parts(report: bytes) -> tuple[EmailMessage, list[EmailMessage]]:
    """A report as Python's own parser reads it, and its parts."""
    read = email.message_from_bytes(report, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read, list(read.iter_parts())  # type: ignore[arg-type]


def fields(report: bytes) -> EmailMessage:
    """The fields of message/feedback-report."""
    _, (_, machine, *_) = parts(report)
    assert machine.get_content_type() == "message/feedback-report"
    (said,) = machine.get_payload()
    return said


def sisimai(report: bytes) -> list[dict[str, Any]]:
    """What Sisimai, a reader of feedback loops, makes of a report."""
    if subprocess.run(["perl", "-MSisimai", "-e", "1"], check=False, capture_output=True).returncode:
        lack("libsisimai-perl is not installed")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "1.eml")
        path.write_bytes(b"From MAILER-DAEMON Fri Nov 20 07:00:00 2026\n" + report.replace(b"\r\n", b"\n"))
        program = "print Sisimai->dump($ARGV[0]) // '[]'"
        done = subprocess.run(
            ["perl", "-MSisimai", "-e", program, path], check=True, capture_output=True, timeout=30
        )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


TRAP = "joe.doe@trap.example"
CONFIG = "accept: {domains: [trap.example]}\nsmtp: {hostname: mx.trap.example}\nprotect: [secretword]\n"
HTML = b"Dear joe.doe@trap.example, <a href='http://shop.example/?to=joe.doe%40trap.example'>buy</a> %s\r\n"
SPAM = (
    b"Received: from evil.example by mx.trap.example for <joe.doe@trap.example>;\r\n"
    b"\tFri, 20 Nov 2026 07:02:05 +0000\r\n"
    b"DKIM-Signature: v=1; d=spammer.example; b=abc\r\n"
    b"From: Shop <x@spammer.example>\r\n"
    b"To: Joe <joe.doe@trap.example>\r\n"
    b"Message-ID: <joe.doe=trap.example@spammer.example>\r\n"
    b"Subject: joe.doe, buy!\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/html\r\n"
    b"Content-Transfer-Encoding: base64\r\n"
    b"\r\n"
)
NOW = Terms(gather=Duration(0))


def job(word: bytes = b"now", *, message: bytes | None = None, copy: int = 0, **session: Any) -> Job:
    """Spam that names its recipient wherever it can.

    Args:
        word: what is said only in this one.
        message: another one.
        copy: which copy it is of a campaign that dedup has seen; 0: dedup has not looked.
        session: what is different in the envelope.
    """
    text = message or SPAM + base64.encodebytes(HTML.replace(b"%s", word)).replace(b"\n", b"\r\n")
    known: dict[str, Any] = {
        "client_ip": "192.0.2.7",
        "client_port": 40123,
        "helo": "pc.example",
        "mail_from": "bounce-joe.doe=trap.example@spammer.example",
        "rcpts": [Rcpt(address=TRAP)],
        "received_at": time.time(),
    }
    made = Job.from_message(text, Envelope(**known | session))
    notes = {"dedup": {"campaign": "c0ffee", "count": copy, "window_count": copy}} if copy else {}
    urls = {"extract": {"urls": ["http://shop.example/?to=joe.doe%40trap.example"], "domains": []}}
    return Job(made.id, made.envelope, notes | urls, made.message)


def place(home: Path, queue: str) -> Place:
    """Where a reporter is, in a trap of its own."""
    return Place(parse(f"{CONFIG}paths: {{state: {home}/state}}"), queue)


@asynccontextmanager
async def reporter(kind: type[R], home: Path, smtp: str, **settings: Any) -> AsyncIterator[R]:
    """A reporter by mail, as a worker would have it."""
    usual: dict[str, Any] = {"reporter": "Example Reports <reports@example.org>", "smtp": smtp, "terms": NOW}
    stage = kind(place=place(home, kind.__name__.lower()), **usual | settings)
    try:
        yield stage
        await stage.finish()
    finally:
        stage.backends.close()
        stage.close()


async def report(stage: Mailed, *jobs: Job) -> list[Any]:
    """Have it report these, and wait for what comes of it; the verdicts."""
    verdicts = [await stage.process(each) for each in jobs]
    await settled(stage)
    return verdicts


async def settled(stage: Mailed) -> None:
    """Send what is due, to its end."""
    stage.tick()
    while stage._flying:
        await asyncio.wait(stage._flying.values())


def states(home: Path, queue: str) -> list[tuple[str, str]]:
    """State and answer of all that stands in the book."""
    book = Book(home / "state/reports", queue)
    try:
        return sorted((each.state, each.word) for each in book.reports())
    finally:
        book.close()


def tells_nothing(mail: bytes) -> bool:
    """Whether what left names neither trap nor recipient, as far as the gate sees."""
    ours = Identities.named([TRAP, "trap.example", "mx.trap.example"])
    return not leaks(mail, ours) and b"trap.example" not in mail and b"joe.doe" not in mail
