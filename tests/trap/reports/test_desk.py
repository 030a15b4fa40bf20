"""All books at once, for people."""

from pathlib import Path

import pytest
from bookkit import LEAK, TEXT, fill_books

from trap.config import Config, paths_below
from trap.place import DIRECTORY
from trap.reports import Book
from trap.reports.desk import Desk
from trap.reports.held import Evidence


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(paths=paths_below(tmp_path))


def test_a_damaged_book_hides_no_other(config: Config) -> None:
    made = fill_books(config)
    broken = config.paths.state / DIRECTORY / "xarf.db"
    broken.write_bytes(b"no database at all, but long enough to look like one" * 50)
    desk = Desk(config)
    counts, trouble = desk.counts()
    assert (sorted(counts), list(trouble)) == (["arf", "fuzzy"], ["xarf"])
    assert str(broken) in trouble["xarf"]
    assert len(desk.entries()) == len(made)
    assert desk.entry(made["sent"]).reporter == "arf"


def test_what_is_not_held_any_more_shows_no_evidence(config: Config) -> None:
    """Evidence that was left behind names the trap, and pages show what is not held to everybody."""
    made = fill_books(config)
    desk = Desk(config)
    book = Book(config.paths.state / DIRECTORY, "arf")
    for state in ("sent", "gathering"):
        book.held.put(made[state], [Evidence("body", "plain", "joe@trap.example", "joe")], LEAK)
    book.close()
    assert desk.text(desk.entry(made["held"])) == LEAK
    assert (desk.text(desk.entry(made["sent"])), desk.evidence(desk.entry(made["sent"]))) == (TEXT, [])
    assert desk.text(desk.entry(made["gathering"])) == b""


def test_a_trap_that_reports_nothing_has_no_books(config: Config) -> None:
    assert Desk(config).counts() == ({}, {})
    assert Desk(config).entries() == []
