"""Other sites in the same browser: they reach the web interface by no name of theirs, and change nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from browserkit import REBOUND, Elsewhere
from menagerie import House
from playwright.sync_api import BrowserContext, Page
from webkit import served

from trap.acts import NAME
from trap.jobs import page as jobs_of
from trap.queue import Spool
from trap.web import passwords

FETCH = """
const form = document.forms[0], body = new URLSearchParams(new FormData(form));
fetch(form.action, {method: "POST", mode: "no-cors", credentials: "include", body});"""
ABROAD = ("//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)")


def waiting(house: House) -> int:
    spool = Spool.open(house.config)
    try:
        return jobs_of(spool, house.queue, 10).total
    finally:
        spool.close()
        spool.log.close()


def acts(house: House) -> str:
    path = house.config.paths.state / NAME
    return path.read_text() if path.exists() else ""


def test_a_name_that_points_at_us_is_not_ours(context: BrowserContext, house: House) -> None:
    """DNS rebinding: the page of somebody else is then of the same origin as ours would be."""
    port = house.address.rpartition(":")[2]
    page = context.new_page()
    for path in ("/", "/messages", "/api/v1/messages", "/metrics", "/static/app.js"):
        answer = page.goto(f"http://{REBOUND}:{port}{path}")
        assert answer
        assert answer.status == 421, path
        assert "not one of ours" in page.content()


@pytest.mark.parametrize("way", ["/inner", "/frame", "/fetch"])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/identities", {"show": "1", "next": "/"}),
        ("/queues/{queue}/purge", {"before": "9999999999", "keep": "0"}),
        ("/queues/bad/requeue", {"all": "1"}),
        ("/logout", {}),
    ],
)
def test_a_page_of_another_origin_changes_nothing(
    context: BrowserContext, house: House, bench: Elsewhere, way: str, path: str, fields: dict[str, str]
) -> None:
    """Same machine, other port: the same site, so that even strict cookies come along."""
    page = context.new_page()
    page.goto(f"{house.address}/queues")
    token = page.locator("[name=csrf]").first.get_attribute("value")
    before = waiting(house), acts(house)
    target = house.address + path.format(queue=house.queue)
    hidden = [f'<input name="{key}" value="{value}">' for key, value in {**fields, "csrf": token}.items()]
    form = f'<form method=post action="{target}">{"".join(hidden)}</form>'
    bench.pages["/inner"] = {}, f"{form}<script>document.forms[0].submit()</script>"
    bench.pages["/frame"] = {}, "<iframe src=/inner></iframe>"
    bench.pages["/fetch"] = {}, f"{form}<script>{FETCH}</script>"
    answers: list[object] = []
    page.on("response", lambda got: answers.append(got.status) if got.url == target else None)
    page.on("requestfailed", lambda asked: answers.append("blocked") if asked.url == target else None)
    page.goto(bench.address + way)
    for _ in range(100):
        if answers:
            break
        page.wait_for_timeout(50)
    assert answers[:1] == ["blocked" if way == "/fetch" else 403]
    assert (waiting(house), acts(house)) == before


def test_a_form_of_ours_needs_its_token(context: BrowserContext, house: House) -> None:
    page = context.new_page()
    before = acts(house)
    for change in ("each.value = 'guessed'", "each.remove()"):
        page.goto(f"{house.address}/queues")
        page.evaluate(f"document.querySelectorAll('[name=csrf]').forEach(each => {{ {change} }})")
        with page.expect_navigation() as waited:
            page.click("text=identities masked")
        assert waited.value.status == 403
        assert "reload the page" in page.content()
    assert acts(house) == before


def test_with_its_token_it_works_and_is_remembered(context: BrowserContext, house: House) -> None:
    page = context.new_page()
    page.goto(f"{house.address}/queues")
    page.click("text=identities masked")
    page.wait_for_selector("text=identities shown")
    assert "identities shown" in acts(house)


class Locked(NamedTuple):
    """A trap with a user: ada, whose password is "correct horse"."""

    address: str
    state: Path


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    directory = tmp_path_factory.mktemp("locked")
    user = f"ada: '{passwords.hashed('correct horse')}'"
    (directory / "spamtrap.yaml").write_text(f"web: {{users: {{{user}}}}}\n")
    with served(directory) as address:
        yield Locked(address, directory / "state")


def log_in(page: Page, password: str) -> None:
    page.fill("[name=name]", "ada")
    page.fill("[name=password]", password)
    page.click("button:has-text('Log in')")


def test_nothing_is_shown_before_somebody_logged_in(context: BrowserContext, locked: Locked) -> None:
    page = context.new_page()
    page.goto(f"{locked.address}/queues?x=1")
    assert page.url == f"{locked.address}/login?next=/queues%3Fx%3D1"
    assert page.locator("nav").count() == 0
    log_in(page, "wrong")
    assert page.locator("[role=alert]").inner_text() == "Name or password is wrong."
    assert context.request.get(f"{locked.address}/api/v1/messages").status == 401
    log_in(page, "correct horse")
    assert page.url == f"{locked.address}/queues?x=1"
    page.click("text=Log out")
    page.goto(f"{locked.address}/queues")
    assert "/login" in page.url


def test_the_cookie_of_a_session_stays_with_us(context: BrowserContext, locked: Locked) -> None:
    page = context.new_page()
    page.goto(f"{locked.address}/login")
    planted = context.cookies()[0]["value"]
    log_in(page, "correct horse")
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert cookie["value"] != planted
    assert page.evaluate("document.cookie") == ""


@pytest.mark.parametrize("where", ABROAD)
def test_logging_in_leads_nowhere_else(context: BrowserContext, locked: Locked, where: str) -> None:
    page = context.new_page()
    page.goto(f"{locked.address}/login")
    page.evaluate("where => { document.querySelector('[name=next]').value = where }", where)
    log_in(page, "correct horse")
    assert page.url == f"{locked.address}/"
