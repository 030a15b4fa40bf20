"""Reports by mail, for tests: a case that came by SMTP, and a report read by others' parsers."""

import email
import email.policy
import json
import subprocess
import tempfile
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from hookkit import NOTES, case
from support import lack

from stages.reporting.mail import Writer
from trap.envelope import Envelope

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
