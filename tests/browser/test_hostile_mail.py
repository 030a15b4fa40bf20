"""Mail that attacks whoever reads it, shown on every page of the web interface in a real Chromium.

That there is something to be safe from, and that each wall holds alone, is shown in test_walls.py.
"""

import re
from urllib.parse import quote

import pytest
import zoo
from browserkit import SETTLED, Elsewhere, Witness, clicked
from menagerie import CAMPAIGN, House, drop
from playwright.sync_api import BrowserContext, Error, Page

from trap.web.message import FRAME_POLICY

TABS = ("text", "html", "headers", "session", "parts", "urls", "raw")


@pytest.fixture
def page(context: BrowserContext, house: House, outside: Elsewhere) -> Page:
    outside.asked.clear()
    return context.new_page()


@pytest.fixture
def witness(context: BrowserContext, house: House) -> Witness:
    return Witness(context, house.address)


def test_the_html_of_each_in_our_page_does_nothing(
    house: House, witness: Witness, page: Page, outside: Elsewhere
) -> None:
    """Without the sandbox that the page of a message has besides."""
    page.goto(f"{house.address}/queues")
    title = page.title()
    page.evaluate(
        """addresses => Promise.all(addresses.map(address => new Promise(loaded => {
             const frame = document.createElement('iframe');
             frame.onload = loaded; frame.src = address; document.body.append(frame);
           })))""",
        [f"/messages/{each}/html?images=1" for each in house.specimens.values()],
    )
    clicked(page)
    page.wait_for_timeout(SETTLED)
    origins = {frame.evaluate("self.origin") for frame in page.frames[1:]}
    assert origins == {"null"}
    assert len(page.frames) == 1 + len(zoo.ZOO)
    assert (witness.ran, witness.did, outside.asked, page.title()) == ([], [], [], title)


def seen_by_eyes(page: Page, address: str, status: int = 200) -> None:
    """Open a page of ours, and see that it is still the one that was opened."""
    answer = page.goto(address)
    assert answer
    assert (answer.status, page.url) == (status, address)
    assert page.locator("header.top .brand").is_visible()
    assert page.locator("script").count() == 1
    clicked(page)


def test_no_page_of_a_hostile_message_does_anything(
    house: House, witness: Witness, page: Page, outside: Elsewhere
) -> None:
    first, second = house.all_in_one
    for name in ("overlay", "huge", "close-frame", "base-target", "refresh", "clobber"):
        seen_by_eyes(page, f"{house.address}/messages/{house.specimens[name]}?show=html")
        assert page.locator("iframe").get_attribute("sandbox") == ""
    for show in TABS:
        seen_by_eyes(page, f"{house.address}/messages/{second}?show={show}")
    seen_by_eyes(page, f"{house.address}/messages/{second}/diff/{first}")
    page.wait_for_timeout(SETTLED)
    assert (witness.ran, witness.did, outside.asked) == ([], [], [])


@pytest.mark.parametrize("shown", [False, True], ids=["masked", "identities shown"])
def test_no_list_that_quotes_hostile_mail_does_anything(
    house: House, witness: Witness, page: Page, outside: Elsewhere, shown: bool
) -> None:
    page.goto(f"{house.address}/queues")
    if shown:
        page.click("text=identities masked")
        page.click(f"text={house.queue}")
    for path in (
        "/",
        "/messages",
        f"/messages?q=campaign:{CAMPAIGN}",
        "/campaigns",
        f"/campaigns/{CAMPAIGN}",
        "/queues",
        f"/queues/{house.queue}",
        f"/queues/{house.queue}/{house.waiting}",
        "/queues/bad",
        f"/queues/bad/{house.bad}",
        "/queues/bad/purge",
        "/reports",
        f"/reports/{house.reports['sent']}",
        f"/reports/{house.reports['held']}",
    ):
        seen_by_eyes(page, house.address + path)
    page.wait_for_timeout(SETTLED)
    assert (witness.ran, witness.did, outside.asked) == ([], [], [])


@pytest.mark.parametrize("said", zoo.SAYINGS, ids=range(len(zoo.SAYINGS)))
def test_no_hostile_address_does_anything(house: House, witness: Witness, page: Page, said: str) -> None:
    """A link that somebody sends to whoever uses the trap."""
    word = quote(said, safe="")
    for path in (
        f"/messages?q={word}",
        f"/messages?q=subject:%22{word}%22",
        f"/messages/{house.all_in_one[0]}?q={word}&show={word}&line={word}",
        f"/campaigns?order={word}",
        f"/login?next={word}",
        f"/queues/{word}",
    ):
        answer = page.goto(house.address + path)
        assert answer
        assert answer.status in {200, 400, 404}, path
        assert page.locator("script").count() == 1
    page.wait_for_timeout(100)
    assert (witness.ran, witness.did) == ([], [])


def test_a_message_can_not_dress_as_the_page(house: House, page: Page) -> None:
    """What is said in the frame stays in the frame, however large it wants to be."""
    for name in ("overlay", "overlay-sticky", "huge", "close-frame"):
        page.goto(f"{house.address}/messages/{house.specimens[name]}?show=html")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert page.evaluate("document.elementFromPoint(60, 25).closest('header.top') !== null"), name
        frame = page.frames[1]
        assert (
            frame.evaluate("getComputedStyle(document.body.firstElementChild || document.body).position")
            == "static"
        )


def test_the_frame_is_of_nobody_also_when_opened_alone(house: House, page: Page) -> None:
    address = f"{house.address}/messages/{house.specimens['script']}/html"
    answer = page.goto(address)
    assert answer
    assert answer.headers["content-security-policy"] == FRAME_POLICY
    assert page.evaluate("self.origin") == "null"
    page.goto(f"{house.address}/messages/{house.specimens['script']}?show=html")
    assert page.evaluate("document.querySelector('iframe').contentDocument") is None
    with pytest.raises(Error, match="cross-origin"):
        page.frames[1].evaluate("top.document.title")


def test_a_file_is_saved_and_never_shown(house: House, page: Page) -> None:
    """Also one that says it is a page or a picture with a script, by a name that leads elsewhere."""
    page.goto(f"{house.address}/messages/{house.all_in_one[0]}?show=parts")
    page.click("text=identities masked")
    page.wait_for_selector("text=identities shown")
    links = page.locator(".tree a[download]:text-is('save')")
    assert links.count() >= len(zoo.SAYINGS)
    for number in range(links.count()):
        before = page.url
        address = links.nth(number).get_attribute("href")
        with page.expect_download() as waited:
            page.evaluate("address => { location = address }", address)  # without the word `download`
        name = waited.value.suggested_filename
        assert re.fullmatch(r"[^/\\:*?\"<>|\x00-\x1f\u200b\u202e\u2066\u2028]{1,120}", name), name
        assert page.url == before


def test_what_comes_live_does_nothing(house: House, witness: Witness, page: Page, outside: Elsewhere) -> None:
    """The page "Now" puts news into itself: among them the reasons why mail was dropped."""
    page.goto(house.address)
    page.wait_for_selector(".live")
    reason = "<img src=x: onerror=console.log(/ran-live/)>"
    drop(house.config, house.queue, reason)
    page.locator("#drops").get_by_text(reason).wait_for()
    page.wait_for_timeout(SETTLED)
    assert (witness.ran, witness.did, outside.asked) == ([], [], [])
