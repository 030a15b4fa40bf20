"""Parts are found by their place, to the byte, whatever the bytes."""

import base64
import email
import email.policy
import tracemalloc
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.extraction.entity import MAX_DEPTH, MAX_PARTS, decoded, leaves, uuencoded, whole

INNER = b"From: a@a.example\r\nSubject: inner\r\n\r\nline one\r\n\r\n--not a boundary\r\nlast line\r\n"


def mixed(*parts: bytes, boundary: bytes = b"b", kind: bytes = b"mixed", end: bytes = b"\r\n") -> bytes:
    head = b"Subject: outer" + end + b"Content-Type: multipart/%s; boundary=%s" % (kind, boundary) + 2 * end
    return (
        head
        + b"".join(b"--" + boundary + end + part + end for part in parts)
        + b"--"
        + boundary
        + b"--"
        + end
    )


@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_a_part_is_cut_out_to_the_byte(end):
    inner = INNER.replace(b"\r\n", end)
    part = b"Content-Type: message/rfc822" + 2 * end + inner
    message = mixed(b"Content-Type: text/plain" + 2 * end + b"see below", part, end=end)
    text, sample = leaves(message, into_messages=False)
    assert (text.body, sample.body, sample.type) == (b"see below", inner, "message/rfc822")


def test_the_line_end_in_front_of_a_boundary_belongs_to_it():
    (leaf,) = leaves(mixed(b"\r\ntext\r\n\r\n"))
    assert leaf.body == b"text\r\n\r\n"


def test_a_longer_boundary_is_another_one():
    """As is often the case with parts in parts."""
    head = b"Content-Type: multipart/alternative; boundary=bb\r\n\r\n"
    inner = head + b"--bb\r\n\r\none\r\n--bb\r\n\r\ntwo\r\n--bb--\r\n"
    assert [leaf.body for leaf in leaves(mixed(inner, b"\r\nthree"))] == [b"one", b"two", b"three"]


def test_what_has_no_end_goes_on_to_the_end():
    message = mixed(b"\r\none", b"\r\ntwo\r\n\r\nthree").removesuffix(b"\r\n--b--\r\n")
    assert [leaf.body for leaf in leaves(message)] == [b"one", b"two\r\n\r\nthree"]


def test_parts_of_a_digest_are_messages():
    assert [leaf.type for leaf in leaves(mixed(b"\r\n" + INNER, kind=b"digest"), False)] == ["message/rfc822"]
    (leaf,) = leaves(mixed(b"\r\n" + INNER, kind=b"digest"), into_messages=False)
    assert leaf.body == INNER


def test_messages_in_messages_are_read_too_encoded_or_not():
    encoded = (
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(INNER)
    )
    plain = b"Content-Type: message/rfc822\r\n\r\n" + INNER
    body = INNER.partition(b"\r\n\r\n")[2]
    assert [leaf.body for leaf in leaves(mixed(encoded, plain))] == [body, body]


@pytest.mark.parametrize(
    ("body", "encoding", "data"),
    [
        (b"aGVsbG8gdGhlcmU=", b"base64", b"hello there"),
        (b"aGVs\r\nbG8gdGhlcmU", b"base64", b"hello there"),
        (b"aGVsbG8gdGhlcmU=\r\n-- \r\na footer", b"base64", b"hello there"),
        (b"h=65llo=\r\n there", b"quoted-printable", b"hello there"),
        (b"begin 644 x\r\n+:&5L;&\\@=&AE<F4\r\nend\r\n", b"x-uuencode", b"hello there"),
        (b"hello there", b"", b"hello there"),
        (b"hello there", b"rot13", b"hello there"),
        (b"a", b"base64", b""),
    ],
)
def test_transfer_encodings(body, encoding, data):
    assert decoded(body, encoding) == data


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (b'Content-Disposition: attachment; filename="a b.pdf"', "a b.pdf"),
        (b"Content-Type: application/pdf; name=a.pdf", "a.pdf"),
        (b"Content-Disposition: attachment; filename*=utf-8''%C3%BC.pdf", "ü.pdf"),
        (b"Content-Disposition: attachment; filename*0=inv; filename*1=oice.pdf", "invoice.pdf"),
        (b'Content-Disposition: attachment; filename="=?utf-8?q?=C3=BC.pdf?="', "ü.pdf"),
        (b'Content-Disposition: attachment; filename="\xc3\xbc.pdf"', "ü.pdf"),
        (b"Content-Disposition: inline", ""),
    ],
)
def test_names_of_files(field, name):
    assert whole(field + b"\r\n\r\ndata").name == name


def test_empty_lines_in_uuencode_take_no_memory():
    text = b"begin 644 a\r\n+:&5L;&\\@=&AE<F4\r\n" + b"\r" * 3_000_000
    tracemalloc.start()
    assert list(uuencoded(text)) == [("a", b"hello there")]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * len(text)


def test_there_is_an_end_to_parts_and_depth():
    assert len(list(leaves(mixed(*[b"\r\nx"] * 2 * MAX_PARTS)))) == MAX_PARTS
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(50))
    (leaf,) = leaves(deep)
    assert leaf.depth == MAX_DEPTH


def test_the_email_package_agrees_on_what_it_wrote_itself():
    mail = EmailMessage()
    mail.set_content("hello\n")
    mail.add_alternative("<p>hello", subtype="html")
    mail.add_attachment(b"\0\1\2" * 100, maintype="application", subtype="pdf", filename="ü.pdf")
    message = mail.as_bytes(policy=email.policy.SMTP)
    theirs = [
        (part.get_content_type(), part.get_filename() or "", part.get_payload(decode=True))
        for part in email.message_from_bytes(message, policy=email.policy.default).walk()
        if not part.is_multipart()
    ]
    assert [(leaf.type, leaf.name, leaf.data) for leaf in leaves(message)] == theirs


PIECES = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"--b",
        b"--b--",
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: message/rfc822",
        b"Content-Transfer-Encoding: base64",
        b"Content-Disposition: x; filename*0*=x''%",
        b"=?",
        b"begin 644 x",
        b"\0",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=5), max_size=40).map(b"".join))
def test_whatever_the_bytes(message):
    for leaf in leaves(message):
        assert leaf.start <= leaf.middle <= leaf.stop <= len(leaf.raw)
        assert leaf.name is not None
        assert leaf.data is not None
