"""query and search: what a person types, and what is found."""

import calendar
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from archived import DAY, NOVEMBER, job, mail, mixed_message
from hypothesis import given
from hypothesis import strategies as st

from trap.archive.index import Index
from trap.archive.query import QueryError, parse, period
from trap.archive.search import find
from trap.archive.store import Store
from trap.job import Job

NOW = NOVEMBER + 2 * DAY + 3600.0
"""2026-11-03, 01:00 UTC."""


@pytest.fixture
def library(directory: Path, indexed: Callable[[], Index]) -> Callable[[str], list[int]]:
    """Searches five messages, whose numbers it gives, newest first."""
    messages = {
        1: mail(1, "You won the prize", "Claim your lottery money at http://claim.b.example/now"),
        2: mail(2, "Café invoice", "Please pay the money, bank transfer only."),
        3: mixed_message(3),
        4: mail(4, "发票", "代开各地增值税发票 money"),
        5: b"not a header at all, just money\r\n",
    }
    envelopes: dict[int, dict[str, object]] = {
        1: {"client_ip": "192.0.2.1"},
        2: {"client_ip": "192.0.2.2", "mail_from": "ann@sender.example"},
        3: {"client_ip": "198.51.100.3", "mail_from": ""},
        4: {"client_ip": "2001:db8::4"},
        5: {"client_ip": ""},
    }
    jobs = []
    for number, message in messages.items():
        made = job(at=NOVEMBER + (number - 1) * DAY / 2, message=message, **envelopes[number])
        notes = {"dedup": {"campaign": f"{number % 2}"}}
        jobs.append(Job(made.id, made.envelope, notes, made.message))
    store = Store(directory)
    store.put(jobs[:2])
    store.seal()
    store.put(jobs[2:])
    store.close()
    index = indexed()
    numbers = {each.id: number for number, each in enumerate(jobs, 1)}

    def search(text: str) -> list[int]:
        return [numbers[row.id] for row in find(index, parse(text, NOW))]

    return search


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [5, 4, 3, 2, 1]),
        ("money", [5, 4, 2, 1]),
        ("MONEY bank", [2]),
        ('"bank transfer"', [2]),
        ('"transfer bank"', []),
        ("mon*", [5, 4, 2, 1]),
        ('"bank tran"*', [2]),
        ("cafe", [2]),
        ("CAFÉ", [2]),
        ("money -bank", [5, 4, 1]),
        ("-money", [3]),
        ("-money -Konto", []),
        ("subject:invoice", [2]),
        ("subject:money", []),
        ("body:money -subject:prize", [5, 4, 2]),
        ("Überweisung", [3]),
        ("prüfen", [3]),
        ("增值税", [4]),
        ("税值", []),
        ("from:joe@a.example", [4, 2, 1]),
        ("from:sender.example", [2]),
        ("from:jorg", [3]),
        ("from:<>", [3]),
        ("-from:<> -money", []),
        ("to:trap@trap.example", [5, 4, 3, 2, 1]),
        ("to:joe", []),
        ("attachment:invoice3.pdf", [3]),
        ("attachment:pdf", [3]),
        ("login.c.example", [3]),
        ("http://claim.b.example/now", [1]),
        ("ip:192.0.2.1", [1]),
        ("ip:192.0.2.0/24", [2, 1]),
        ("-ip:192.0.2.0/24", [5, 4, 3]),
        ("ip:2001:db8::/32", [4]),
        ("ip:0.0.0.0/0 money", [2, 1]),
        ("campaign:1", [5, 3, 1]),
        ("-campaign:1 money", [4, 2]),
        ("campaign:1 money", [5, 1]),
        ("ip:192.0.2.2 money", [2]),
        ("helo:mail.a.example", [5, 4, 3, 2, 1]),
        ("date:2026-11-01", [2, 1]),
        ("date:2026-11-01..2026-11-02", [4, 3, 2, 1]),
        ("date:2026-11-02..", [5, 4, 3]),
        ("date:..2026-11-01 money", [2, 1]),
        ("date:2026-11-01T12:00..", [5, 4, 3, 2]),
        ("date:2026-11", [5, 4, 3, 2, 1]),
        ("date:2025", []),
        ("date:today", [5]),
        ("date:yesterday money", [4]),
        ("date:2h", [5]),
        ("12:00", []),
    ],
)
def test_what_is_found(library: Callable[[str], list[int]], text: str, found: list[int]) -> None:
    assert library(text) == found


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("form:joe", "no field 'form:'; did you mean from:?"),
        ("re:hello", "no field 're:'"),
        ('"bank transfer', "quotation mark"),
        ("subject: prize", "needs a value"),
        ("date:soon", "'soon' is not a date"),
        ("date:2026-13", "not in the calendar"),
        ("date:2026-02-30", "not in the calendar"),
        ("date:9999", "not in the calendar"),
        ("date:9999-12..", "not in the calendar"),
        ("date:2026-01-01T25:00", "not a time of day"),
        ("date:..", "names no time"),
        ("date:2026-11-03..2026-11-01", "ends before it begins"),
        ("date:3d..7d", "ends before it begins"),
        ("-date:2026", "date:..A"),
        ("ip:300.1.1.1", "not an IP address"),
        ("ip:192.0.2.0/64", "not an IP address"),
        ("!!!", "no letter and no digit"),
        ("___", "no letter and no digit"),
        ("subject:_*", "no letter and no digit"),
        ("date:20261301", "not in the calendar"),
        ("date:10000", "'10000' is neither a date .* which unit"),
        ("date:202611", "which unit"),
        ("date:0", "which unit"),
        ("date:1.5..", "which unit"),
        ("x" * 5000, "longer than"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, error: str) -> None:
    with pytest.raises(QueryError, match=error) as raised:
        parse(text)
    assert "\n" not in str(raised.value)


def test_periods() -> None:
    november, december = NOVEMBER, calendar.timegm((2026, 12, 1, 0, 0, 0))
    assert period("2026-11", NOW) == (november, december)
    assert period("2026", NOW) == (
        calendar.timegm((2026, 1, 1, 0, 0, 0)),
        calendar.timegm((2027, 1, 1, 0, 0, 0)),
    )
    assert period("2026-11-01T10:30", NOW) == (november + 37800, november + 37860)
    assert period("2026-11-01T10:30:05Z", NOW) == (november + 37805, november + 37806)
    assert period("20261101", NOW) == period("2026-11-01", NOW)
    assert period("20261101..20261130", NOW) == (november, december)
    assert period("3d", NOW)[0] == NOW - 3 * DAY
    assert period("7d..3d", NOW) == (NOW - 7 * DAY, NOW - 3 * DAY)
    assert period("..3d", NOW) == (0, NOW - 3 * DAY)


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(['"', "-", "*", ":", "a", " ", "from:", "(", ")", "NEAR", "AND", "'", "^"])
    ).map("".join)
)
def test_no_query_can_break_the_search(text: str) -> None:
    """Whatever is typed is a query or one clear error; nothing reaches SQLite that it does not understand."""
    try:
        query = parse(text)
    except QueryError:
        return
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE w USING fts5 (subject, sender, recipient, attachment, origin, body)")
    for expression in (*query.words, *query.without, *query.hints):
        db.execute("SELECT * FROM w WHERE w MATCH ?", [f"({expression}) NOT ({expression})"]).fetchall()
    db.close()
