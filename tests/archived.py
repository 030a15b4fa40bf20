"""Mail of our own writing for the tests of the archive."""

import base64
from pathlib import Path

from trap.archive.writer import Writer
from trap.envelope import Envelope, Rcpt
from trap.job import Job, new_id

DAY = 86400.0
NOVEMBER = 1793491200.0
"""2026-11-01, 00:00 UTC."""


def mail(number: int = 0, subject: str = "", body: str = "") -> bytes:
    """A small message."""
    return (
        f"Received: from mail.a.example (mail.a.example [192.0.2.7]) by mx.trap.example; "
        f"Sun, 1 Nov 2026 10:00:00 +0000\r\n"
        f"From: Joe Sender <joe@a.example>\r\nTo: trap@trap.example\r\n"
        f"Subject: {subject or f'offer number {number}'}\r\n"
        f"Date: Sun, 1 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@a.example>\r\n\r\n"
        f"{body or f'Dear friend, you won {number} Euro.'}\r\n"
    ).encode()


def job(number: int = 0, *, at: float | None = None, message: bytes | None = None, **envelope: object) -> Job:
    """A job with a full envelope, accepted at `at`, or `number` seconds into November."""
    settings: dict[str, object] = {
        "client_ip": "192.0.2.7",
        "helo": "mail.a.example",
        "mail_from": "bounce@a.example",
        "rcpts": [Rcpt(address="trap@trap.example")],
        **envelope,
    }
    job_id = new_id(NOVEMBER + number if at is None else at)
    return Job(job_id, Envelope(**settings), {}, mail(number) if message is None else message)  # type: ignore[arg-type]


def mixed_message(number: int) -> bytes:
    """A message with a text part, an HTML part and a file in base64."""
    picture = "\r\n".join(["iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXD"] * 8)
    return (
        "From: =?utf-8?q?J=C3=B6rg?= <j@b.example>\r\nTo: trap@trap.example\r\n"
        "Subject: =?utf-8?b?w5xiZXJ3ZWlzdW5n?=\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBitte prüfen Sie Ihr Konto.\r\n"
        "--b\r\nContent-Type: text/html\r\n\r\n<p>Click <a href='http://login.c.example/x'>here</a></p>\r\n"
        f'--b\r\nContent-Type: application/pdf; name="invoice{number}.pdf"\r\n'
        f'Content-Disposition: attachment; filename="invoice{number}.pdf"\r\n'
        f"Content-Transfer-Encoding: base64\r\n\r\n{picture}\r\n--b--\r\n"
    ).encode()


def attached(number: int, data: bytes) -> bytes:
    """A message with one more file."""
    return mixed_message(number) + base64.encodebytes(data).replace(b"\n", b"\r\n") + b"--end"


def sealed_segment(directory: Path, jobs: list[Job]) -> Path:
    """A sealed segment in a directory, which is made when it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    writer = Writer.create(directory, b"", 3)
    writer.append(jobs)
    writer.seal()
    return writer.path
