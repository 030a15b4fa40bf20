"""spamtrap reports: what was reported where, what is held, and what people decide."""

import os
from pathlib import Path

import pytest
from bookkit import LEAK, TEXT, TRAP, fill_books, states
from clikit import Run

from trap.config import Config, paths_below


@pytest.fixture
def made(home: Path) -> dict[str, str]:
    return fill_books(Config(paths=paths_below(home)))


def test_nothing_was_reported_yet(run: Run):
    assert run("reports", "ls").code == 0


def test_ls_lists_all_books(run: Run, made: dict[str, str]):
    shown = run("reports", "ls").out
    for word in ("abuse@isp.example", "rspamd", "250 2.0.0 queued", "550 no such user", "hash added"):
        assert word in shown
    rows = run("reports", "ls", "--json").rows
    assert {row["id"]: row["state"] for row in rows if row["reporter"] == "arf"} == {
        made[state]: state for state in ("gathering", "sent", "unsure", "failed", "held")
    }


def test_ls_narrows(run: Run, made: dict[str, str]):
    def ids(*words: str) -> set[str]:
        return {row["id"] for row in run("reports", "ls", "--json", *words).rows}

    assert ids("--state", "sent") == {made["sent"], made["told"]}
    assert ids("--state", "sent", "--reporter", "arf") == {made["sent"]}
    assert ids("--campaign", "campaign-sent") == {made["sent"], made["told"]}
    assert ids("--to", "rspamd") == {made["told"]}
    unknown = run("reports", "ls", "--reporter", "afr")
    assert (unknown.code, "arf, fuzzy" in unknown.err) == (os.EX_NOINPUT, True)


def test_show_tells_the_text_as_it_was_sent(run: Run, made: dict[str, str]):
    assert run("reports", "show", made["sent"], "--raw").out.encode() == TEXT
    shown = run("reports", "show", made["sent"][:8]).out
    assert "spam from 192.0.2.7" in shown
    assert "\x1b" not in shown
    assert run("reports", "show", made["sent"], "--json").json["text"].startswith("Subject: a report")
    assert "check sums" in run("reports", "show", made["told"]).out


def test_what_is_held_is_shown_with_the_evidence(run: Run, made: dict[str, str]):
    (row,) = run("reports", "held", "--json").rows
    assert row["evidence"] == [
        {"where": "text/plain", "kind": "plain", "name": TRAP, "excerpt": f"spam for {TRAP}"}
    ]
    assert "the gate found plain" in run("reports", "held").out
    shown = run("reports", "show", made["held"])
    assert "spam for joe@trap.example" in shown.out
    assert run("reports", "show", made["held"], "--raw").out.encode() == LEAK


def test_release_lets_go(run: Run, home: Path, made: dict[str, str]):
    ids = [made[state] for state in ("held", "unsure", "failed")]
    assert run("reports", "release", *ids).code == 0
    assert {states(home)[report] for report in ids} == {"gathering"}
    again = run("reports", "release", made["sent"])
    assert (again.code, "nothing to release" in again.err) == (os.EX_DATAERR, True)


def test_retract_stops_what_was_not_sent(run: Run, home: Path, made: dict[str, str]):
    assert "will not be sent" in run("reports", "retract", made["gathering"], made["held"]).out
    assert states(home)[made["gathering"]] == states(home)[made["held"]] == "retracted"


def test_retract_says_what_can_not_be_taken_back(run: Run, home: Path, made: dict[str, str]):
    result = run("reports", "retract", made["sent"])
    assert (result.code, "can't be taken back" in result.err) == (os.EX_UNAVAILABLE, True)
    assert states(home)[made["sent"]] == "sent"


@pytest.mark.parametrize("name", ["", "ffff", "*"])
def test_a_report_that_is_not_there(run: Run, made: dict[str, str], name: str):
    result = run("reports", "show", name)
    assert (result.code, "spamtrap reports ls" in result.err) == (os.EX_NOINPUT, True)
