"""mime: the same parts that the email package finds, or the email package itself."""

from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trap.archive import feed
from trap.archive.feed import Room
from trap.archive.mime import parse


def shape(message: Message) -> Any:
    """All that is asked of a message."""
    payload = message.get_payload()
    parts = [shape(part) for part in payload] if isinstance(payload, list) else payload
    return list(map(str, message.raw_items())), [type(defect) for defect in message.defects], parts


def same(message: bytes) -> None:
    assert shape(parse(message)) == shape(message_from_bytes(message))


INNER = b"--x\r\nContent-Type: multipart/alternative; boundary=y"
HEAD = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"


@pytest.mark.parametrize(
    "message",
    [
        b"Subject: one\r\n two\r\n\r\nbody\r\n",
        b"Subject: one\n\nbody",
        b"\r\nno header",
        b"no header\r\n\r\nbody",
        b"",
        HEAD + b"--x\r\n\r\none\r\n--x\r\nContent-Type: text/html\r\n\r\ntwo\r\n--x--\r\n",
        HEAD + b"preamble\r\n--x\r\n\r\none\r\n--x--\r\nepilogue\r\n",
        HEAD + b"--x\r\n\r\none\r\n--xyz\r\ntwo\r\n --x\r\n--x \t\r\n\r\nthree\r\n--x--",
        HEAD + b"--x\r\n\r\nno end",
        HEAD + b"--x--\r\n",
        HEAD + b"--x\r\n--x\r\n\r\none\r\n--x--\r\n",
        HEAD + b"--x\r\nno header\r\n--x--\r\n",
        HEAD + b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n--x--\r\n",
        HEAD + INNER + b"\r\n\r\n--y\r\n\r\none\r\n--y--\r\n\r\n--x--\r\n",
        HEAD + INNER + b"\r\n\r\n--y\r\n\r\none\r\n--x--\r\n",
        HEAD + INNER.replace(b"=y", b"=x") + b"\r\n\r\n--x\r\n\r\none\r\n--x--\r\n",
        b"Content-Type: multipart/mixed\r\n\r\n--\r\n\r\none\r\n----\r\n",
        b"Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: a\r\n\r\nb\r\n--x--\r\n",
        b"Content-Transfer-Encoding: base64\r\n" + HEAD + b"--x\r\n\r\none\r\n--x--\r\n",
        HEAD + b"--x\r\n\r\nbare\rreturn\r--x\r\n--x--\r\n",
    ],
)  # fmt: skip
def test_messages(message: bytes) -> None:
    same(message)


PIECES = b"""Content-Type: multipart/mixed; boundary=|b|c|\r\n|\r\n\r\n|\n|\r| |--b|--c|--b--|--c--|--|text
|Content-Type: text/html|Content-Type: message/rfc822|Content-Transfer-Encoding: base64|Subject: x|\xff"""


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from(PIECES.replace(b"\\r", b"\r").replace(b"\\n", b"\n").split(b"|")), max_size=60
    ).map(b"".join)
)
def test_any_message(message: bytes) -> None:
    same(message)


def test_the_corpus(corpus: Path) -> None:
    for path in sorted(corpus.glob("*/*.eml"))[::7]:
        message = path.read_bytes()
        feed.parse(message, room := Room())
        if not room.defects:
            same(message)


def test_time_is_linear() -> None:
    """What looks at a line once for each part takes hours for this."""
    parse(HEAD + b"--x\r\n" * 100_000)
    parse(HEAD + b"--x\r\n\r\n\r\n" * 100_000)
    parse(b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(500)))
