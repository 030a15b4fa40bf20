"""What keeps hostile HTML from doing harm, a sanitizer and a policy with a sandbox: each wall is tried alone.

First the specimens of tests/zoo.py do on an unguarded page what they say they do: so a page on which
nothing happens is one that is safe.
"""

import re
from collections.abc import Iterator

import pytest
import zoo
from browserkit import CLICK, SETTLED, Elsewhere, Witness, chromium, clicked, elsewhere
from playwright.sync_api import Browser, BrowserContext, Page

from trap.view.markup import document
from trap.web.guard import PAGE_POLICY
from trap.web.message import FRAME_POLICY


@pytest.fixture
def outside() -> Iterator[Elsewhere]:
    """Of each test: a line that one has opened says nothing about another."""
    with elsewhere() as made:
        yield made


@pytest.fixture
def browser(outside: Elsewhere) -> Iterator[Browser]:
    with chromium(outside) as made:
        yield made


def together(bench: Elsewhere, page: Page, frames: list[str], **headers: str) -> None:
    """Show documents in frames of one page of the test, and click on all that is in them."""
    bench.pages["/"] = (headers, "<!doctype html><title>zoo</title>" + "".join(frames))
    page.goto(bench.address)
    clicked(page)


def test_on_an_unguarded_page_they_do_what_they_say(
    context: BrowserContext, bench: Elsewhere, outside: Elsewhere
) -> None:
    witness = Witness(context, bench.address)
    page = context.new_page()
    for each in zoo.ZOO:
        bench.pages[f"/{each.name}"] = {}, "<!doctype html>" + each.html(outside.port)
    together(bench, page, [f"<iframe src=/{each.name}></iframe>" for each in zoo.ZOO if not each.alone])
    for each in zoo.ZOO:
        if each.alone:
            page.goto(f"{bench.address}/{each.name}")
            page.evaluate(CLICK)
            page.wait_for_timeout(100)
    wanted = {(each.does, each.name) for each in zoo.ZOO if each.does != zoo.DEAD}
    for _ in range(200):
        seen = {(zoo.RUNS, name) for name in witness.ran} | {(zoo.ASKS, name) for name in outside.names()}
        if wanted <= seen:
            break
        page.wait_for_timeout(100)
    assert len(wanted - seen) <= len(wanted) / 10, wanted - seen  # browsers learn, and tricks grow old


def test_the_sanitizer_alone_stops_all(context: BrowserContext, bench: Elsewhere, outside: Elsewhere) -> None:
    witness, page = Witness(context, bench.address), context.new_page()
    for each in zoo.ZOO:
        clean = document(each.html(outside.port), {})
        bench.pages[f"/{each.name}"] = {}, re.sub(r"<meta http-equiv[^>]*>", "", clean)
    together(bench, page, [f"<iframe src=/{each.name}></iframe>" for each in zoo.ZOO])
    page.wait_for_timeout(SETTLED)
    assert (witness.ran, witness.did, outside.asked, page.title()) == ([], [], [], "zoo")


def test_policy_and_sandbox_alone_stop_all(
    context: BrowserContext, bench: Elsewhere, outside: Elsewhere
) -> None:
    witness, page = Witness(context, bench.address), context.new_page()
    for each in zoo.ZOO:
        bench.pages[f"/{each.name}"] = {"Content-Security-Policy": FRAME_POLICY}, each.html(outside.port)
    frames = [f"<iframe sandbox src=/{each.name}></iframe>" for each in zoo.ZOO]
    together(bench, page, frames, **{"Content-Security-Policy": PAGE_POLICY})
    page.wait_for_timeout(SETTLED)
    # No policy reaches what only connects, as a click does before the policy is asked: the sanitizer does.
    assert outside.names() <= {"preconnect", "link-tls"}
    assert (witness.ran, page.title(), page.url) == ([], "zoo", f"{bench.address}/")
