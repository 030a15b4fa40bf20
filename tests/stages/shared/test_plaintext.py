"""What a message shows, whatever its bytes."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from stages.shared import plaintext

MIXED = (
    b"Content-Type: multipart/mixed; boundary=outer\r\n\r\nnot seen\r\n--outer\r\n"
    b"Content-Type: multipart/alternative; boundary=outer2\r\n\r\n"
    b"--outer2\r\nContent-Type: text/plain\r\n\r\nplain words\r\n"
    b"--outer2\r\nContent-Type: text/html\r\n\r\n<style>p {}</style><p>html&nbsp;words</p>\r\n--outer2--\r\n"
    b"--outer\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBO\r\nRw0K\r\n"
    b"--outer--\r\nnor this\r\n"
)


def text(message: bytes) -> list[str]:
    return plaintext.read(message).text.split()


def test_text_parts_are_read_and_other_parts_are_hashed() -> None:
    readable = plaintext.read(MIXED)
    assert readable.text.split() == ["plain", "words", "html", "words"]
    assert len(readable.others) == 1
    refolded = MIXED.replace(b"iVBO\r\nRw0K", b"iVBORw0K")
    assert plaintext.read(refolded).others == readable.others
    assert plaintext.read(MIXED.replace(b"Rw0K", b"Rw0L")).others != readable.others


def test_bare_lf_reads_like_crlf() -> None:
    assert text(MIXED.replace(b"\r\n", b"\n")) == text(MIXED)


def test_transfer_encodings_are_undone() -> None:
    head = b"Content-Transfer-Encoding: %s\r\n\r\n"
    assert text(head % b"BASE64" + base64.encodebytes(b"hidden words")) == ["hidden", "words"]
    assert text(head % b"quoted-printable" + b"caf=C3=A9 soft=\r\nly") == ["café", "softly"]
    assert text(head % b"base64" + b"aGVsbG8=, and a broken end!") != []


def test_charsets_are_undone_and_their_names_not_believed() -> None:
    head = "Content-Type: text/plain; charset={}\r\n\r\n"
    assert text(head.format("koi8-r").encode() + "привет".encode("koi8-r")) == ["привет"]
    assert text(head.format('"ISO-8859-1"').encode() + b"caf\xe9") == ["café"]
    for codec in ("punycode", "idna", "unicode_escape", "zlib", "undefined", "cp99999", "utf-9"):
        assert text(head.format(codec).encode() + b"caf\xe9 a\\N{x}") == ["café", "a\\N{x}"]


def test_html_is_recognised_without_being_declared() -> None:
    assert text(b"\r\n<html><body>one<br>two<!-- three --> &#116;wo") == ["one", "two", "two"]
    assert text(b"Content-Type: text/html\r\n\r\na <b title='>c") == ["a", "c"]


def test_a_header_may_be_missing() -> None:
    assert text(b"just words\r\n\r\nand more") == ["just", "words", "and", "more"]
    assert text(b"From me Mon Jan 1\nSubject: an mbox\n\nbody") == ["body"]


def test_an_attached_message_is_read() -> None:
    assert text(b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ninner") == ["inner"]


def test_a_multipart_without_its_boundary_is_text() -> None:
    assert text(b"Content-Type: multipart/mixed; boundary=a\r\n\r\nno delimiter") == ["no", "delimiter"]
    assert text(b"Content-Type: multipart/mixed\r\n\r\nno boundary") == ["no", "boundary"]


def test_nothing_is_nothing() -> None:
    for message in (b"", b"\r\n", b"Subject: only headers\r\n", b"Subject: no end", b"Subject: x\r\n\r\n"):
        assert text(message) == []


def test_parts_nesting_and_text_are_bounded() -> None:
    parts = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nword\r\n" * 10_000
    assert len(text(parts)) == plaintext.MAX_PARTS
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=n%d\r\n\r\n--n%d\r\n" % (n, n) for n in range(5_000)
    )
    assert "deep" not in text(nested + b"\r\ndeep")
    long = b"\r\n" + b"word " * 500_000
    assert len(plaintext.read(long).text) <= plaintext.MAX_TEXT
    assert text(b"Content-Type: text/html\r\n\r\n&#" + b"9" * 5_000 + b"; end") == ["end"]


HEADERS = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/html; charset=utf-16\r\n",
        b"Content-Type: text/plain; charset=iso-2022-jp\r\n",
        b"Content-Type: image/gif\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"--b\r\n",
        b"--b--\r\n",
        b"\r\n",
        b"\n",
        b"<style><!--&#1",
    ]
)


@given(st.lists(st.one_of(HEADERS, st.binary(max_size=40))).map(b"".join))
def test_no_bytes_make_it_raise(message: bytes) -> None:
    readable = plaintext.read(message)
    assert len(readable.text) <= plaintext.MAX_TEXT * 2
