"""structure: the parts of a message are where the email package finds them."""

import email
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.redaction.structure import HEADER, LEAF, MAX_DEPTH, MESSAGE, outline

MIXED = (
    b"Content-Type: multipart/mixed; boundary=b1\r\n\r\npreamble\r\n"
    b"--b1\r\nContent-Type: text/html; charset=koi8-r\r\nContent-Transfer-Encoding: Base64 \r\n\r\nPGI+\r\n"
    b"--b1 \r\nContent-Type: multipart/alternative;\r\n boundary*=utf-8''b%32\r\n\r\n"
    b"--b2\r\n\r\ninner\r\n--b2--\r\nepilogue\r\n"
    b"--b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: nested\r\n\r\nits body\r\n--b1--\r\nthe end\r\n"
)


def bodies(raw: bytes) -> list[tuple[tuple[int, ...], str, str, str, bytes]]:
    return sorted(
        (region.part, region.type, region.charset, region.encoding, raw[region.start : region.end])
        for region in outline(raw).regions
        if region.kind == LEAF
    )


def test_bodies_and_what_they_are() -> None:
    assert bodies(MIXED) == [
        ((1,), "text/html", "koi8-r", "base64", b"PGI+"),
        ((2, 1), "text/plain", "", "", b"inner"),
        ((3, 1), "text/plain", "", "", b"its body"),
    ]


def test_every_byte_that_says_something_is_in_one_region() -> None:
    regions = sorted((region.start, region.end) for region in outline(MIXED).regions)
    assert all(end <= start for (_, end), (start, _) in pairwise(regions))
    inside = bytearray(MIXED)
    for start, end in regions:
        inside[start:end] = bytes(end - start)
    assert set(bytes(inside).replace(b"\0", b"").split()) == {b"--b1", b"--b1--", b"--b2", b"--b2--"}


def test_boundaries_are_known_in_all_their_places() -> None:
    found = outline(MIXED)
    for boundary, places in zip(found.boundaries, found.places, strict=True):
        assert {MIXED[place : place + len(boundary)] for place in places} == {boundary}
    assert [len(places) for places in found.places] == [5, 2]  # one is told in code, which is not a place


def test_a_coded_message_is_told_from_a_plain_one() -> None:
    raw = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==\r\n"
    assert [region.kind for region in outline(raw).regions] == [HEADER, MESSAGE]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_end_in_any_way(end: bytes) -> None:
    assert [body[0] for body in bodies(MIXED.replace(b"\r\n", end))] == [(1,), (2, 1), (3, 1)]


def test_nesting_has_an_end() -> None:
    raw = b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(500))
    assert max(len(region.part) for region in outline(raw).regions) == MAX_DEPTH


PIECES = st.sampled_from(
    [
        *(b"--b1", b"--b1--", b"--b2", b"\r\n", b"\n", b"\r", b"\n\n", b"text ", b" \t", b"From x", b"X: 1"),
        *(b"Content-Type: multipart/mixed; boundary=b1\n", b"Content-Type: message/rfc822\r\n", b"--", b":"),
        *(
            b"Content-Type: multipart/digest;\n boundary=b2\n",
            b"Content-Transfer-Encoding: base64\n",
            b"\x80",
        ),
    ]
)


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_parts_are_those_that_the_email_package_finds(raw: bytes) -> None:
    found = sorted(region.type for region in outline(raw).regions if region.kind in (LEAF, MESSAGE))
    message = email.message_from_bytes(raw)
    if message.defects or "multipart" not in message.get_content_type():
        return  # there both may guess
    theirs = sorted(part.get_content_type() for part in message.walk() if not part.is_multipart())
    assert found == theirs or any(part.defects for part in message.walk())
