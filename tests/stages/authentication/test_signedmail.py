"""signedmail: canonical forms (RFC 6376, section 3.4), and header fields as they come."""

import asyncio
import hashlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import at_most

from stages.authentication.signedmail import LARGE, Field, SignedMail

RFC6376 = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"
"""The example of section 3.4.5."""


def body(message: bytes, *, relaxed: bool) -> bytes:
    """The canonical body, found by its hash."""
    mail = SignedMail(message)
    length = mail.body_length(relaxed=relaxed)
    made = mail._canonical(relaxed=relaxed)
    assert len(made) == length
    assert mail.body_hash("sha256", relaxed=relaxed, length=None) == hashlib.sha256(made).digest()
    return made


def header(message: bytes, *, relaxed: bool) -> bytes:
    return SignedMail(message).selected([b"a", b"b"], relaxed=relaxed)


def test_the_example_of_the_rfc_relaxed() -> None:
    assert header(RFC6376, relaxed=True) == b"a:X\r\nb:Y Z\r\n"
    assert body(RFC6376, relaxed=True) == b" C\r\nD E\r\n"


def test_the_example_of_the_rfc_simple() -> None:
    assert header(RFC6376, relaxed=False) == b"A: X\r\nB : Y\t\r\n\tZ  \r\n"
    assert body(RFC6376, relaxed=False) == b" C \r\nD \t E\r\n"


def test_no_body() -> None:
    for message in (b"A: X\r\n", b"A: X\r\n\r\n", b"A: X\r\n\r\n\r\n\r\n", b"A: X", b""):
        assert body(message, relaxed=False) == b"\r\n"
        assert body(message, relaxed=True) == b""


def test_a_message_without_a_header() -> None:
    mail = SignedMail(b"\r\ntext\r\n")
    assert mail.fields == [] and mail.body_length(relaxed=False) == 6


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (b"A: 1\r\nB: 2\r\n\r\nC: 3\r\n", [b"a", b"b"]),
        (b"A: 1\nB: 2\n\nC: 3\n", [b"a", b"b"]),
        (b"A: 1\nB: 2\r\n\nC: 3\n", [b"a", b"b"]),
        (b"From joe Mon\r\nA: 1\r\n\r\n", [b"a"]),
        (b" folded\r\nA: 1\r\n\r\n", [b"a"]),
        (b"no field\r\n folded: x\r\nA: 1\r\n\r\n", [b"a"]),
        (b"A\xe9: 1\r\nA B: 1\r\n: 1\r\nA : 1\r\n\r\n", [b"a"]),
        (b"A:1", [b"a"]),
    ],
)
def test_fields(message: bytes, names: list[bytes]) -> None:
    assert [field.name for field in SignedMail(message).fields] == names


def test_each_field_counts_as_often_as_it_is_named_from_the_bottom_up() -> None:
    mail = SignedMail(b"A: 1\r\nB: x\r\nA: 2\r\nA: 3\r\n\r\n")
    assert mail.selected([b"a", b"a", b"c"], relaxed=True) == b"a:3\r\na:2\r\n"
    assert mail.selected([b"a"] * 9, relaxed=True) == b"a:3\r\na:2\r\na:1\r\n"


@pytest.mark.parametrize(
    ("raw", "unsigned"),
    [
        (b"S: a=1; b=AB\r\n CD; bh=EF\r\n", b"S: a=1; b=; bh=EF"),
        (b"S: bh=EF; b=AB==\r\n", b"S: bh=EF; b="),
        (b"S: b \r\n = AB ;c=b=1\r\n", b"S: b \r\n =;c=b=1"),
        (b"S: bh=b=1\r\n", b"S: bh=b=1"),
        (b"S:b=1\r\n", b"S:b="),
    ],
)
def test_a_signature_is_not_of_itself(raw: bytes, unsigned: bytes) -> None:
    assert Field(b"s", raw).unsigned().raw == unsigned


@given(st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\n", b"\r"]), max_size=30).map(b"".join))
def test_canonical_bodies_stay_as_they_are(text: bytes) -> None:
    for relaxed in (False, True):
        once = body(b"A: 1\r\n\r\n" + text, relaxed=relaxed)
        assert body(b"A: 1\r\n\r\n" + once, relaxed=relaxed) == once
        assert once in (b"", b"\r\n") or (once.endswith(b"\r\n") and not once.endswith(b"\r\n\r\n"))


@pytest.mark.parametrize("text", [b" ", b"\t", b"\n", b"\r\n", b"a ", b" \r\n", b"\r"], ids=repr)
def test_large_bodies(text: bytes) -> None:
    with at_most(2.0, text):
        mail = SignedMail(b"A: 1\r\n\r\n" + text * (10_000_000 // len(text)))
        for relaxed in (False, True):
            mail.body_hash("sha256", relaxed=relaxed, length=None)


@pytest.mark.parametrize(("size", "here"), [(1, True), (LARGE, False)])
async def test_what_takes_long_holds_nobody_up(size: int, here: bool) -> None:
    mail = SignedMail(b"\r\n" + b"x" * size)
    threads: list[int] = []
    busy = 0

    def work(given: SignedMail) -> None:
        nonlocal busy
        busy += 1
        assert given is mail and busy == 1
        given.body_length(relaxed=True)
        threads.append(threading.get_ident())
        busy -= 1

    await asyncio.gather(*(mail.aside(work) for _ in range(5)))
    assert len(threads) == 5 and all((each == threading.get_ident()) is here for each in threads)
