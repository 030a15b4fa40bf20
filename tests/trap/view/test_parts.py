"""parts: a message taken apart where its boundaries are."""

import email
from email.message import Message
from pathlib import Path

import pytest
from bombs import TEXT, mixed
from hypothesis import given
from hypothesis import strategies as st

from trap.view.headers import lined
from trap.view.parts import MAX_DEPTH, MAX_PARTS, digests, from_base64, tree


def shape(message: bytes) -> list[tuple[int, str]]:
    return [(part.depth, part.type) for part in tree(message)]


FILE = (
    b'Content-Type: application/pdf; name="../../bill.pdf"\r\nContent-Disposition: attachment\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nTVqQ\r\nAAMA\r\n"
)


def test_parts_are_numbered_in_order_the_message_first() -> None:
    mail = mixed(TEXT, FILE)
    found = tree(mail)
    assert [(part.number, part.depth, part.type) for part in found] == [
        (0, 0, "multipart/mixed"),
        (1, 1, "text/plain"),
        (2, 1, "application/pdf"),
    ]
    assert found[1].decode(mail) == b"hello there\r\n"
    assert found[2].decode(mail) == b"MZ\x90\x00\x03\x00"
    assert mail[found[2].start :].startswith(b"Content-Type: application/pdf")
    assert mail.split(b"\r\n")[found[2].line - 1].startswith(b"Content-Type: application/pdf")


def test_a_part_is_described_before_it_is_decoded() -> None:
    mail = mixed(FILE)
    info = tree(mail)[1].info(mail)
    assert (info.name, info.said_name, info.disposition) == ("bill.pdf", "../../bill.pdf", "attachment")
    assert info.encoding == "base64"


def test_a_message_in_a_message_is_taken_apart_too() -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\n" + mixed(TEXT).replace(b"=b", b"=i").replace(
        b"--b", b"--i"
    )
    assert shape(mixed(inner)) == [
        (0, "multipart/mixed"),
        (1, "message/rfc822"),
        (2, "multipart/mixed"),
        (3, "text/plain"),
    ]


@pytest.mark.parametrize(
    ("message", "defect"),
    [
        (mixed(TEXT).replace(b"--b--\r\n", b""), "the last boundary is missing"),
        (b"Content-Type: multipart/mixed\r\n\r\nhello", "a multipart without a boundary"),
        (b"Content-Transfer-Encoding: rot13\r\n\r\nhello", "an encoding nobody knows: rot13"),
        (b"Content-Type: text/plain; charset=klingon\r\n\r\nhello", "a charset nobody knows: klingon"),
        (b"Content-Transfer-Encoding: base64\r\n\r\nTV!qQ\r\n", "base64 with characters that are none of it"),
        (
            b"Content-Type: multipart/x; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b--\r\n",
            "a multipart can't be in base64",
        ),
    ],
)
def test_what_is_wrong_is_said(message: bytes, defect: str) -> None:
    assert defect in tree(message)[0].info(message).defects


def test_there_is_an_end_to_parts() -> None:
    assert len(tree(mixed(*[TEXT] * (MAX_PARTS + 1)))) == MAX_PARTS
    assert max(depth for depth, _ in shape(b"Content-Type: message/rfc822\r\n\r\n" * 1000)) == MAX_DEPTH


@pytest.mark.parametrize(
    ("said", "data"),
    [(b"QUJD", b"ABC"), (b"QUJ\r\nDRA", b"ABCD"), (b"Q U*J-D==", b"ABC"), (b"Q", b""), (b"", b"")],
)
def test_base64_is_read_leniently(said: bytes, data: bytes) -> None:
    assert from_base64(said) == data


def test_digests_are_those_that_others_search_by() -> None:
    assert digests(b"")[1] == "d41d8cd98f00b204e9800998ecf8427e"


@given(st.binary())
def test_any_bytes_are_a_part(message: bytes) -> None:
    (first, *_) = tree(message)
    assert first.end <= len(message)
    first.info(message)
    first.decode(message)


@given(
    st.lists(
        st.sampled_from([b"--b\r\n", b"--b--\r\n", b"--c\r\n", b"\n", TEXT, mixed(TEXT), FILE, b"--", b"-"])
    )
)
def test_any_mixture_of_boundaries_comes_to_an_end(pieces: list[bytes]) -> None:
    message = mixed(b"".join(pieces))
    for part in tree(message):
        assert 0 <= part.start <= part.body <= part.end <= len(message)
        part.info(message)


def _by_email(part: Message, depth: int = 0) -> list[tuple[int, str, bytes]]:
    """What the email package makes of it; of reports, which it takes for messages, we only see the text."""
    kind = part.get_content_type()
    if (part.is_multipart() and not kind.startswith("message/")) or kind in (
        "message/rfc822",
        "message/global",
    ):
        inner = [found for one in part.get_payload() for found in _by_email(one, depth + 1)]  # type: ignore[arg-type,union-attr]
        return [(depth, kind, b""), *inner]
    data = part.get_payload(decode=True)
    return [
        (depth, kind, bytes(data) if isinstance(data, bytes) and kind.startswith(("image", "appl")) else b"")
    ]


@pytest.mark.parametrize(
    ("kind", "alike"), [("phish", 0.99), ("ham", 0.99), ("bounce", 0.98), ("malformed", 0.94)]
)
def test_the_email_package_says_the_same_of_nearly_all_mail(corpus: Path, kind: str, alike: float) -> None:
    files = sorted((corpus / kind).iterdir())[::6]
    same = 0
    for path in files:
        message = lined(path.read_bytes())
        ours = [
            (part.depth, part.type, part.decode(message) if part.type.startswith(("image", "appl")) else b"")
            for part in tree(message)
        ]
        same += ours == _by_email(email.message_from_bytes(message))
    assert same >= alike * len(files)
