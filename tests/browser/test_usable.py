"""Anybody can use the pages: axe-core finds nothing serious, light or dark, wide or narrow; keys work."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from browserkit import Elsewhere
from menagerie import CAMPAIGN, House
from playwright.sync_api import BrowserContext, Page
from webkit import served

SERIOUS = {"serious", "critical"}
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FIND = """() => axe.run({iframes: false, resultTypes: ["violations"]}).then(found => found.violations.map(
  each => [each.impact, each.id, each.nodes.map(node => node.html.slice(0, 200))]))"""
PAGES = {
    "now": "/",
    "messages": "/messages",
    "nothing found": "/messages?q=nothingatall",
    "a wrong query": "/messages?q=(",
    **{show: "/messages/{0.plain}?show=" + show for show in ("text", "html", "headers", "session")},
    **{show: "/messages/{0.plain}?show=" + show for show in ("parts", "urls", "raw")},
    "hostile": "/messages/{0.all_in_one[1]}",
    "diff": "/messages/{0.all_in_one[1]}/diff/{0.all_in_one[0]}",
    "campaigns": "/campaigns",
    "campaign": f"/campaigns/{CAMPAIGN}",
    "queues": "/queues",
    "queue": "/queues/{0.queue}",
    "bad": "/queues/bad",
    "job": "/queues/bad/{0.bad}",
    "purge": "/queues/bad/purge",
    "reports": "/reports",
    "a report": "/reports/{0.reports[sent]}",
    "a report that is held": "/reports/{0.reports[held]}",
    "login": "/login",
    "nothing here": "/nowhere",
}


def violations(page: Page) -> list[tuple[str, ...]]:
    """What axe-core finds on a page, light and wide, dark and narrow; and what is wider than the window.

    The other two were tried once; they have the same colours and the same layouts.
    """
    page.evaluate(AXE_SCRIPT)
    found = []
    for colours, size in (("light", WIDE), ("dark", NARROW)):
        page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        found += [(colours, *each) for each in page.evaluate(FIND) if each[0] in SERIOUS]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append((colours, "it is wider than the window"))
    return found


def test_that_something_would_be_found(context: BrowserContext, bench: Elsewhere) -> None:
    bench.pages["/poor"] = {}, "<style>p{color:#ccc;width:2000px}</style><p>pale <img src=x:><input>"
    page = context.new_page()
    page.goto(f"{bench.address}/poor")
    assert {each[1] for each in violations(page)} >= {"serious", "critical", "it is wider than the window"}


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_nothing_stands_in_anybodys_way(context: BrowserContext, house: House, path: str) -> None:
    page = context.new_page()
    page.goto(house.address + path.format(house))
    assert violations(page) == []


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a trap that never had mail."""
    with served(tmp_path_factory.mktemp("empty")) as address:
        yield address


@pytest.mark.parametrize("path", ["/", "/messages", "/campaigns", "/queues", "/queues/bad", "/reports"])
def test_nor_where_there_is_no_mail_yet(context: BrowserContext, empty: str, path: str) -> None:
    page = context.new_page()
    answer = page.goto(empty + path)
    assert answer
    assert answer.status == 200
    assert violations(page) == []


def test_the_keys_of_a_list_and_of_a_message(context: BrowserContext, house: House) -> None:
    """As the foot of each page says."""
    page = context.new_page()
    page.goto(f"{house.address}/messages")
    rows = [page.locator("[data-row] a.subject").nth(number).get_attribute("href") for number in range(3)]
    for key in "jjjk":
        page.keyboard.press(key)
    assert page.locator("[data-row].at").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_url(house.address + str(rows[1]))
    page.keyboard.press("n")
    page.wait_for_url(house.address + str(rows[2]))
    page.keyboard.press("p")
    page.wait_for_url(house.address + str(rows[1]))
    page.keyboard.press("u")
    page.wait_for_url(re.compile(r"/messages\?before=\w+#m"))
    assert page.locator("[data-row].at a.subject").get_attribute("href") == rows[1]
    page.keyboard.press("/")
    page.keyboard.type("subject:script jk")
    page.keyboard.press("Enter")
    page.wait_for_url("**/messages?q=subject%3Ascript+jk")


def test_without_scripts_all_is_reached_by_links(context: BrowserContext, house: House) -> None:
    made = context.browser
    assert made
    plain = made.new_context(java_script_enabled=False)
    page = plain.new_page()
    page.goto(f"{house.address}/messages")
    page.click("[rel=next]")
    assert "before=" in page.url
    page.locator("[data-row] a.subject").first.click()
    page.click("text=Source")
    assert page.locator(".source").is_visible()
    page.click("[data-up]")
    assert "/messages" in page.url
    plain.close()
