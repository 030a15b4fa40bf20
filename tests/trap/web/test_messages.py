"""The list of messages: searched, paged through, narrowed, and safe with whatever stands in a message."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from archived import DAY, NOVEMBER, job, mixed_message
from webkit import Visitor, config_at, fill, visitor

from trap.archive.library import Facets, Histogram, Library, TooSlow
from trap.archive.query import Query
from trap.config import Accept, Config, Tagged
from trap.envelope import Rcpt
from trap.job import Job
from trap.live import Board, Live
from trap.web.listing import PAGE, sender_of

EVIL = "<script>alert(1)</script>\"'><b>"
TRAP = "pristine.trap.17@canary.example"


def noted(number: int, campaign: str = "", count: int = 0, **more: object) -> Job:
    """A message as the dedup stage passes it on."""
    made = job(number, **more)  # type: ignore[arg-type]
    if campaign:
        made.notes = {"dedup": {"campaign": campaign, "count": count}}
    return made


def subject(text: str) -> bytes:
    """A message with a subject, as it is."""
    return (
        b"From: Joe <joe@a.example>\r\nSubject: "
        + text.encode("utf-8", "surrogateescape")
        + b"\r\n\r\nhi\r\n"
    )


def mail_of_november() -> list[Job]:
    """Enough for three pages, with something to narrow it by."""
    jobs = [
        job(
            number,
            at=NOVEMBER + number * 6 * 3600,
            client_ip=f"192.0.{number % 3}.7",
            rcpts=[Rcpt(address="trap@trap.example", tag=("web", "old list")[number % 2])],
        )
        for number in range(2 * PAGE + 20)
    ]
    return [*jobs, job(0, at=NOVEMBER + 31 * DAY, message=mixed_message(1))]


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    return mail_of_november()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Visitor, Config]]:
    """A visitor of an archive that a test fills itself."""
    config = config_at(tmp_path, accept=Accept(domains={"canary.example": Tagged(tag="pristine")}))
    with visitor(config) as made:
        yield made, config


def ids(page: str) -> list[str]:
    """The messages that a page lists, in its order."""
    return re.findall(r'<li class="msg" data-row id="m([0-9a-f]{24})"', page)


def way(page: str, rel: str) -> str:
    """Where the link to the page before or after leads; empty when there is none."""
    found = re.search(rf'<a rel="{rel}" href="([^"]+)"', page)
    return html.unescape(found[1]) if found else ""


def number_found(page: str) -> int:
    """How many messages the page says there are."""
    found = re.search(r"<b>([\d,]+)</b> message", page)
    assert found, words(page)[:300]
    return int(found[1].replace(",", ""))


def words(page: str) -> str:
    """What people read of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def query_of(address: str) -> str:
    """The query in an address."""
    return parse_qs(urlsplit(html.unescape(address)).query).get("q", [""])[0]


# Paging


def test_the_newest_come_first(me: Visitor, jobs: list[Job]) -> None:
    page = me.get("/messages").text
    assert ids(page) == [job.id for job in jobs[::-1][:PAGE]]
    assert not way(page, "prev")


@pytest.mark.parametrize("query", ["", "tag:web", "-tag:web offer", "date:2026-11-05.."])
def test_both_ways_give_every_message_once(me: Visitor, query: str) -> None:
    pages = [me.get("/messages", params={"q": query}).text]
    while older := way(pages[-1], "next"):
        pages.append(me.get(older).text)
    forth = [each for page in pages for each in ids(page)]
    assert len(forth) == len(set(forth)) == number_found(pages[0])
    assert forth == sorted(forth, reverse=True)

    last, back = pages[-1], ids(pages[-1])
    while newer := way(last, "prev"):
        last = me.get(newer).text
        back = ids(last) + back
    assert back == forth


def test_new_mail_moves_nothing(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    first = [job(number) for number in range(2 * PAGE + 5)]
    fill(config, first)
    pages = [me.get("/messages").text]
    while older := way(pages[-1], "next"):
        fill(config, [job(1000 + len(pages))])
        pages.append(me.get(older).text)
    assert [each for page in pages for each in ids(page)] == [job.id for job in first[::-1]]

    seen = ids(pages[-1])
    last = pages[-1]
    while newer := way(last, "prev"):
        fill(config, [job(2000 + len(seen))])
        last = me.get(newer).text
        seen = ids(last) + seen
    assert len(seen) == len(set(seen)) > len(first)
    assert seen[-len(first) :] == [job.id for job in first[::-1]]
    assert seen == sorted(seen, reverse=True)


def test_more_lines_alone_for_a_page_that_has_the_rest(me: Visitor) -> None:
    page = me.get("/messages").text
    older = way(page, "next")
    whole, part = me.get(older).text, me.get(older + "&part=rows").text
    assert ids(part) == ids(whole)
    assert way(part, "next") == way(whole, "next")
    assert "<html" not in part and "Narrow by" not in part


def test_a_day_is_named_once(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    fill(config, [job(number) for number in range(PAGE + 5)])
    older = way(me.get("/messages").text, "next")
    assert "1 November 2026" in me.get(older).text
    assert "1 November 2026" not in me.get(older + "&part=rows").text


def test_an_address_of_nonsense_is_the_first_page(me: Visitor) -> None:
    for position in ("before=x", "after=../../etc", "before=" + "9" * 24 + "00", "before=%00"):
        assert ids(me.get(f"/messages?{position}").text) == ids(me.get("/messages").text)


def test_behind_the_end_is_the_way_back(me: Visitor, jobs: list[Job]) -> None:
    page = me.get(f"/messages?before={jobs[0].id}").text
    assert not ids(page)
    assert "The list ends here" in words(page)
    assert 'href="/messages">To the newest' in page


# Searching


def test_the_query_is_kept(me: Visitor) -> None:
    page = me.get("/messages", params={"q": 'tag:"old list" offer'}).text
    assert 'name="q" value="tag:&#34;old list&#34; offer"' in page
    assert query_of(way(page, "next")) == 'tag:"old list" offer'
    rows = re.findall(r'class="subject cut" href="([^"]+)"', page)
    assert {query_of(row) for row in rows} == {'tag:"old list" offer'}


@pytest.mark.parametrize(
    ("query", "wrong", "hint"),
    [
        ("tag:web form:joe", "form:", "did you mean from:?"),
        ('tag:web "no end', "&#34;no end", "quotation mark"),
        ("size:huge tag:web", "size:huge", "size"),
        ("date:2026-13-01", "date:2026-13-01", "calendar"),
        ("(tag:web", "(", ""),
    ],
)
def test_what_is_wrong_is_shown_where_it_is(me: Visitor, query: str, wrong: str, hint: str) -> None:
    answer = me.get("/messages", params={"q": query})
    assert answer.status_code == 400
    marked = re.search(r"<mark>(.*?)</mark>", answer.text)
    assert marked and wrong in marked[1]
    assert hint in words(answer.text)
    assert html.escape(query).replace("&quot;", "&#34;") in answer.text
    assert '<details class="grammar" open>' in answer.text


def test_a_mistake_in_a_long_query_is_cut_out_of_it(me: Visitor) -> None:
    answer = me.get("/messages", params={"q": "x " * 1500 + "form:joe" + " y" * 1500})
    assert answer.status_code == 400
    assert len(answer.text) < 20_000


def test_nothing_found_says_what_to_drop(me: Visitor) -> None:
    page = me.get("/messages", params={"q": "offer tag:web kind:arf"}).text
    assert "Nothing matches" in words(page)
    assert "back to 2026-11-01 00:00" in words(page)
    shown = {query_of(link) for link in re.findall(r'href="([^"]*)">without', page)}
    assert shown == {"tag:web kind:arf", "offer kind:arf", "offer tag:web"}


def test_terms_can_be_taken_out(me: Visitor) -> None:
    page = me.get("/messages", params={"q": "offer -tag:web (a or b)"}).text
    found = re.findall(r'<a class="chip (on|bad)" href="([^"]*)"', page)
    assert [(look, query_of(link)) for look, link in found] == [
        ("on", "-tag:web (a or b)"),
        ("bad", "offer (a or b)"),
    ]


def test_an_empty_archive_says_what_to_do(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    answer = me.get("/messages")
    assert answer.status_code == 200
    assert "spamtrap replay" in answer.text
    assert me.get(f"/messages/{job(1).id}").status_code == 404
    fill(config, [])
    board = Board(config)
    board.publish(Live(pid=1, addresses=["127.0.0.1:18942"]))
    answer = me.get("/messages")
    board.close()
    assert answer.status_code == 200
    assert "spamtrap replay some.eml --to 127.0.0.1:18942" in answer.text


# Narrowing


def facets(page: str) -> list[tuple[str, str, int]]:
    """Address of the list with a value, of the one without, and how many messages are said to have it."""
    found = re.findall(
        r'<a class="value" href="([^"]+)".*?<span class="number soft">([\d,]+)</span></a>\s*'
        r'(?:<a class="minus" href="([^"]+)")?',
        page,
        re.DOTALL,
    )
    return [
        (html.unescape(only), html.unescape(but), int(count.replace(",", ""))) for only, count, but in found
    ]


@pytest.mark.parametrize("query", ["", "offer", "date:2026-11-10.."])
def test_a_facet_leads_to_as_many_as_it_says(me: Visitor, query: str) -> None:
    page = me.get("/messages", params={"q": query}).text
    found = facets(page)
    assert {query_of(only).split()[-1] for only, _, _ in found} >= {"tag:web", "cidr:192.0.2.0/24"}
    for only, but, count in found:
        assert number_found(me.get(only).text) == count
        rest = number_found(me.get(but).text)
        assert rest == number_found(page) - count


def test_a_chosen_value_leads_back(me: Visitor) -> None:
    page = me.get("/messages", params={"q": "offer tag:web"}).text
    chosen = re.search(r'<li class="chosen">\s*<a class="value" href="([^"]+)"', page)
    assert chosen and query_of(chosen[1]) == "offer"


def bars(page: str) -> list[tuple[str, int]]:
    """The bars of the histogram: addresses, and how many messages they stand for."""
    found = re.findall(r'<a href="([^"]+)" tabindex="-1"><title>[^<]*: ([\d,]+)</title>', page)
    return [(html.unescape(address), int(count.replace(",", ""))) for address, count in found]


def test_bars_lead_to_what_they_count(me: Visitor) -> None:
    page = me.get("/messages", params={"q": "offer date:2026-11-02..2026-11-05"}).text
    found = bars(page)
    assert sum(count for _, count in found) == number_found(page) == 16
    for address, count in found:
        assert query_of(address).count("date:") == 1
        if count:
            assert number_found(me.get(address).text) == count
    assert page.count("<td><a href=") == sum(1 for _, count in found if count)


def test_the_ends_of_a_short_time_are_told_apart(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    fill(config, [job(number, at=NOVEMBER + 20 * number) for number in (0, 1)])
    drawn = re.search(r"<figcaption.*</figcaption>", me.get("/messages").text, re.DOTALL)
    assert drawn
    said = words(drawn[0])
    assert said.startswith("2026-11-01 00:00:00 ") and said.endswith(" 2026-11-01 00:00:21")


def test_how_far_back(me: Visitor) -> None:
    page = me.get("/messages", params={"q": "offer date:2026-11 tag:web"}).text
    tabs = re.search(r'aria-label="How far back">(.*?)</nav>', page, re.DOTALL)
    assert tabs
    found = [query_of(address) for address in re.findall(r'href="([^"]+)"', tabs[1])]
    assert found[0] == "offer tag:web date:1h"
    assert found[-1] == "offer tag:web"
    assert "aria-current" not in tabs[1]
    assert 'aria-current="true">7d' in me.get("/messages", params={"q": "date:7d"}).text


@pytest.mark.parametrize(
    ("query", "over_time", "by_value", "said"),
    [
        ("", (32_767, False), (5000, False), "more than 32,767 messages"),
        ("", (0, False), (5000, False), "more than 5,000 messages"),
        ("", (0, False), (0, False), f"more than {PAGE} messages"),
        ("", (16, False), (200, True), "200 messages"),
        ("", (32_767, True), (5000, False), "32,767 messages"),
        ("date:2026-11-01", (1, False), (2, False), "4 messages"),
        ("kind:arf", (0, False), (0, True), "0 messages"),
        ("kind:arf", (0, False), (0, False), "too many to count in time"),
    ],
)
def test_no_more_is_said_than_was_counted(
    me: Visitor,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    over_time: tuple[int, bool],
    by_value: tuple[int, bool],
    said: str,
) -> None:
    """What came to an end of it knows how many there are; all else only knows that there are more."""
    found, complete = over_time
    histogram = Histogram(NOVEMBER, NOVEMBER + DAY, DAY, [found], found, complete, NOVEMBER)
    monkeypatch.setattr(Library, "histogram", lambda *_, **__: histogram)
    monkeypatch.setattr(Library, "facets", lambda *_, **__: Facets(*by_value, {"tag": [("web", 1)]}))
    page = me.get("/messages", params={"q": query}).text
    shown = re.search(r'<p class="count">(.*?)</p>', page, re.DOTALL)
    assert shown and words(shown[1]) == said
    assert ("Counted over the newest" in page) is not by_value[1]


def test_counts_that_take_too_long_are_left_out(me: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(library: Library, query: Query, **limits: object) -> None:
        raise TooSlow("this takes too long")

    monkeypatch.setattr(Library, "facets", slow)
    monkeypatch.setattr(Library, "histogram", slow)
    page = me.get("/messages")
    assert page.status_code == 200
    assert len(ids(page.text)) == PAGE
    assert words(page.text).count("too long and was left out") == 2


def test_a_list_that_takes_too_long_says_so(me: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(library: Library, *rest: object) -> None:
        raise TooSlow("this takes too long; ask for less")

    me.get("/messages")  # which domains are ours is known for a minute
    monkeypatch.setattr(Library, "find", slow)
    page = me.get("/messages?q=offer")
    assert page.status_code == 200
    assert "This takes too long; ask for less." in words(page.text)
    assert me.get("/messages?q=offer&part=rows").status_code == 503


# Lines


def line_of(page: str, job: Job) -> str:
    """The HTML of a message's line."""
    found = re.search(rf'<li class="msg" data-row id="m{job.id}">.*?</li>', page, re.DOTALL)
    assert found
    return found[0]


def test_a_line_says_who_what_and_from_where(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    sent = noted(5, "0000000000f7", 41, message=mixed_message(1), mail_from="bounce@c.example")
    fill(config, [noted(4, "0000000000f7", 40), sent])
    line = line_of(me.get("/messages").text, sent)
    said = words(line)
    assert "Überweisung" in said
    assert "Jörg" in said and "j@b.example" in said
    assert "via bounce@c.example" in said
    assert "\N{MULTIPLICATION SIGN}41" in said
    assert "00:00:05" in said
    assert "attached" in said
    links = {query_of(link) for link in re.findall(r'href="(/messages\?[^"]+)"', line)}
    assert {"ip:192.0.2.7", "cidr:192.0.2.0/24"} <= links
    assert 'href="/campaigns/0000000000f7"' in line


def test_the_null_sender_is_told(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    bare = b"Subject: hi\r\n\r\n\r\n"
    sent = [job(1, mail_from=""), job(2, mail_from="", message=bare), job(3, message=bare)]
    fill(config, sent)
    page = me.get("/messages").text
    assert "via <>" in words(line_of(page, sent[0]))
    assert "<>" in words(line_of(page, sent[1]))
    assert "bounce@a.example" in words(line_of(page, sent[2]))


def test_without_a_subject(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    sent = job(1, message=b"From: joe@a.example\r\n\r\nhi\r\n")
    fill(config, [sent])
    assert "no subject" in line_of(me.get("/messages").text, sent)


HOSTILE = [
    EVIL,
    "=?utf-8?q?=3Cscript=3Ealert(1)=3C/script=3E?=",
    "=?utf-8?q?one=0D=0ASet-Cookie:_a=3Db?=",
    "\u202egnp.exe \u2066x \u200fy",
    "e\u0301" + "\u0300" * 200,
    "W" * 1000,
    "=?utf-8?b?gICA?= \udcff\udcfe",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_message_gets_out_of_its_line(alone: tuple[Visitor, Config], text: str) -> None:
    me, config = alone
    sent = noted(
        1,
        EVIL,
        2,
        message=subject(text).replace(b"Joe <joe@a.example>", f'"{EVIL}" <{EVIL}@a.example>'.encode()),
        mail_from=EVIL,
        helo=EVIL,
        client_ip=EVIL,
        rcpts=[Rcpt(address=EVIL, tag=EVIL)],
    )
    fill(config, [noted(0, EVIL, 1), sent])
    answer = me.get("/messages")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text and "<b>" not in line_of(answer.text, sent)
    assert "set-cookie: a" not in str(answer.headers).lower()
    assert "\u202e" not in answer.text
    assert "49" not in words(line_of(answer.text, sent)).split()
    for address in re.findall(r'href="([^"]*)"', answer.text):
        assert address.startswith(("/", "#"))
    for only, but, count in facets(answer.text):
        assert me.get(only).status_code == 200
        assert number_found(me.get(only).text) == count
        assert me.get(but).status_code == 200
    campaign = re.search(r'href="(/campaigns/[^"]+)"', answer.text)
    assert campaign and me.get(campaign[1]).status_code == 200


def test_a_query_is_shown_and_does_nothing(me: Visitor) -> None:
    for query in (EVIL, f"form:{EVIL}", f'"{EVIL}', f"tag:{EVIL} offer"):
        page = me.get("/messages", params={"q": query}).text
        assert "<script>alert" not in page


# Identities


def test_recipients_and_hosts_are_masked(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    sent = job(
        1,
        message=f"From: {TRAP}\r\nSubject: {TRAP}, or Pristine.Trap.17: mx7.canary.example\r\n\r\n".encode(),
        mail_from=f"bounce+{TRAP.replace('@', '=')}@a.example",
        rcpts=[Rcpt(address=TRAP)],
    )
    fill(config, [sent, job(2)])
    page = me.get("/messages").text
    assert "canary" not in page and "pristine.trap.17" not in page.lower()
    assert "•••" in line_of(page, sent)
    assert "Joe Sender" in page

    assert me.act("/identities", show="1").status_code == 303
    page = me.get("/messages").text
    assert TRAP in words(line_of(page, sent))
    assert "identities=true" in page


def test_what_is_exported_needs_shown_identities(me: Visitor) -> None:
    page = me.get("/messages?q=offer").text
    assert "Export: show identities first" in page
    assert "/api/v1/export" not in page


def test_names_of_senders() -> None:
    assert sender_of("") == ("", "")
    assert sender_of("Joe <joe@a.example>") == ("Joe", "joe@a.example")
    assert sender_of("a <b> <c@d.example>") == ("a <b>", "c@d.example")
    assert sender_of(">") == ("", "")
