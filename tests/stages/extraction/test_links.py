"""Links as browsers understand them, and where they lead."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.extraction import links, pages, redirects
from stages.extraction.disguises import undisguised
from stages.shared.suffixes import registrable

HOSTS = {
    "http://a.example": "a.example",
    "HTTP://WWW.A.Example:8080/x": "www.a.example",
    "//a.example/x": "a.example",
    "http:a.example/x": "a.example",
    "http://00000017700000001/": "127.0.0.1",
    "http:/a.example/x": "a.example",
    "http:\\\\a.example\\x": "a.example",
    "http:////a.example": "a.example",
    "ht\ntp://a.ex\r\nample/": "a.example",
    "www.a.example": "www.a.example",
    "http://www.bank.example@a.example/": "a.example",
    "http://www.bank.example:80@a.example": "a.example",
    "http://a.example#@bank.example": "a.example",
    "http://a.example?@bank.example": "a.example",
    "http://%61%2Eexample/": "a.example",
    "http://a\u3002example": "a.example",
    "http://a\uff0eexample": "a.example",
    "http://a.\u200bexample": "a.example",
    "http://bücher.example": "xn--bcher-kva.example",
    "http://xn--bcher-kva.example": "xn--bcher-kva.example",
    "http://a.example.": "a.example",
    "http://0x7f000001/": "127.0.0.1",
    "http://2130706433/": "127.0.0.1",
    "http://0177.0.0.1/": "127.0.0.1",
    "http://0x7f.1/": "127.0.0.1",
    "http://192.0.2.7/": "192.0.2.7",
    "http://[2001:DB8::1]:8080/": "2001:db8::1",
    "http://[::ffff:192.0.2.1]/": "192.0.2.1",
    "http://s3.amazonaws.com/x": "s3.amazonaws.com",
    "http://a.toonew/": "a.toonew",
}


@pytest.mark.parametrize(("said", "host"), HOSTS.items(), ids=HOSTS)
def test_hosts_as_a_browser_finds_them(said, host):
    link = links.canonical(said)
    assert link is not None
    assert link.host == host


@pytest.mark.parametrize(
    "said",
    [
        "",
        "http://",
        "mailto:joe@a.example",
        "cid:1@a.example",
        "x.html",
        "http://localhost/",
        "http://999.1.1.1/",
        "http://[::1",
        "http://a..example",
        "http://999999999999/",
        "javascript://a.example/%0a",
        "http://a b",
    ],
)
def test_what_leads_to_no_host(said):
    link = links.canonical(said)
    assert link is None


def test_a_url_is_written_in_one_way():
    assert links.canonical("HTTP://user@A.Example:80\\x?q#f").url == "http://a.example/x?q#f"
    assert links.canonical("https://a.example:8443").url == "https://a.example:8443/"
    assert len(links.canonical("http://a.example/" + "x" * 9999).url) == links.MAX_URL


IN_TEXT = {
    "see http://a.example/x.": ["http://a.example/x"],
    "(http://a.example/x)": ["http://a.example/x"],
    "http://a.example/x_(y)": ["http://a.example/x_(y)"],
    "<http://a.example>, 'http://b.example/'": ["http://a.example", "http://b.example/"],
    "www.a.example!": ["www.a.example"],
    "http://a.example/?u=http://b.example": ["http://a.example/?u=http://b.example"],
}


@pytest.mark.parametrize(("text", "found"), IN_TEXT.items(), ids=IN_TEXT)
def test_urls_in_text(text, found):
    assert list(links.in_text(text)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("visit example.com today", ["example.com"]),
        ("Visit Example.com. Or example.co.uk/x?y.", ["Example.com", "example.co.uk/x?y"]),
        ("joe@example.com, x.y.example.com:8080/z", ["x.y.example.com:8080/z"]),
        ("setup.py README.md index.html a.zip run.sh", []),
        ("end.The next, ok.So, e.g. i.e. v1.2.3 10.20.30.40", []),
        ("http://a.example.com/x.com", []),
        ("evil.sh/x", ["evil.sh/x"]),
    ],
)
def test_domains_without_a_scheme(text, found):
    assert [name for name, _ in links.bare(text)] == found


DISGUISED = {
    "hxxp://a.example": "http://a.example",
    "hXXps://a[.]example/x": "https://a.example/x",
    "h**p://a.example": "http://a.example",
    "http[:]//a(.)example": "http://a.example",
    "http : // a.example": "http://a.example",
    "hxxps[://]a[.]example": "https://a.example",
    "https:// a.example": "https://a.example",
    "\U0001d5ee.\U0001d452xample \u24d0.example": "a.example a.example",
    "a{dot}example (dot) com": "a.example.com",
    "a [dot] example": "a.example",
    "a\\.example": "a.example",
    "joe at a dot com": "joe@a.com",
    "joe (at) a [dot] com": "joe@a.com",
    "joe[at]a.com": "joe@a.com",
    "example . com": "example.com",
    "www . example.com": "www.example.com",
    "www.\u200be\u00advil.example": "www.evil.example",
    "\uff57\uff57\uff57\uff0eevil\u3002example": "www.evil.example",
}
PLAIN = [
    "Meet me at noon. Come alone.",
    "A dot in the sky",
    "He is at home. Info follows.",
    "at example the dot is red",
    "f(x) and g[.5]",
    "see you . In time",
]


@pytest.mark.parametrize(("said", "meant"), DISGUISED.items(), ids=DISGUISED)
def test_disguises(said, meant):
    assert undisguised(said) == meant


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_stays(text):
    assert undisguised(text) == text


TARGET = "http://a.example/x?y=1"
QUOTED = "http%3A%2F%2Fa.example%2Fx%3Fy%3D1"
CODED = base64.urlsafe_b64encode(TARGET.encode()).decode().rstrip("=")
REDIRECTORS = {
    "Google": f"https://www.google.com/url?sa=t&url={QUOTED}&usg=x",
    "Google q": f"https://www.google.de/url?q={QUOTED}",
    "Google Ads": f"https://www.googleadservices.com/pagead/aclk?sa=L&adurl={QUOTED}",
    "DoubleClick": f"https://ad.doubleclick.net/clk;1;2;a?{TARGET}",
    "Bing": f"https://www.bing.com/ck/a?!&&p=1&u=a1{CODED}&ntb=1",
    "SafeLinks": f"https://eur01.safelinks.protection.outlook.com/?url={QUOTED}&data=05%7C01&reserved=0",
    "Proofpoint 1": f"https://urldefense.proofpoint.com/v1/url?u={QUOTED}&k=x",
    "Proofpoint 2": "https://urldefense.proofpoint.com/v2/url?u=http-3A__a.example_x-3Fy-3D1&d=Dw&c=e",
    "Proofpoint 3": "https://urldefense.com/v3/__http:/a.example/x*y=1__;Pw!!abc!def$",
    "LinkedIn": f"https://www.linkedin.com/redir/redirect?url={QUOTED}&urlhash=x",
    "Facebook": f"https://l.facebook.com/l.php?u={QUOTED}&h=x",
    "YouTube": f"https://www.youtube.com/redirect?event=x&q={QUOTED}",
    "DuckDuckGo": f"https://duckduckgo.com/l/?uddg={QUOTED}",
    "Yahoo": f"https://r.search.yahoo.com/_ylt=x/RU={QUOTED}/RK=2/RS=x-",
    "AMP": "https://www.google.com/amp/a.example/x?y=1",
    "AMP cache": "https://a-example.cdn.ampproject.org/c/a.example/x?y=1",
    "Cisco": f"https://secure-web.cisco.com/1abc/{QUOTED}",
    "Barracuda": f"https://linkprotect.cudasvc.com/url?a={QUOTED}&c=E",
    "Sophos": f"https://eu-west-1.protection.sophos.com/?d=a.example&u={CODED}&i=x",
    "counter": f"http://click.spam.example/t?id=1&dest={QUOTED}",
    "encoded twice": f"http://click.spam.example/t?r={QUOTED.replace('%', '%25')}",
    "in the path": f"http://rd.yahoo.example/id/*{'/'}{TARGET}",
    "Amazon": f"https://x.r.us-east-1.awstrack.me/L0/{QUOTED}/1/0100018f-abc/def=350",
    "Avanan": f"https://url.avanan.click/v2/___{TARGET}___.YXAzOmFjbWU6YTpv",
    "Mandrill": "https://mandrillapp.com/track/click/3/a.example?p="
    + base64.urlsafe_b64encode(
        b'{"s":"x","p":"{\\"url\\":\\"http:\\\\/\\\\/a.example\\\\/x?y=1\\"}"}'
    ).decode(),
    "in hex": f"http://click.spam.example/{TARGET.encode().hex()}",
    "in the fragment": f"http://click.spam.example/#u={QUOTED}",
}


@pytest.mark.parametrize("url", REDIRECTORS.values(), ids=REDIRECTORS)
def test_redirectors(url):
    assert TARGET in redirects.targets(url)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://evil-a--b-example.translate.goog/x?_x_tr_sl=auto", "https://evil.a-b.example/x"),
        ("https://protect-eu.mimecast.com/s/AbC1?domain=a.example", "http://a.example/"),
        ("https://urldefense.com/v3/__https://a.example/**B**Ax__;w6TDtsO8!!x", "https://a.example/"),
        ("https://www.google.com/amp/s/a.example/x", "https://a.example/x"),
    ],
)
def test_those_with_ways_of_their_own(url, target):
    (found,) = redirects.targets(url)
    assert found.startswith(target)


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "http://a.example/?q=http",
        "http://a.example/?x=//",
        "http://a.example/aHR0",
        "http://a.example/?date=2026-11-03&page=www",
    ],
)
def test_urls_that_lead_nowhere_else(url):
    assert redirects.targets(url) == []


HTML = {
    '<a href="http://a.example">x</a>': [("link", "http://a.example")],
    "<a\nHREF = 'http://a.example/?x&amp;y' target=x>": [("link", "http://a.example/?x&y")],
    "<a href=http://a.example>": [("link", "http://a.example")],
    "<a href=h&#116;tp&colon;//a.example>": [("link", "http://a.example")],
    "<a href='http://a.example": [("link", "http://a.example")],
    "<img src=//a.example/x.gif>": [("image", "//a.example/x.gif")],
    "<img srcset='http://a.example/1 1x, http://a.example/2 2x'>": [
        ("image", "http://a.example/1"),
        ("image", "http://a.example/2"),
    ],
    "<form action=http://a.example/post>": [("form", "http://a.example/post")],
    "<button formaction=http://a.example>": [("form", "http://a.example")],
    "<meta http-equiv=refresh content='0; URL=http://a.example/x'>": [("refresh", "http://a.example/x")],
    "<td background=http://a.example/x>": [("image", "http://a.example/x")],
    "<p style='background:url(http://a.example/x)'>": [("style", "http://a.example/x")],
    "<style>@import 'http://a.example/x';b{c:url( \"http://a.example/y\" )}</style>": [
        ("style", "http://a.example/x"),
        ("style", "http://a.example/y"),
    ],
    "<iframe src=http://a.example>": [("object", "http://a.example")],
    "<svg><a xlink:href=http://a.example>": [("link", "http://a.example")],
}


@pytest.mark.parametrize(("source", "found"), HTML.items(), ids=HTML)
def test_links_in_html(source, found):
    assert pages.read(source).links == found


def test_what_html_shows():
    page = pages.read(
        "<title>T</title><p>Vi<b>ag</b>ra&nbsp;now<!-- http://a.example --><br>cheap<script>x()</script>"
    )
    assert page.text.split() == ["T", "Viagra", "now", "cheap"]
    assert page.scripts.split() == ["http://a.example", "x()"]


def test_data_urls():
    assert pages.in_data("data:text/html;base64,PGI-") == ("text/html", b"<b")
    assert pages.in_data("data:text/html;charset=utf-8,%3Cb%3E") == ("text/html", b"<b>")
    assert pages.in_data("data:,hi") == ("", b"hi")
    assert pages.in_data("http://a.example/,") == ("", b"")


@pytest.mark.parametrize(
    ("name", "registered"),
    [
        ("a.b.example.com", "example.com"),
        ("x.co.uk", "x.co.uk"),
        ("co.uk", "co.uk"),
        ("uk", ""),
        ("", ""),
        ("a.notatld", ""),
        ("a.b.trap.example", "trap.example"),
        ("x." * 200 + "com", ""),
    ],
)
def test_what_somebody_registered(name, registered):
    assert registrable(name) == registered


@given(st.text(alphabet="htps:/\\.@%#?&=a[]0x\u3002\u200b-é1", max_size=60))
def test_no_url_is_too_odd(text):
    for said in (text, f"http://{text}", f"http://a.example/?u={text}"):
        link = links.canonical(said)
        if link:
            assert links.canonical(link.url).host == link.host
        redirects.targets(said)


MARKUP = ["<a", " href=", ">", "</", "<!--", "-->", "<script", "<style>", "url(", "'", '"', "&#x41;", "data:"]


@given(st.lists(st.sampled_from(MARKUP) | st.text(max_size=3)))
def test_no_page_is_too_odd(pieces):
    pages.read("".join(pieces))
