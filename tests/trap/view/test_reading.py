"""reading: what a view is made of; nothing in it that people read is a link."""

import re

import pytest

from trap.view.mask import MASK, masked
from trap.view.reading import sections
from trap.view.view import View
from trap.view.wire import Source

TRAP = "joe.trap@trap.example"
LIVE = re.compile(r"(?:https?|ftp)://|\bwww\.", re.IGNORECASE)


def view(text: bytes, header: bytes = b"") -> View:
    message = b"Subject: x\r\n" + header + b"\r\n" + text
    source = Source("1", len(message), 0.0, "203.0.113.7", "a.example", "192.0.2.1", "smtp", [TRAP])
    made = View()
    for _, section in sections(source, message, images=False):
        for name, value in section().items():
            setattr(made, name, value)
    return made


def test_what_people_read_is_defanged() -> None:
    """What a page, a terminal and a program get is the same; `raw` is as it came."""
    link = b"<http://a.example/leave>"
    seen = view(b"See http://a.example/x or www.b.example", b"List-Unsubscribe: " + link + b"\r\n")
    assert seen.text == "See hxxp://a[.]example/x or www[.]b[.]example"
    assert seen.headers[1].value == "<hxxp://a[.]example/leave>"
    assert seen.headers[1].raw.endswith(" <http://a.example/leave>")
    assert [url.host for url in seen.urls] == ["a[.]example", "www[.]b[.]example"]


def test_so_is_the_text_a_link_stands_behind() -> None:
    page = b"Content-Type: text/html\r\n"
    url, _ = view(b"<a href='http://a.example'>https://b.example/</a>", page).urls
    assert (url.defanged, url.shown, url.misleading) == ("hxxp://a[.]example", "hxxps://b[.]example/", True)


@pytest.mark.parametrize(
    "text",
    [
        b"http://" + b"x" * 1992 + b"http://evil.example/",
        b"3Dhttp://evil.example _http://evil.example",
        b"http://a.example/?u=xhttp://evil.example",
        b"http://" * 30_000,
        b"www." * 60_000,
        b"http://" + b"." * 250_000,
    ],
)
def test_no_url_is_left_however_long_or_hidden(text: bytes) -> None:
    assert not LIVE.search(view(text).text)


@pytest.mark.parametrize(
    "url",
    [
        f"http://{TRAP}/",
        f"www.b.example,{TRAP}",
        f"http://b.example/?u={TRAP}",
        "http://joe.trap.b.example/",
        f"http://{TRAP[::-1]}.b.example/",
        "http://mx.trap.example/",
        "http://192.0.2.1/",
    ],
)
def test_identities_are_masked_in_what_was_defanged(url: str) -> None:
    shown = masked(view(url.encode(), f"X-Link: {url}\r\n".encode()), [TRAP, "192.0.2.1"])
    for text in (shown.text, shown.headers[1].value, shown.urls[0].defanged):
        assert MASK in text
        assert not re.search(r"joe|trap|part|eoj|192", text)
