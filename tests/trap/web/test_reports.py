"""The pages of what left the trap: the text as sent, what is held, release and retract."""

from pathlib import Path

import pytest
from bookkit import TRAP, fill_books, states
from webkit import Visitor, config_at, visitor

from trap.config import Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_at(tmp_path)


@pytest.fixture
def made(config: Config) -> dict[str, str]:
    return fill_books(config)


@pytest.fixture
def me(config: Config):
    with visitor(config) as made:
        yield made


def test_without_a_reporter_it_says_how_to_begin(me: Visitor):
    assert "spamtrap try arf" in me.get("/reports").text


def test_the_list_tells_what_went_where(me: Visitor, made: dict[str, str]):
    page = me.get("/reports").text
    for word in ("abuse@isp.example", "250 2.0.0 queued", "550 no such user", "hash added"):
        assert word in page
    assert "hash added" not in me.get("/reports?reporter=arf").text
    only = me.get("/reports?state=failed").text
    assert ("550 no such user" in only, "250 2.0.0" in only) == (True, False)
    assert "No such report" in me.get("/reports?campaign=none").text


def test_a_report_shows_its_text_as_sent(me: Visitor, made: dict[str, str]):
    page = me.get(f"/reports/{made['sent']}").text
    assert "spam from 192.0.2.7" in page
    assert "\x1b" not in page
    assert "check sums" in me.get(f"/reports/{made['told']}").text
    assert me.get("/reports/ffff").status_code == 404


def test_what_is_held_names_the_trap_to_those_who_asked_for_it(me: Visitor, made: dict[str, str]):
    page = me.get(f"/reports/{made['held']}").text
    assert TRAP not in page
    assert "the gate found plain" in page
    me.act("/identities", page=f"/reports/{made['held']}", show="1")
    assert page != (page := me.get(f"/reports/{made['held']}").text)
    assert page.count(TRAP) >= 3  # the text, the name, and where it stood


def test_somebody_releases_it(me: Visitor, config: Config, made: dict[str, str]):
    page = f"/reports/{made['held']}"
    assert me.act(f"{page}/release", page=page).status_code == 303
    assert "will be sent" in me.get(page).text
    assert states(config.paths.state.parent)[made["held"]] == "gathering"
    assert "report released" in next(config.paths.state.glob("acts*")).read_text()


def test_somebody_stops_it(me: Visitor, config: Config, made: dict[str, str]):
    page = f"/reports/{made['gathering']}"
    me.act(f"{page}/retract", page=page)
    assert "will not be sent" in me.get(page).text
    assert states(config.paths.state.parent)[made["gathering"]] == "retracted"


def test_what_can_not_be_taken_back_has_no_button(me: Visitor, made: dict[str, str]):
    page = f"/reports/{made['sent']}"
    assert "Take back" not in me.get(page).text
    assert me.act(f"{page}/retract", page=page).status_code == 409


def test_what_waits_for_a_person_stands_on_the_first_page(me: Visitor, config: Config, made: dict[str, str]):
    page = me.get("/").text
    assert "1 report is held back" in page
    assert "1 report is perhaps not arrived" in page
