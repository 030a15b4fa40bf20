"""What is found in whole messages: in every part, charset and encoding, and how it is told."""

import base64
import quopri

import pytest
from bombs import mixed
from hypothesis import given
from hypothesis import strategies as st

from stages.extraction.budget import Budget, Exhausted
from stages.extraction.findings import MAX_NOTED
from stages.extraction.indicators import MAX_DEPTH, Indicators, Reader

HEAD = b"From: Joe <joe@spam.example>\r\nTo: you@trap.example\r\nSubject: hello\r\n"


def found_in(message: bytes, most: int = 50, own: tuple[str, ...] = ()) -> Indicators:
    reader = Reader(Budget(60, 1 << 26, 2000), most, own, "US")
    reader.read(message)
    reader.count()
    return reader.found()


def mail(body: str, kind: str = "text/plain", charset: str = "utf-8", encoding: str = "8bit") -> bytes:
    data = body.encode(charset)
    if encoding == "base64":
        data = base64.encodebytes(data)
    elif encoding == "quoted-printable":
        data = quopri.encodestring(data)
    fields = f"Content-Type: {kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return HEAD + fields.encode() + data


def urls(message: bytes) -> list[str]:
    return found_in(message).urls


LONG = "http://a.example/" + "path/" * 30
MAILS = {
    "text": mail(f"see {LONG} now"),
    "base64": mail(f"see {LONG} now", encoding="base64"),
    "quoted-printable, broken by soft line ends": mail(f"see {LONG} now", encoding="quoted-printable"),
    "quoted-printable that nobody declared": HEAD
    + b"\r\nsee "
    + LONG[:60].encode()
    + b"=\r\n"
    + LONG[60:].encode()
    + b" a=3Db",
    "utf-16": mail(f"see {LONG} now", charset="utf-16"),
    "iso-2022-jp": mail(f"\u3053\u3061\u3089 {LONG} now", charset="iso-2022-jp"),
    "html": mail(f"<a href='{LONG}'>here</a>", "text/html"),
    "html that says it is text": mail(f"<html><a href='{LONG}'>here</a>"),
    "html as a file": HEAD
    + b"Content-Type: application/octet-stream; name=invoice.HTM\r\n\r\n"
    + f"<a href={LONG}>".encode(),
    "image of vectors": mail(f"<svg><a xlink:href='{LONG}'>", "image/svg+xml"),
    "calendar": mail(f"BEGIN:VCALENDAR\nURL:{LONG}\n", "text/calendar"),
    "entities": mail("<a href='&#104;ttp&colon;//a&period;example/" + "path/" * 30 + "'>", "text/html"),
    "base and relative": mail(f"<base href='http://a.example/'><a href='{LONG[17:]}'>", "text/html"),
    "in a message in it": HEAD + b"Content-Type: message/rfc822\r\n\r\n" + mail(LONG, encoding="base64"),
    "data: URL": mail(
        f"<a href='data:text/html;base64,{base64.b64encode(f'<a href={LONG}>'.encode()).decode()}'>",
        "text/html",
    ),
    "javascript: URL": mail(f"<a href=\"javascript:location='{LONG}'\">", "text/html"),
    "script": mail(f"<script>location.href='{LONG.replace('/', chr(92) + '/')}'</script>", "text/html"),
    "script in base64": mail(
        f"<script>document.write(atob('{base64.b64encode(f'<a href={LONG}>'.encode()).decode()}'))</script>",
        "text/html",
    ),
    "comment": mail(f"<!--[if mso]><a href='{LONG}'><![endif]-->", "text/html"),
    "subject": b"Subject: =?utf-8?b?" + base64.b64encode(LONG.encode()) + b"?=\r\n\r\nhi",
    "to unsubscribe": HEAD + f"List-Unsubscribe: <mailto:x@a.example>, <{LONG}>\r\n\r\nhi".encode(),
    "without a header": b"\r\nsee " + LONG.encode(),
    "blank lines in front": b"\r\n \r\n" + mail(LONG, encoding="base64"),
    "lines that end with CR": mail(LONG, encoding="base64").replace(b"\r\n", b"\r").replace(b"\n", b"\r"),
    "disguised": mail(f"see hxxp://a[.]example/{LONG[17:]} now"),
}


@pytest.mark.parametrize("message", MAILS.values(), ids=MAILS)
def test_where_links_are_found(message):
    assert LONG in urls(message)


def test_what_is_noted_of_a_link():
    source = (
        "<a href='http://www.bank.example@a.example/x'>bank</a> <img src='//b.example/i'> http://a.example/x"
        "<a href='https://www.google.com/url?q=http%3A%2F%2Fc.example%2F%3Fu%3Dhttp%253A%252F%252Fd.example'>"
    )
    found = found_in(mail(source, "text/html"))
    assert dict(zip(found.urls, found.links, strict=True)) == {
        "http://a.example/x": {
            "host": "a.example",
            "from": "link",
            "as": "http://www.bank.example@a.example/x",
        },
        "http://b.example/i": {"host": "b.example", "from": "image"},
        "https://www.google.com/url?q=http%3A%2F%2Fc.example%2F%3Fu%3Dhttp%253A%252F%252Fd.example": {
            "host": "www.google.com",
            "from": "link",
            "to": "http://c.example/?u=http%3A%2F%2Fd.example",
        },
        "http://c.example/?u=http%3A%2F%2Fd.example": {
            "host": "c.example",
            "from": "redirect",
            "to": "http://d.example/",
        },
        "http://d.example/": {"host": "d.example", "from": "redirect"},
    }


def test_domains_are_what_somebody_registered():
    text = (
        "http://x.y.example.com http://192.0.2.1/ shop.example.co.uk, joe@mail.example.org http://a.toonew/"
    )
    assert found_in(mail(text)).domains == ["example.com", "example.co.uk"]


def test_addresses_of_the_sender_and_in_the_text_but_not_ours():
    text = "write to Ann@B.example, joe (at) c [dot] example, <mailto:d@e.example?cc=f@g.example>"
    found = found_in(
        HEAD + b"Reply-To: x@y.example\r\n\r\nyou@trap.example " + text.encode(), own=("You@trap.example",)
    )
    assert found.addresses == [
        *("joe@spam.example", "x@y.example", "Ann@b.example", "joe@c.example", "d@e.example", "f@g.example")
    ]


def test_numbers_and_wallets_in_text_and_links():
    source = (
        "<a href='tel:+12125550123'>call</a> <a href='https://wa.me/447911123456'>chat</a> +49 30 901820"
        "<a href='bitcoin:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa?amount=1'>pay</a>"
    )
    found = found_in(mail(source, "text/html"))
    assert sorted(found.phones) == ["+12125550123", "+447911123456", "+4930901820"]
    assert found.wallets == [{"kind": "BTC", "address": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"}]


def test_lists_have_an_end_and_say_so():
    text = " ".join(f"http://{n}.example{n}.com/ joe{n}@a.example +1 212 555 01{n:02}" for n in range(60))
    found = found_in(mail(text), most=5)
    assert [len(found.urls), len(found.domains), len(found.addresses), len(found.phones)] == [5, 5, 5, 5]
    assert found.truncated == [f"{kind}: more than 5" for kind in ("urls", "domains", "addresses", "phones")]


def test_long_urls_have_an_end_too():
    found = found_in(mail(" ".join(f"http://a{n}.example/{'x' * 1900}" for n in range(50))))
    assert 30 < len(found.urls) < 40
    assert found.truncated == [f"urls: more than {MAX_NOTED} characters"]


def test_disguises_are_shown_in_short():
    found = found_in(mail(f"http://joe{chr(0x202E) * 250}@a.example/"))
    assert len(found.links[0]["as"]) <= 300


def test_redirectors_without_end():
    url = "http://a.example/"
    for number in range(2 * MAX_DEPTH):
        url = f"http://r{number}.example/?u={base64.b64encode(url.encode()).decode().rstrip('=')}"
    found = found_in(mail(url))
    assert len(found.urls) == MAX_DEPTH + 1
    assert found.truncated == [f"urls: deeper than {MAX_DEPTH}"]


def test_pages_in_pages_without_end():
    page = "<a href=http://a.example/>"
    for _ in range(2 * MAX_DEPTH):
        page = f"<a href='data:text/html;base64,{base64.b64encode(page.encode()).decode()}'>"
    assert found_in(mail(page, "text/html")).truncated == [f"urls: deeper than {MAX_DEPTH}"]


def test_what_was_found_before_the_budget_ended_stands():
    reader = Reader(Budget(60, 1000, 10), 10)
    small = b"Content-Type: text/plain\r\n\r\nhttp://a.example/"
    with pytest.raises(Exhausted, match="more than 1000 bytes"):
        reader.read(mixed(small, small.replace(b"a.example", b"b.example") + b"x" * 2000))
    assert reader.found().urls == ["http://a.example/"]


def test_all_of_it_is_fit_for_output():
    found = found_in(
        mail("http://a.example/\u202e\x1b[31m\x00x <a href='http://a.example/\x7f\ud7ff'>", "text/html")
    )
    assert found.urls
    assert all(url.isprintable() for url in found.urls)


PIECES = st.sampled_from(
    [
        b"<a href='",
        b"http://",
        b"a.example",
        b"data:text/html,",
        b"?u=",
        b"%3A",
        b"@",
        b"'>",
        b" dot ",
        b"+1 212 555 0123",
        b"Content-Type: text/html\n",
        b"\n\n",
        b"=?utf-8?q?",
        b"bc1q",
        b"(",
        b"[.]",
        b"\xff",
        b"javascript:",
        b"&#",
        b"=\n",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=3), max_size=40).map(b"".join))
def test_whatever_the_bytes(message):
    found_in(message)
