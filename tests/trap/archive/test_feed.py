"""feed: the email package is given as much of a message as is worth the time, and says what was left out."""

import hashlib
import time
from collections.abc import Callable
from email import message_from_bytes

import pytest
from archived import job
from bombs import BOMBS

from trap.archive import feed
from trap.archive.feed import MAX_DEPTH, MAX_FIELD, MAX_LINES, Room, first_lines, parse
from trap.archive.fields import extract, indexed
from trap.archive.record import Record

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
WORDS = b"=?utf-8?q?a?= "

HOSTILE: dict[str, Callable[[], bytes]] = {
    "a megabyte of encoded words": lambda: b"Subject: " + WORDS * 70_000 + b"\r\n\r\nx",
    "many subjects of encoded words": lambda: (
        b"Subject: =?utf-8?q?a?= =?utf-8?b?YQ==?=\r\n" * 20_000 + b"\r\nx"
    ),
    "a name of encoded words": lambda: b"From: " + WORDS * 70_000 + b"<a@b.example>\r\n\r\nx",
    "140,000 boundaries": lambda: MIXED + b"--b\r\n\r\n" * 140_000,
    "80,000 parts": lambda: MIXED + b"--b\r\nContent-Type: text/html; charset=koi8-r\r\n\r\nabc\r\n" * 80_000,
    "200,000 reports": lambda: b"Content-Type: message/delivery-status\r\n\r\n" + b"a: b\r\n\r\n" * 200_000,
    "160,000 addresses": lambda: b"To: " + b"a@b.example," * 160_000 + b"\r\n\r\n",
    "160,000 wrong addresses": lambda: b"To: " + b"a@b..example," * 160_000 + b"\r\n\r\n",
    "100,000 parameters": lambda: b"Content-Type: text/plain; " + b"x*0=y; " * 100_000 + b"\r\n\r\nx",
    "quoted semicolons": lambda: b'Content-Type: text/plain; name="' + b'\\";' * 300_000 + b"\r\n\r\nx",
    "a part with a long header": lambda: (
        MIXED
        + b'--b\r\nContent-Disposition: attachment; filename="'
        + WORDS * 70_000
        + b'"\r\n\r\nYWJj\r\n--b--\r\n'
    ),
    "parts with headers not quite long": lambda: (
        MIXED
        + (b'--b\r\nContent-Disposition: attachment; filename="' + WORDS * 500 + b'"\r\n\r\nx\r\n') * 190
        + b"--b--\r\n"
    ),
    "250,000 empty fields": lambda: b"a:\r\n" * 250_000 + b"\r\nx",
    "a part of 250,000 empty fields": lambda: (
        MIXED + b"--b\r\n" + b"a:\r\n" * 250_000 + b"\r\nx\r\n--b--\r\n"
    ),
    "a million lines in 90 parts": lambda: (
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(90))
        + b"line\r\n" * 1_000_000
    ),
    "files in files": lambda: (
        b"".join(
            b"Content-Disposition: attachment; filename=x\r\n"
            b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
            for n in range(MAX_DEPTH)
        )
        + b"\r\nline\r\n" * 200_000
    ),
    "8 MB of line ends": lambda: MIXED + b"--b\r\n\r\n" + b"\r" * 8_000_000,
    "a part that is parsed again": lambda: (
        MIXED
        + b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\nx\r\n--b--\r\n--b\r\nSubject: "
        + WORDS * 50_000
        + b"\r\n\r\n"
        + b"--d\r\n" * 50_000
        + b"--b--\r\n"
    ),
    "HTML in 95 parts": lambda: (
        MIXED
        + (b"--b\r\nContent-Type: text/html\r\n\r\n" + b'<i href="http://a.example/c">&amp;\r\n' * 2500) * 95
        + b"--b--\r\n"
    ),
}
"""Each of these took seconds. They are made where they are wanted: together they are large."""


def record(message: bytes) -> Record:
    made = job(1, message=message)
    return Record(made.id, hashlib.sha256(message).digest(), made.envelope, {}, message)


@pytest.mark.parametrize("name", [*HOSTILE, *BOMBS])
def test_no_message_takes_long(name: str) -> None:
    message = (HOSTILE | BOMBS)[name]()
    began = time.process_time()
    quick = indexed(record(message))
    assert time.process_time() - began < 0.8
    assert not any("parsing took" in defect for defect in quick.defects)
    whole = extract(record(message))
    for field in ("subject", "senders", "recipients", "defects", "text", "urls", "charsets", "shape"):
        assert getattr(quick, field) == getattr(whole, field), field


@pytest.mark.parametrize(
    ("name", "defect"),
    [
        ("a megabyte of encoded words", "header fields too long"),
        ("80,000 parts", "too many parts: only"),
        ("200,000 reports", "too many parts: only"),
        ("160,000 addresses", "header fields too long"),
        ("a part of 250,000 empty fields", "headers too long"),
        ("a million lines in 90 parts", "parts too deep in each other: only"),
        ("8 MB of line ends", "only the first"),
    ],
)
def test_what_is_left_out_is_said(name: str, defect: str) -> None:
    assert any(found.startswith(defect) for found in indexed(record(HOSTILE[name]())).defects)


def test_the_first_field_is_cut_and_what_follows_it_is_whole_or_not_there() -> None:
    long, short = b"a" * MAX_FIELD, b"b" * 10
    room = Room()
    made = parse(b"Subject: %s%s\r\nSubject: %s\r\nFrom: a@b.example\r\n\r\nx" % (long, long, short), room)
    assert made.get_all("subject") == [long.decode()]
    assert made["from"] == "a@b.example"
    assert len(room.defects) == 1
    made = parse(b"Subject: %s\r\nSubject: %s\r\n\r\nx" % (short, long), Room())
    assert made.get_all("subject") == [short.decode()]


def test_a_field_that_nobody_reads_takes_no_room_from_those_somebody_does() -> None:
    made = parse(b"X-Long: %s\r\n" % (b"a" * 4000) * 100 + b"Subject: here\r\n\r\nx", room := Room())
    assert made["subject"] == "here"
    assert room.defects


@pytest.mark.parametrize("depth", [3, MAX_DEPTH - 1])
def test_what_is_in_order_is_read_whole(depth: int) -> None:
    message = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth)
    )
    message += b"Content-Type: text/plain\r\n\r\n" + b"line\r\n" * 10_000
    message += b"".join(b"--b%d--\r\n" % n for n in reversed(range(depth)))
    made = parse(message, room := Room())
    assert made.as_bytes() == message_from_bytes(message).as_bytes()
    assert not room.defects


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_are_counted_whatever_ends_them(end: bytes) -> None:
    line = b"four" + end
    assert first_lines(line * (MAX_LINES - 1)) == line * (MAX_LINES - 1)
    kept = first_lines(line * (MAX_LINES + 10_000))
    assert 0 <= len(kept) - len(line) * MAX_LINES < feed._CHUNK
