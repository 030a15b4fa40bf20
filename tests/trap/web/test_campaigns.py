"""Campaigns: the list, and what the page of one says of its copies."""

import html
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from archived import NOVEMBER, job
from support import SOON, eventually
from webkit import Visitor, config_at, fill, visitor

from trap.config import Config
from trap.envelope import Rcpt
from trap.job import Job
from trap.view.view import View
from trap.view.viewer import Viewer
from trap.web.campaigns import PAGE

EVIL = "<script>alert(1)</script>/../\"'><b>"
TRAP = "pristine.trap.17@canary.example"
HOUR = 3600.0


def copy(campaign: str, number: int, count: int = 0, subject: str = "", **envelope: object) -> Job:
    """A copy of a campaign's message."""
    message = (
        f"From: Joe <joe{number}@a.example>\r\nSubject: {subject or campaign}\r\nX-Mailer: bulk 1.0\r\n"
        f"Message-ID: <{number}@a.example>\r\n\r\n"
        f"Dear customer {number},\r\nclick http://land{number % 2}.example/{number} now.\r\nBye\r\n"
    ).encode()
    made = job(number, message=message, **envelope)  # type: ignore[arg-type]
    made.notes = {"dedup": {"campaign": campaign, "count": count or number + 1}}
    return made


def archive() -> list[Job]:
    """A large campaign over some hours, a hostile one, and one that ended long ago."""
    large = [
        copy("large", n, 10 * n + 10, at=NOVEMBER + n * HOUR, client_ip=f"192.0.{n % 3}.7") for n in range(9)
    ]
    evil = [
        copy(EVIL, 100 + n, n + 1, f"{EVIL} for {TRAP}", helo=EVIL, rcpts=[Rcpt(address=TRAP, tag=EVIL)])
        for n in range(3)
    ]
    old = [copy("old", 200 + n, n + 1, at=NOVEMBER - 99 * HOUR) for n in range(2)]
    return [*old, *large, *evil]


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    config = config_at(tmp_path_factory.mktemp("trap"))
    fill(config, archive())
    with visitor(config) as made:
        yield made


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Visitor, Config]]:
    """A visitor of an archive that a test fills itself."""
    config = config_at(tmp_path)
    with visitor(config) as made:
        yield made, config


def words(page: str) -> str:
    """What people read of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def listed(page: str) -> list[str]:
    """Addresses of the campaigns on a page."""
    return re.findall(r'class="subject cut" href="(/campaigns/[^"]+)"', page)


def next_of(page: str) -> str:
    """Where the link to more leads; empty when there is none."""
    found = re.search(r'<a rel="next" href="([^"]+)"', page)
    return html.unescape(found[1]) if found else ""


# The list


@pytest.mark.parametrize(
    ("order", "first", "last"),
    [("size", "large", "old"), ("last", "large", "old"), ("first", "script", "old")],
)
def test_order(me: Visitor, order: str, first: str, last: str) -> None:
    found = listed(me.get(f"/campaigns?order={order}").text)
    assert len(found) == 3
    assert first in found[0]
    assert order != "last" or last in found[-1]


def test_an_unknown_order_is_by_size(me: Visitor) -> None:
    assert listed(me.get("/campaigns?order=name;").text) == listed(me.get("/campaigns").text)


def test_a_line_says_how_many_and_from_where(me: Visitor) -> None:
    eventually(lambda: "to land0[.]example" in words(me.get("/campaigns").text))
    said = words(me.get("/campaigns").text)
    assert "90 copies 9 archived" in said
    assert "from 3 networks" in said
    assert "2026-11-01 00:00 to 2026-11-01 08:00" in said


def test_where_campaigns_lead_to_holds_up_no_page(alone: tuple[Visitor, Config]) -> None:
    """A message that took its parser seconds is for a child to read, and is left out meanwhile."""
    me, config = alone
    bombs = [copy(f"bomb{n // 2}", n, n + 1) for n in range(12)]
    for n, bomb in enumerate(bombs):
        bomb.message = b"Subject: " + b"=?utf-8?q?a?= " * (65_000 + n // 2) + b"\r\n\r\nhttp://a.example/"
    fill(config, [*bombs, copy("plain", 100), copy("plain", 101)])
    me.get("/messages")
    for _ in range(3):
        began = time.monotonic()
        assert len(listed(me.get("/campaigns?order=last").text)) == 7
        assert time.monotonic() - began < SOON
    eventually(lambda: "to land1[.]example" in words(me.get("/campaigns").text), 20, "the host")


def test_a_landing_that_names_us_is_masked(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    ours = [copy("ours", n, n + 1, rcpts=[Rcpt(address="x@land1.example")]) for n in (1, 3)]
    fill(config, [*ours, copy("other", 4), copy("other", 6)])
    eventually(lambda: "to land0[.]example" in words(me.get("/campaigns").text))
    eventually(lambda: "to •••" in words(me.get("/campaigns").text))
    assert "land1" not in me.get("/campaigns").text


def test_paging_gives_each_once(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    number = 2 * PAGE + 3
    fill(config, [copy(f"c{n:03}", 2 * n + twice, 1 + twice) for n in range(number) for twice in range(2)])
    for order in ("size", "last", "first"):
        page = me.get(f"/campaigns?order={order}").text
        found = listed(page)
        assert "To the first" not in page
        while more := next_of(page):
            assert listed(me.get(more + "&part=rows").text) == listed(me.get(more).text)
            page = me.get(more).text
            found += listed(page)
        assert "To the first" in page
        assert len(found) == len(set(found)) == number


def test_without_campaigns(alone: tuple[Visitor, Config]) -> None:
    me, config = alone
    fill(config, [job(1)])
    assert "No campaigns yet" in me.get("/campaigns").text
    assert "The list ends here" in me.get("/campaigns?before=gone").text


# One of them


def test_a_campaign_says_what_it_is(me: Visitor) -> None:
    page = me.get("/campaigns/large")
    assert page.status_code == 200
    said = words(page.text)
    assert "90 copies seen 9 archived" in said
    assert "11-01 00:00 first seen" in said and "11-01 08:00 last seen" in said
    assert "land0[.]example" in said and "land1[.]example" in said
    for network in ("192.0.0.0/24", "192.0.1.0/24", "192.0.2.0/24"):
        assert network in said
    assert page.text.count('<li class="msg"') == 9


def test_bars_add_up_to_the_copies(me: Visitor) -> None:
    page = me.get("/campaigns/large").text
    bars = re.findall(r'<a href="([^"]+)" tabindex="-1"><title>[^<]*: ([\d,]+)</title>', page)
    assert sum(int(count.replace(",", "")) for _, count in bars) == 90
    assert "campaign%3Alarge" in bars[-1][0] and "date%3A2026-11-01T08" in bars[-1][0]


def test_what_varies_between_copies(me: Visitor) -> None:
    page = me.get("/campaigns/large").text
    said = words(page)
    assert "8 of 9 compared" in said
    assert "Message-ID 8 values" in said
    assert re.search(r"header fields? alike in all.*X-Mailer bulk 1\.0", said)
    assert re.search(r"Dear customer <mark>\d,</mark>", page)
    assert "Bye" in said
    pairs = re.findall(r"/messages/(\w{24})/diff/(\w{24})", page)
    assert len(pairs) == 7 and len({left for left, _ in pairs}) == 1
    assert me.get("/messages/{}/diff/{}".format(*pairs[0])).status_code == 200


def test_copies_that_take_too_long_are_left_out(me: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(viewer: Viewer, record: object) -> View:
        return View(missing=["headers", "text"])

    monkeypatch.setattr(Viewer, "view", nothing)
    page = me.get("/campaigns/large")
    assert page.status_code == 200
    assert "The copies took too long to read." in page.text


def test_one_that_is_not_there(me: Visitor) -> None:
    for name in ("nothing", "../../etc/passwd", "%00", "a/b/c", "'", "x" * 3000):
        assert me.get(f"/campaigns/{name}").status_code == 404


def test_hostile_names_and_copies(me: Visitor) -> None:
    for page in ("/campaigns", next(each for each in listed(me.get("/campaigns").text) if "script" in each)):
        answer = me.get(page)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "canary" not in answer.text and "pristine.trap" not in answer.text
        for address in re.findall(r'href="([^"]*)"', answer.text):
            assert address.startswith(("/", "#"))


def test_identities_are_shown_on_demand(me: Visitor) -> None:
    me.act("/identities", show="1")
    try:
        assert TRAP in words(me.get("/campaigns").text)
    finally:
        me.act("/identities", show="0")
    assert TRAP not in words(me.get("/campaigns").text)
