"""The page of a message: all there is to see of it, and nothing that it could do."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from archived import NOVEMBER, job, mixed_message
from support import at_most, every
from webkit import Visitor, config_at, fill, visitor

from trap.archive.store import segments
from trap.config import Config
from trap.envelope import Envelope, Rcpt
from trap.job import Job, new_id
from trap.view.viewer import Viewer
from trap.web import message as message_page
from trap.web.message import FRAME_POLICY, RAW_LINES

TABS = ("text", "headers", "session", "parts", "urls", "raw")
TRAP = "pristine.trap.17@canary.example"
HOST = "mx7.canary.example"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
SECONDS = 2.0
"""Of a processor, for any page, whatever the message."""


def hostile(name: str = EVIL, to: str = TRAP) -> bytes:
    """A message that says the same wherever something can be said, and names the trap where mail does."""
    return (
        f"Received: from {name} (helo {name}) by {HOST} for <{to}>; Sun, 1 Nov 2026 10:00:00 +0000\r\n"
        f"{name}: {name}\r\nFrom: {name} <joe@a.example>\r\nTo: {to}\r\nX-{name}\r\n"
        f"Subject: {name} for {to}\r\nDelivered-To: {to}\r\n"
        f'Content-Type: multipart/mixed; boundary="b"; x="{name}"\r\n\r\n'
        f"--b\r\nContent-Type: text/plain; charset={name}\r\nContent-Transfer-Encoding: {name}\r\n\r\n"
        f"Dear {to}, {name} http://{name}.example/?u={to}\r\n"
        f"--b\r\nContent-Type: text/html\r\n\r\n<title>{name}</title><p>Dear {to}</p>"
        f'<script>alert(3)</script><a href="http://evil.example/{to}">http://good.example/</a><form action=http://a.example>'
        "<input name=p></form><meta http-equiv=refresh content='0;url=http://a.example'>"
        "<img src=http://a.example/pixel.gif><iframe src=http://a.example></iframe>\r\n"
        f'--b\r\nContent-Type: application/pdf; name="{name}.pdf"\r\nContent-ID: <{name}>\r\n\r\n'
        "%PDF\r\n--b--\r\n"
    ).encode()


def noted(number: int, campaign: str, **more: object) -> Job:
    """A message with what stages noted of it."""
    made = job(number, **more)  # type: ignore[arg-type]
    made.notes = {"dedup": {"campaign": campaign, "count": number + 1}, EVIL: {EVIL: [EVIL, {EVIL: EVIL}]}}
    return made


def archived(tmp_path: Path, *jobs: Job) -> Config:
    config = config_at(tmp_path)
    fill(config, jobs)
    return config


JOBS = [
    *(noted(n, "00f7") for n in range(9)),
    job(9, message=mixed_message(9)),
    noted(
        10,
        "00f8",
        message=hostile(),
        helo=EVIL,
        mail_from=EVIL,
        rcpts=[Rcpt(address=TRAP, params=[EVIL], tag="web")],
        client_port=99,
        server_ip="198.51.100.77",
        errors=[f"550 <{TRAP}> {EVIL}"],
        dialect={"pregreet": True, "unknown_verbs": [EVIL], "auth": [{"mechanism": "LOGIN", "user": EVIL}]},
    ),
]
WORST = JOBS[-1]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return archived(tmp_path_factory.mktemp("trap"), *JOBS)


@pytest.fixture(scope="module")
def me(config: Config) -> Iterator[Visitor]:
    with visitor(config) as made:
        yield made


def words(page: str) -> str:
    """What people read of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


# What there is to see


def test_the_head_says_what_it_is(me: Visitor) -> None:
    page = me.get(f"/messages/{JOBS[3].id}")
    assert page.status_code == 200
    said = words(page.text)
    assert "offer number 3" in said
    assert "Joe Sender <joe@a.example>" in said
    assert "2026-11-01 00:00:03" in said
    assert "Dear friend, you won 3 Euro." in said


def test_every_tab_is_a_plain_link(me: Visitor) -> None:
    page = me.get(f"/messages/{JOBS[9].id}?q=offer")
    for show in (*TABS, "html"):
        link = f"/messages/{JOBS[9].id}?q=offer&show={show}"
        assert html.escape(link) in page.text
        assert me.get(link).status_code == 200


def test_an_unknown_tab_is_the_first(me: Visitor) -> None:
    assert "Dear friend" in me.get(f"/messages/{JOBS[0].id}?show=nonsense").text


def test_neighbours_are_those_of_the_search(me: Visitor) -> None:
    def neighbours(number: int, query: str) -> tuple[str, str]:
        page = me.get(f"/messages/{JOBS[number].id}", params={"q": query}).text
        found = {rel: re.search(rf'rel="{rel}" href="/messages/(\w+)', page) for rel in ("prev", "next")}
        return found["prev"][1] if found["prev"] else "", found["next"][1] if found["next"] else ""

    assert neighbours(4, "") == (JOBS[5].id, JOBS[3].id)
    assert neighbours(4, "subject:3 or subject:7") == (JOBS[7].id, JOBS[3].id)
    assert neighbours(0, "") == (JOBS[1].id, "")
    assert neighbours(10, "") == ("", JOBS[9].id)


@pytest.mark.parametrize(
    ("number", "query", "newer"),
    [(4, "", 5), (4, "subject:3 or subject:4 or subject:7", 7), (10, "", None), (4, "((", None)],
)
def test_the_way_back_leads_to_the_place_in_the_list(
    me: Visitor, number: int, query: str, newer: int | None
) -> None:
    """However far down it was: the page that begins with it, of the same search."""
    page = me.get(f"/messages/{JOBS[number].id}", params={"q": query}).text
    up = re.search(r'<a data-up href="([^"]+)"', page)
    assert up
    before = {} if newer is None else {"before": JOBS[newer].id}
    asked = {"q": query} if query else {}
    address = f"/messages?{urlencode(asked | before)}" if asked or before else "/messages"
    assert html.unescape(up[1]) == f"{address}#m{JOBS[number].id}"
    if query != "((":
        rows = re.findall(r'<li class="msg" data-row id="(\w+)"', me.get(address).text)
        assert rows[0] == f"m{JOBS[number].id}"


def test_a_header_field_without_a_value_shows_none(tmp_path: Path) -> None:
    empty = job(1, message=b"Subject: hello\r\nX-Keywords: \r\n\r\nhello\r\n")
    with visitor(archived(tmp_path, empty)) as me:
        page = me.get(f"/messages/{empty.id}?show=headers").text
    assert re.search(r'<th scope="row">X-Keywords</th>\s*<td></td>', page)


def test_a_search_that_is_none_is_said(me: Visitor) -> None:
    page = me.get(f"/messages/{JOBS[4].id}", params={"q": "(("})
    assert page.status_code == 200
    assert "the search is none" in page.text


def test_others_of_the_campaign_and_what_differs(me: Visitor) -> None:
    page = me.get(f"/messages/{JOBS[0].id}").text
    assert f"/messages/{JOBS[8].id}" in page
    assert "/messages?q=campaign%3A00f7" in page
    compared = me.get(f"/messages/{JOBS[0].id}/diff/{JOBS[8].id}")
    said = words(compared.text)
    assert "you won 8 Euro" in said
    assert "you won 0 Euro" in said
    assert 'class="changed"' in compared.text


def test_a_copy_that_is_the_same_is_called_so(me: Visitor) -> None:
    assert "are the same" in me.get(f"/messages/{JOBS[0].id}/diff/{JOBS[0].id}").text


def test_the_session_is_told_in_words(me: Visitor) -> None:
    said = words(me.get(f"/messages/{WORST.id}?show=session").text)
    assert "It talked before our banner" in said
    assert "It tried to log in with LOGIN as" in said
    assert "port 99" in said


def test_parts_have_hashes_and_links(me: Visitor) -> None:
    page = me.get(f"/messages/{JOBS[9].id}?show=parts").text
    assert "invoice9.pdf" in page
    assert f'href="/messages/{JOBS[9].id}/parts/3"' in page
    assert re.search(r"q=hash%3A[0-9a-f]{64}", page)
    assert "is image/png" in words(page), "it is declared as a PDF"


def test_urls_are_never_links(me: Visitor) -> None:
    page = me.get(f"/messages/{JOBS[9].id}?show=urls").text
    assert "hxxp://login[.]c[.]example/x" in page
    assert "/messages?q=domain%3Alogin.c.example" in page
    assert "http://" not in page


def test_the_source_has_lines(me: Visitor) -> None:
    page = me.get(f"/messages/{JOBS[0].id}?show=raw").text
    assert '<div id="L2"><a class="no" href="#L2">2</a><code>From: Joe Sender &lt;joe@a.example&gt;' in page


def test_a_long_source_has_pages(tmp_path: Path) -> None:
    lines = b"".join(b"line %d\r\n" % number for number in range(3, 3000))
    long = job(0, message=b"Subject: long\r\n\r\n" + lines + b"x" * 100_000)
    with visitor(archived(tmp_path, long)) as me:
        first = me.get(f"/messages/{long.id}?show=raw")
        assert first.text.count('<div id="L') == RAW_LINES
        page = me.get(f"/messages/{long.id}?show=raw&line=1234").text
        assert '<div id="L1234">' in page
        assert "Lines 1,001 to 1,500 of 3,000" in words(page)
        last = me.get(f"/messages/{long.id}?show=raw&line=99999999").text
        assert '<div id="L3000">' in last
        assert "98000 more bytes" in last
        for nonsense in ("-1", "x", "9" * 5000, "1e3", "٣"):
            assert me.get(f"/messages/{long.id}", params={"show": "raw", "line": nonsense}).status_code == 200


# What it can't do


@pytest.mark.parametrize("show", [*TABS, "html"])
def test_nothing_a_message_says_becomes_markup(shown: Visitor, show: str) -> None:
    page = shown.get(f"/messages/{WORST.id}?show={show}").text
    assert re.findall(r"<script[^>]*>", page) == re.findall(r'<script src="/static/app[^>]* defer>', page)
    assert "<img src=x" not in page
    assert not re.search(r"<[^>]*\son\w+=", re.sub(r'"[^"]*"', '""', page)), "no handler in any tag"
    assert not re.search(r"(?:href|src|action)=\"(?!/|#|data:image)", page), "no address but ours"


def test_the_frame_has_a_policy_of_its_own(me: Visitor) -> None:
    document = me.get(f"/messages/{WORST.id}/html")
    assert document.headers["content-security-policy"] == FRAME_POLICY
    assert document.headers.get_list("content-security-policy") == [FRAME_POLICY]
    assert document.headers["content-type"] == "text/html; charset=utf-8"
    assert document.headers["x-content-type-options"] == "nosniff"
    assert document.headers["referrer-policy"] == "no-referrer"
    assert document.headers["cache-control"] == "no-store"
    body = document.text.partition("<body>")[2].lower()
    for bad in ("<script", "<form", "<input", "<meta", "<iframe", "href=", "src="):
        assert bad not in body, bad
    assert not re.search(r"<[^>]*(?:http:|\son\w+=)", body)


def test_the_page_frames_it_without_any_allowance(me: Visitor) -> None:
    page = me.get(f"/messages/{WORST.id}?show=html").text
    frame = re.search(r"<iframe[^>]*>", page)
    assert frame
    assert ' sandbox="" ' in frame[0]
    assert 'referrerpolicy="no-referrer"' in frame[0]
    assert f'src="/messages/{WORST.id}/html"' in frame[0]


def test_a_message_without_html(me: Visitor) -> None:
    document = me.get(f"/messages/{JOBS[0].id}/html")
    assert "There is no HTML" in document.text
    assert document.headers["content-security-policy"] == FRAME_POLICY
    assert "show=html" not in me.get(f"/messages/{JOBS[0].id}").text


@pytest.mark.parametrize(
    "path", [*(f"?show={show}" for show in (*TABS, "html")), "/html", f"/diff/{JOBS[0].id}"]
)
def test_trap_identities_are_masked(me: Visitor, path: str) -> None:
    said = me.get(f"/messages/{WORST.id}{path}").text.lower()
    assert "•••" in said or path == "?show=html"
    for name in (TRAP, TRAP.partition("@")[0], "canary.example", HOST, "198.51.100.77"):
        assert name not in said, name


def test_another_copy_names_another_of_us(tmp_path: Path) -> None:
    other = noted(
        0, "00f7", message=b"Subject: for second@b.example\r\n\r\n", rcpts=[Rcpt(address="second@b.example")]
    )
    this = noted(1, "00f7")
    with visitor(archived(tmp_path, other, this)) as me:
        page = me.get(f"/messages/{this.id}").text
        assert f"/messages/{this.id}/diff/{other.id}" in page
        assert "second@b.example" not in page + me.get(f"/messages/{this.id}/diff/{other.id}").text


def test_identities_are_shown_when_asked_for(shown: Visitor) -> None:
    said = shown.get(f"/messages/{WORST.id}?show=session").text
    assert TRAP in said
    assert HOST in said
    assert TRAP in shown.get(f"/messages/{WORST.id}/html").text


# What is not there


@pytest.mark.parametrize("job_id", ["x", "0" * 24, "0" * 5000, "%00", "..%2f..", f"{JOBS[0].id}x", "٣" * 24])
@pytest.mark.parametrize("path", ["", "/html"])
def test_what_is_not_in_the_archive(me: Visitor, job_id: str, path: str) -> None:
    answer = me.get(f"/messages/{job_id}{path}")
    assert answer.status_code == 404


def test_the_other_copy_is_not_in_the_archive(me: Visitor) -> None:
    assert me.get(f"/messages/{JOBS[0].id}/diff/{'0' * 24}").status_code == 404


def test_a_message_whose_segment_was_dropped(tmp_path: Path) -> None:
    config = archived(tmp_path, JOBS[0])
    for path in segments(config.paths.archive):
        path.unlink()
    with visitor(config) as me:
        answer = me.get(f"/messages/{JOBS[0].id}")
        assert answer.status_code == 410
        assert "was dropped" in answer.text


def test_a_damaged_message(tmp_path: Path) -> None:
    config = archived(tmp_path, JOBS[0])
    [path] = segments(config.paths.archive)
    data = bytearray(path.read_bytes())
    data[-40] ^= 255
    path.write_bytes(data)
    with visitor(config) as me:
        answer = me.get(f"/messages/{JOBS[0].id}")
        assert answer.status_code == 500
        assert "spamtrap archive verify" in answer.text


def test_what_took_too_long_is_said(config: Config) -> None:
    with visitor(config) as me:
        me.app.state.site.viewer = Viewer(seconds=0.0)  # type: ignore[attr-defined]
        for show in TABS:
            page = me.get(f"/messages/{WORST.id}?show={show}")
            assert page.status_code == 200
            assert "takes too long" in page.text
            assert "joe@a.example" in page.text or show != "raw", "the rest is there"
        assert me.get(f"/messages/{WORST.id}/html").status_code == 200
        assert me.get(f"/messages/{WORST.id}/diff/{JOBS[0].id}").status_code == 503


# Whatever it is


def bombs() -> dict[str, bytes]:
    """Messages made to take for ever."""
    line = b"QUFB" * 19 + b"\r\n"
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(10_000)
    )
    flat = b"--b\r\nContent-Type: text/html\r\n\r\n<a href=http://a.example/>x</a>\r\n" * 10_000
    address = b", ".join(b"a%d@canary.example" % n for n in range(30_000))
    return {
        "base64": b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" + line * 1_300_000,
        "nested": nested,
        "flat": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + flat,
        "header": b"Subject: " + b"x " * 500_000 + b"\r\nTo: " + address + b"\r\n\r\n",
        "received": b"Received: from a (a [192.0.2.1]) by b; Sun, 1 Nov 2026 10:00:00 +0000\r\n" * 20_000,
        "tags": b"Content-Type: text/html\r\n\r\n" + b"<div><table><tr><td>" * 200_000,
        "urls": b"Subject: u\r\n\r\n" + b"".join(b"http://h%d.example/x \r\n" % n for n in range(100_000)),
        "lines": b"Subject: l\r\n\r\n" + b"\r\n" * 5_000_000,
        "encoded words": b"Subject: " + b"=?utf-8?q?=F0=9F=98=80?= " * 40_000 + b"\r\n\r\n",
    }


def test_no_bomb_costs_more_than_two_seconds(tmp_path: Path) -> None:
    jobs = {
        name: job(n, message=data, rcpts=[Rcpt(address=TRAP)])
        for n, (name, data) in enumerate(bombs().items())
    }
    with visitor(archived(tmp_path, *jobs.values())) as me:
        for name, one in jobs.items():
            for path in ("?show=text", "?show=parts", "?show=raw", "/html"):
                soon(me, f"/messages/{one.id}{path}", name)


def soon(me: Visitor, path: str, name: object) -> None:
    """Look at a page, which may not cost much; children that begin are of it."""
    with at_most(SECONDS, (name, path)):
        answer = me.get(path)
    assert answer.status_code == 200, (path, answer.text[-2000:])


@pytest.mark.parametrize(("kind", "usual"), [("malformed", 2), ("phish", 8), ("bounce", 20)])
def test_real_mail_of_any_kind_is_shown(tmp_path: Path, corpus: Path, kind: str, usual: int) -> None:
    """Each on one of the tabs, in turns; that all can be read is seen in tests/trap/view/test_viewer.py."""
    paths = every((corpus / kind).glob("*.eml"), usual)
    jobs = [
        Job(new_id(NOVEMBER + at), Envelope(rcpts=[Rcpt(address=TRAP)]), {}, path.read_bytes())
        for at, path in enumerate(paths)
    ]
    pages = (*(f"?show={show}" for show in TABS), "?show=html", "/html")
    with visitor(archived(tmp_path, *jobs)) as me:
        for at, one in enumerate(jobs):
            soon(me, f"/messages/{one.id}{pages[at % len(pages)]}", paths[at])


def test_all_routes_only_read() -> None:
    assert all(route.methods == {"GET", "HEAD"} for route in message_page.routes)  # type: ignore[attr-defined]
