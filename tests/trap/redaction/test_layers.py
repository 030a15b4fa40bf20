"""layers: names are found however they are coded, and overwritten where they stand."""

import base64
import binascii
import codecs
import hashlib
import html
import quopri
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trap.redaction.identities import Identities
from trap.redaction.layers import Scrubber
from trap.redaction.search import Searcher

JOE = "joe.miller@pristine.example"
OURS = Identities.named([JOE, "mx7.house.example", "192.0.2.25", "joé@bücher.example", "table@trap.example"])
SEARCHER = Searcher(OURS, ["k7Jx9QpLm2"])
KEY = b"k" * 32


def scrubbed(text: bytes, header: bool = False) -> bytes:
    made = bytearray(text)
    Scrubber(SEARCHER, KEY).scrub(made, "text", header)
    assert len(made) == len(text)
    return bytes(made)


def percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


WAYS: dict[str, Callable[[str], str]] = {
    "percent": percent,
    "usual percent": lambda text: quote(text, safe=""),
    "percent twice": lambda text: quote(percent(text), safe=""),
    "entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "hex entities": lambda text: "".join(f"&#x{ord(c):X};" for c in text),
    "json": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "script": lambda text: "".join(f"\\x{ord(c):02x}" for c in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "shifted base64": lambda text: base64.urlsafe_b64encode(b"?~" + text.encode()).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex of capitals": lambda text: text.title().encode().hex().upper(),
    "tags": "<b>".join,
    "comments": "<!-- > -->".join,
    "no width": "\u200b".join,
    "lines": lambda text: "\r\n".join([text[:5], text[5:9], text[9:]]),
    "quoted lines": lambda text: "\r\n> ".join([text[:5], text[5:]]),
    "spaces": " ".join,
    "quoted-printable": lambda text: "".join(f"={ord(c):02X}" for c in text),
    "uuencode": lambda text: f"\nbegin 644 x\n{binascii.b2a_uu(text.encode()).decode()}`\nend\n",
    "encoded word": lambda text: f"=?utf-8?q?{text.replace('.', '=2E')}?=",
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "backwards": lambda text: text[::-1],
    "md5": lambda text: hashlib.md5(text.encode()).hexdigest(),
    "sha256 of capitals": lambda text: hashlib.sha256(text.upper().encode()).hexdigest(),
    "entities in percent": lambda text: quote("".join(f"&#{ord(c)};" for c in text)),
    "percent in base64": lambda text: base64.b64encode(percent(text).encode()).decode(),
    "capitals": str.upper,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_name_is_masked_however_it_is_coded(way: str) -> None:
    coded = WAYS[way](JOE)
    made = scrubbed(f"see <{coded}> there".encode()).decode()
    assert made.startswith("see <")
    assert made.endswith("> there")
    assert coded not in made
    assert not {hit.name for hit in SEARCHER.find(made.encode())}
    assert scrubbed(made.encode()) == made.encode()


def test_what_is_coded_stays_coded() -> None:
    mask = scrubbed(JOE.encode()).decode()
    for way in ("percent", "hex entities", "json", "base64", "base64 twice", "hex", "tags", "lines"):
        assert html.unescape(scrubbed(WAYS[way](JOE).encode()).decode()) == html.unescape(WAYS[way](mask))


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (b"anyone@mx.pristine.example", b"zzzzzz@zz.zzzzzzzz.zzzzzzz"),
        (b"x-anyone=pristine.example@b.example", b"z-zzzzzz=zzzzzzzz.zzzzzzz@b.example"),
        (b"from mx7.house.example ([192.0.2.25])", b"from zz1.zzzzz.zzzzzzz ([111.1.1.11])"),
        ("an joé@bücher.example".encode(), b"an zzzz@zzzzzzz.zzzzzzz"),
        (b"http://xn--bcher-kva.example/", b"http://zz--zzzzz-zzz.zzzzzzz/"),
        (
            b"<a title='Joe Miller'><img src=/k7Jx9QpLm2.gif>",
            b"<a title='Zzz Zzzzzz'><img src=/z1Zz1ZzZz1.gif>",
        ),
        (b"<table><tr> table@trap.example table", b"<table><tr> zzzzz@zzzz.zzzzzzz table"),
        (b"jim@b.example, premiller, 1192.0.2.250", b"jim@b.example, premiller, 1192.0.2.250"),
    ],
)
def test_what_is_masked_and_what_stays(text: bytes, made: bytes) -> None:
    assert shape(scrubbed(text)) == shape(made)
    if text == made:
        assert scrubbed(text) == text


def shape(text: bytes) -> bytes:
    """What is the same in all masks; what the test names in clear has to be there in clear."""
    return bytes(
        97 if chr(c).islower() else 65 if chr(c).isupper() else 48 if chr(c).isdigit() else c for c in text
    )


@pytest.mark.parametrize(
    "field",
    [
        b"X-To: joe.mil\r\n ler@pristine.example\r\n",
        b'X-To: "joe.miller" @ pristine.example\r\n',
        b"X-To: joe.miller(comment)@pristine.example\r\n",
        b"X-To: joe.\\miller@pristine.example\r\n",
        b"Subject: =?utf-8?b?am9lLm1pbA==?=\r\n =?iso-8859-1?q?ler=40pristine?=.example\r\n",
        b"Subject: =?utf-16?b?%b?=\r\n" % base64.b64encode(JOE.encode("utf-16")),
        b"Subject: =?koi8-r?Q?=6A=6F=65=2Emiller?=\r\n",
        b"Content-Disposition: inline; name*0=joe.mil;\r\n name*1*=ler%40pristine; name*2=.pdf\r\n",
        b"Content-Type: text/plain; name*=utf-8''joe%2Emiller%40pristine%2Eexample.txt\r\n",
    ],
)
def test_header_fields(field: bytes) -> None:
    made = scrubbed(field, header=True)
    assert made.split(b":")[0] == field.split(b":")[0]
    assert made.count(b"\r\n") == field.count(b"\r\n")
    assert b"miller" not in made
    assert b"pristine" not in made
    assert scrubbed(made, header=True) == made


@pytest.mark.parametrize(
    "charset", ["utf-16", "utf-16-be", "utf-32", "cp037", "koi8-r", "iso-2022-jp", "big5", "x-no"]
)
def test_texts_in_any_charset(charset: str) -> None:
    text = f"Dear {JOE}, hello".encode("ascii" if charset == "x-no" else charset)
    made = bytearray(text)
    assert Scrubber(SEARCHER, KEY).scrub_in(made, "text", charset)
    said = made.decode("ascii" if charset == "x-no" else charset)
    assert said == f"Dear {scrubbed(JOE.encode()).decode()}, hello"


def test_a_name_beyond_ascii_in_a_small_charset() -> None:
    made = bytearray("an joé@bücher.example".encode("latin-1"))
    assert Scrubber(SEARCHER, b"").scrub_in(made, "text", "iso-8859-1")
    assert made == b"an xxx@xxxxxx.zzzzzzz"


def test_where_a_charset_leaves_no_room_that_is_told() -> None:
    made = bytearray(JOE.replace("joe", "+AGoAbwBl-").encode())
    assert not Scrubber(SEARCHER, KEY).scrub_in(made, "text", "utf-7")


def test_what_was_masked_is_counted() -> None:
    scrubber = Scrubber(SEARCHER, KEY)
    scrubber.scrub(bytearray(f"{JOE} {JOE[::-1]} k7Jx9QpLm2".encode()), "text/html")
    assert scrubber.masked == {"text/html/plain": 1, "text/html/reversed": 1, "text/html/token": 1}


def test_data_that_is_no_text_is_masked_as_it_is() -> None:
    data = bytearray(b"\x89PNG\0\1" + JOE.encode() + b"\0" + JOE.encode("utf-16-le"))
    Scrubber(SEARCHER, b"").scrub_data(data, "image/png")
    assert data == b"\x89PNG\0\1xxx.xxxxxx@xxxxxxxx.zzzzzzz\0" + "xxx.xxxxxx@xxxxxxxx.zzzzzzz".encode(
        "utf-16-le"
    )


@settings(deadline=None)  # of a machine that has more to do
@given(st.lists(st.sampled_from([*WAYS, ""]), max_size=6), st.binary(max_size=30), st.booleans())
def test_texts_of_many_codes(ways: list[str], noise: bytes, header: bool) -> None:
    text = noise.join(WAYS[way](JOE).encode() if way else noise for way in ways)
    made = scrubbed(text, header)
    assert made.count(b"\n") == text.count(b"\n")


def test_work_is_bounded_however_hostile_a_text_is() -> None:
    for piece in (b"%25", b"&amp;", b"<!--", b"=?utf-8?q?x?= ", b" \t", b"\\", b"(", b"A/", b"=41", b"\r\n>"):
        scrubbed(piece * (60_000 // len(piece)))


def test_quoted_printable_of_a_whole_text() -> None:
    text = quopri.encodestring(f"{'é' * 30} {html.escape(JOE)}".encode())
    assert b"miller" not in scrubbed(text)
