"""lenses: what is changed in what they show is written back coded, and nothing moves."""

import base64
import binascii
import quopri
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.redaction import codings
from trap.redaction.lenses import Base64, Characters, Lens, codec_of, like_ascii

EVERY: list[Callable[[bytearray], Lens]] = [
    *(codings.words, codings.percent, codings.quoted, codings.entities, codings.seen, codings.joined),
    *(codings.loose, codings.squeezed, codings.escapes, codings.hexed, codings.runs, codings.uuencoded),
    Base64,
    lambda source: Characters(source, "utf-16"),
    lambda source: Characters(source, "gb2312"),
]
ODD = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            b"=?utf-8?q? ?= =41 =\r\n %41 %25 &#106; &#x6a; &amp <b> <!-- \\u0041 \\41 > ( ) ;x*1*=".split()
        ),
        st.just(base64.b64encode(b"joe.miller@trap.example")),
    ),
    max_size=20,
).map(b"".join)


@given(ODD, st.integers(0, len(EVERY) - 1))
def test_what_is_not_changed_stays_and_nothing_moves(data: bytes, which: int) -> None:
    source = bytearray(data)
    lens = EVERY[which](source)
    assert lens.back()
    assert source == data
    lens.text[:] = lens.text.translate(bytes(120 if chr(c).isalnum() else c for c in range(256)))
    lens.back()
    assert len(source) == len(data)


@pytest.mark.parametrize(
    ("make", "text", "said"),
    [
        (codings.words, b"=?koi8-r?b?am9l?=\r\n =?utf-16-le?q?j=00o=00e=00?= x", b"joejoe x"),
        (
            codings.words,
            b"=?iso-2022-jp?b?%b?=" % base64.b64encode("あjoe".encode("iso-2022-jp")),
            "あjoe".encode(),
        ),
        (codings.percent, b"?u=%6a%6Fe", b"?u=joe"),
        (codings.quoted, b"j=6F=\r\ne=20", b"joe "),
        (codings.entities, b"&#106;&#x06F;e", b"joe"),
        (codings.seen, b"j<b class=x>o</b><!-- > --><wbr>\xe2\x80\x8be", b"joe"),
        (codings.joined, b"jo\r\n> e", b"joe"),
        (codings.squeezed, b"j o\te", b"joe"),
        (codings.loose, b"x*0=jo;\r\n x*1=e", b"x*0=joe"),
        (codings.escapes, b"\\u006a\\x6f\\65 ", b"joe"),
        (codings.hexed, b"0 " + b"joe1@trap.example".hex().encode(), b"\n\njoe1@trap.example"),
        (codings.runs, base64.urlsafe_b64encode(b"??>joe@trap.example"), b"??>joe@trap.example"),
        (codings.uuencoded, binascii.b2a_uu(b"joe.miller"), b"joe.miller"),
    ],
)
def test_what_lenses_show(make: Callable[[bytearray], Lens], text: bytes, said: bytes) -> None:
    source = bytearray(text)
    lens = make(source)
    assert lens.text == said
    lens.text[:] = said.replace(b"joe", b"xyz")
    assert lens.back()
    assert make(source).text == said.replace(b"joe", b"xyz")
    assert len(source) == len(text)


@given(st.binary(max_size=300), st.integers(1, 80))
def test_base64_keeps_its_lines(data: bytes, width: int) -> None:
    coded = base64.b64encode(data)
    source = bytearray(b"\r\n".join(coded[at : at + width] for at in range(0, len(coded), width)))
    before = bytes(source)
    lens = Base64(source)
    assert lens.text == data
    lens.text[:] = new = bytes(len(data))
    assert lens.back()
    assert base64.b64decode(source) == new
    assert [len(line) for line in source.split(b"\r\n")] == [len(line) for line in before.split(b"\r\n")]


def test_quoted_printable_stays_as_coded_as_it_was() -> None:
    source = bytearray(quopri.encodestring("Grüße an joe=".encode()))
    lens = codings.quoted(source)
    lens.text[:] = lens.text.replace(b"joe", b"xyz")
    assert lens.back()
    assert quopri.decodestring(bytes(source)) == "Grüße an xyz=".encode()


@pytest.mark.parametrize(
    ("charset", "codec", "plain"),
    [
        *(("UTF-8", "", True), ("us-ascii", "", True), ("rot13", "", True), ("no-such", "", True)),
        *(("KOI8-R", "koi8-r", True), ("gb2312", "gb2312", True), ("UTF-16", "utf-16", False)),
        *(("utf-7", "utf-7", False), ("ibm037", "cp037", False), ("ISO-2022-JP", "iso2022_jp", False)),
    ],
)
def test_charsets(charset: str, codec: str, plain: bool) -> None:
    assert codec_of(charset) == codec
    assert not codec or like_ascii(codec) is plain


@pytest.mark.parametrize(
    "codec", ["utf-16", "utf-16-be", "utf-32", "koi8-r", "cp037", "iso2022_jp", "big5", "shift_jis", "hz"]
)
def test_a_name_is_overwritten_in_any_charset(codec: str) -> None:
    source = bytearray("to joe, hi".encode(codec))
    lens = Characters(source, codec)
    lens.text[:] = lens.text.replace(b"joe", b"xyz")
    assert lens.back()
    assert source == "to xyz, hi".encode(codec)


def test_where_there_is_no_room_all_stays() -> None:
    """In UTF-7 a character may be coded with its neighbours."""
    source = bytearray(b"+AGoAbwBl-")
    lens = Characters(source, "utf-7")
    assert lens.text == b"joe"
    lens.text[:] = b"xyz"
    assert not lens.back()
    assert source == b"+AGoAbwBl-"
