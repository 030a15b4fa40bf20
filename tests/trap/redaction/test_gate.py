"""The release gate: what it finds, and that it can be trusted to find it."""

import base64
import gzip
import io
import zipfile
import zlib
from random import Random

import leakkit
import plantkit
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trap.redact import Redactor
from trap.redaction import gate, readings
from trap.redaction.gate import OPAQUE, Leak, leaks
from trap.redaction.identities import Identities
from trap.redaction.search import TOKEN, Searcher

ADDRESS = "joe.miller@trap-mail.example"
NAMES = (ADDRESS, "trap-mail.example", "joe.miller")
OURS = Identities.named([ADDRESS, "mx1.trap-mail.example", "192.0.2.25"])
NEWS = b"From: a@news.test\r\nSubject: News\r\nContent-Type: text/plain\r\n\r\nHello, all is well.\r\n"


def told(report: bytes, **more: object) -> list[Leak]:
    """Leaks besides what can't be looked into."""
    return [leak for leak in leaks(report, OURS, **more) if leak.kind != OPAQUE]  # type: ignore[arg-type]


def test_what_says_nothing_may_leave() -> None:
    assert leaks(NEWS, OURS) == []


@pytest.mark.parametrize("spelling", plantkit.SPELLINGS)
def test_finds_an_address_in_every_spelling(spelling: str) -> None:
    text = plantkit.SPELLINGS[spelling](ADDRESS, Random(1))
    assert told(plantkit.PLACES["text in quoted-printable"](text))


@pytest.mark.parametrize("place", plantkit.PLACES)
def test_finds_an_address_in_every_place(place: str) -> None:
    assert told(plantkit.PLACES[place](ADDRESS))


@settings(deadline=None)  # of a machine that has more to do
@given(st.sampled_from(sorted(plantkit.SPELLINGS)), st.sampled_from(sorted(plantkit.PLACES)), st.integers())
def test_finds_every_spelling_in_every_place_and_so_does_the_second_opinion(
    spelling: str, place: str, seed: int
) -> None:
    message = plantkit.PLACES[place](plantkit.SPELLINGS[spelling](ADDRESS, Random(seed)))
    assert told(message)
    assert leakkit.leaks(message, NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "Connect from 192.0.2.25, please",
        "25.2.0.192.in-addr.arpa",
        "192[.]0[.]2[.]25",
        "host 192-0-2-25.pool.test",
        "http://3221226009/",
        "http://0xc0000219/",
        "http://0xc0.0x0.0x2.0x19/",
        "http://0300.0000.0002.0031/",
        "::ffff:c000:219",
        "seen by MX1.Trap-Mail.Example",
        "the trap-mail team",
        "Joe Miller, you won",
        "joe_miller@other.test",
        "Dear JoeMiller",
        "http://trapmail.other.test/",
    ],
)
def test_finds_hosts_addresses_and_words(text: str) -> None:
    assert told(f"Subject: {text}\r\n\r\nhi".encode())


LETTERS = "joe.miller"


@pytest.mark.parametrize(
    "text",
    [
        "j\u043e\u0435.m\u0456ll\u0435r",
        "j\u00f3\u00eb.m\u00ecller",
        "".join(f"{c}\u0301" for c in LETTERS),
        "".join(chr(ord(c) + 0xE0000) for c in LETTERS),
        "".join(chr(ord(c) + 0xE0100 - 16) for c in LETTERS),
        "joe\u202ellim.\u202cer",
        "-".join(LETTERS),
        "j<b title='a>b'>oe.mil</b>ler",
        "joe<style>p > b {}</style>.miller",
        "joe.<b style='display:none'>no</b>miller",
        "".join(f"<i class='{c}'></i>" for c in LETTERS),
        "String.fromCharCode(106,111,101,46,109,105,108,108,101,114)",
        "".join(f"{ord(c):08b}" for c in LETTERS),
        base64.b32encode(ADDRESS.encode()).decode().rstrip("="),
        "http://" + base64.b32encode(ADDRESS.encode()).decode().rstrip("=").lower() + ".other.test/",
    ],
)
def test_finds_what_only_looks_like_a_name(text: str) -> None:
    report = b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>Dear " + text.encode() + b" there"
    assert told(report)
    done = Redactor(OURS, b"key").redact(report)
    assert done.leaks == []
    assert text.encode() not in done.message


@pytest.mark.parametrize(
    "field",
    [
        "To: joe.mi(a(b)c)ller@trap-(x(y))mail.example",
        'Content-Type: text/plain; name*2="ap-mail.example"; name*0="jo"; name*1="e.miller@tr"',
    ],
)
def test_finds_what_a_field_means(field: str) -> None:
    report = field.encode() + b"\r\n\r\nhi"
    assert told(report)
    assert Redactor(OURS, b"key").redact(report).leaks == []


def test_finds_compressed_texts_in_pictures() -> None:
    packed = zlib.compress(ADDRESS.encode())
    text = len(packed).to_bytes(4, "big") + b"zTXtComment\0\0" + packed
    picture = base64.encodebytes(b"\x89PNG\r\n\x1a\n" + text + b"\0\0\0\0")
    assert told(b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + picture)


def test_finds_what_documents_put_together() -> None:
    shown = b" 5 0 Td ".join(b"(%c) Tj" % c for c in b"joe.miller")
    assert told(b"Content-Type: application/pdf\r\n\r\n%PDF-1.4\nstream\nBT " + shown + b"\nendstream")
    coded = b"".join(b"\\u%d?" % c for c in b"joe.miller")
    assert told(b"Content-Type: application/rtf\r\n\r\n{\\rtf1 " + coded + b"}")


@pytest.mark.parametrize("text", ["1192.0.2.25", "192.0.2.250", "info@other.test", "trap-mayling"])
def test_what_only_looks_like_a_name_is_none(text: str) -> None:
    assert told(f"Subject: {text}\r\n\r\nhi".encode()) == []


def test_words_that_stand_in_all_mail_are_no_names_and_their_domain_is() -> None:
    ours = Identities.named(["info@trap-mail.example"])
    assert leaks(b"Subject: info\r\n\r\nFor more info see our info page", ours) == []
    assert {leak.name for leak in leaks(b"Subject: a\r\n\r\nto info@trap-mail.example", ours)} >= {
        "info@trap-mail.example"
    }


def test_names_in_other_scripts_are_found_as_people_and_as_the_dns_read_them() -> None:
    domain = "münchen-post.example"
    coded = domain.encode("idna").decode()
    for ours in (Identities(domains=frozenset([domain])), Identities.named([f"info@{coded}"])):
        for text in (f"info@{domain}", coded.upper(), "m&uuml;nchen-post.example"):
            assert leaks(f"Content-Type: text/html; charset=utf-8\r\n\r\n<p>{text}".encode(), ours)


def test_tokens_are_found_where_names_are() -> None:
    report = NEWS + b"http://a.test/?u=" + base64.b64encode(b"id=Ab93-xx81;") + b"\r\n"
    assert {leak.kind for leak in leaks(report, OURS, tokens=["ab93-XX81"])} == {TOKEN}


def test_says_where_a_leak_is() -> None:
    found = told(plantkit.PLACES["header of a part"](ADDRESS))[0]
    assert (found.part, found.field) == ((1,), "content-id")
    assert found.where == "part 1, header content-id"
    assert "<1.joe.miller" in found.excerpt
    assert {leak.part for leak in told(plantkit.PLACES["zip"](ADDRESS))} == {(2,)}


def test_what_cannot_be_looked_into_is_a_leak() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", b"hello")
    packed = bytearray(archive.getvalue())
    packed[6] |= 1  # its local header says that it is encrypted, and so does the directory
    packed[packed.index(b"PK\1\2") + 8] |= 1
    for data in (
        bytes(packed),
        b"Rar!\x1a\x07\x01\x00 ...",
        b"7z\xbc\xaf\x27\x1c ...",
        b"-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----\n",
        gzip.compress(b"hello" * 20)[:-20],
        b"%PDF-1.7 /Encrypt 5 0 R",
    ):
        found = leaks(plantkit.attached("a.bin", data), OURS)
        assert [(leak.kind, leak.part) for leak in found] == [(OPAQUE, (2,))], data


def test_what_unpacks_without_end_is_not_unpacked() -> None:
    bomb = gzip.compress(gzip.compress(bytes(300 << 20), 1), 9)
    assert {leak.kind for leak in leaks(plantkit.attached("a.gz", bomb), OURS)} == {OPAQUE}


def test_what_is_too_deep_is_a_leak() -> None:
    message = NEWS
    for _ in range(15):
        message = plantkit.attached("m.eml", message, "message/rfc822")
    assert OPAQUE in {leak.kind for leak in leaks(message, OURS)}


@settings(deadline=None)  # of a machine that has more to do
@given(st.binary(max_size=2000))
def test_never_raises(data: bytes) -> None:
    leaks(data, OURS)
    leaks(b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" + data, OURS)


@pytest.mark.parametrize(
    "hostile",
    [
        "<" * 200_000,
        "<!--" * 50_000,
        "=?a?b?" * 30_000,
        "%25" * 60_000 + "40",
        "&amp;" * 40_000 + "#64;",
        "begin 644 a\n" * 15_000,
        "A" * 200_000,
        "0" * 200_000,
        "a\n" * 100_000,
        "From: a\n" * 20_000,
        "Content-Type: multipart/mixed; boundary=a\n\n" + "--a\n" * 1_000,
    ],
)
def test_hostile_texts_cost_no_more_than_others(hostile: str) -> None:
    leaks(hostile.encode(), OURS)
    leaks(b"Subject: a\n\n" + hostile.encode(), OURS)


def test_a_gate_that_reads_less_lets_names_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the tests above pass is due to what they test."""
    report = plantkit.PLACES["zip"](ADDRESS)
    assert told(report)
    monkeypatch.setattr(gate, "members", lambda *_: ())
    assert not told(report)
    report = plantkit.PLACES["HTML text"](plantkit.SPELLINGS["entities in hex"](ADDRESS, Random(3)))
    assert told(report)
    monkeypatch.setattr(gate, "readings", lambda _: ())
    assert not told(report)


def test_the_second_opinion_is_worth_something() -> None:
    assert leakkit.leaks(NEWS, NAMES) == []
    assert leakkit.leaks(NEWS + b"joe.miller@trap-mail.example", ["other.example"]) == []


def test_a_searcher_for_what_stays_the_same_is_shared() -> None:
    standing = Searcher(OURS)
    also = Identities.named(["anna@second.example"])
    report = NEWS + b"joe.miller@trap-mail.example anna@second.example"
    found = {leak.name for leak in leaks(report, OURS | also, standing=standing)}
    assert found >= {ADDRESS, "anna@second.example"}


def test_a_text_coded_without_end_cannot_be_read() -> None:
    text = "@"
    for _ in range(readings.ROUNDS):
        text = "%5Cu0026#" + (f"{ord(text[0])};{text[1:]}")
    assert [leak.kind for leak in leaks(f"Subject: a\r\n\r\n{text}".encode(), OURS)] == [OPAQUE]
