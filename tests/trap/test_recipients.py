"""Which recipients are accepted, with which tag, and where their mail begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.config import Accept, Config, Route, Stage, Tagged
from trap.recipients import Accepted, Recipients


def recipients(routes: list[Route] | None = None, **accept: dict[str, str]) -> Recipients:
    tagged = {kind: {name: Tagged(tag=tag) for name, tag in names.items()} for kind, names in accept.items()}
    return Recipients(
        Config(
            accept=Accept(**tagged),
            route=routes or [],
            pipeline=["dedup", "archive"],
            stages={"ham": Stage(), "dedup": Stage(), "archive": Stage()},
        )
    )


def tag(known: Recipients, address: str) -> str | None:
    found = known.lookup(address, "mx")
    return found and found.tag


def test_an_empty_accept_takes_everything():
    known = recipients()
    for address in ("a@b.example", "postmaster", "Weird Address", "ü@ü.example", "\udcff@x"):
        assert known.lookup(address, "mx") == Accepted("", "dedup")


def test_a_domain_takes_its_addresses_in_any_case_but_not_its_subdomains():
    known = recipients(domains={"Trap.example": "pristine"})
    assert tag(known, "Anyone@TRAP.Example") == "pristine"
    assert tag(known, "anyone@trap.example.") == "pristine"
    assert tag(known, "anyone@sub.trap.example") is None
    assert tag(known, "anyone@nottrap.example") is None
    assert tag(known, "trap.example") is None


def test_a_leading_dot_takes_the_subdomains_too():
    known = recipients(domains={".trap.example": "typo", "a.trap.example": "pristine"})
    assert tag(known, "x@trap.example") == "typo"
    assert tag(known, "x@deep.down.trap.example") == "typo"
    assert tag(known, "x@a.trap.example") == "pristine"
    assert tag(known, "x@b.a.trap.example") == "typo"
    assert tag(known, "x@example") is None


def test_the_most_precise_word_wins():
    known = recipients(
        domains={"corp.example": "domain"},
        addresses={"old-*@corp.example": "glob", "Old-Bob@corp.example": "exact"},
        patterns={r"[a-z]+\.[a-z]+@corp\.example": "pattern"},
    )
    assert tag(known, "OLD-bob@corp.example") == "exact"
    assert tag(known, "old-ann@corp.example") == "glob"
    assert tag(known, "ann.smith@corp.example") == "pattern"
    assert tag(known, "ann@corp.example") == "domain"


def test_brackets_are_literal_in_addresses_with_wildcards():
    known = recipients(addresses={"a?@[192.0.2.*]": "literal"})
    assert tag(known, "ab@[192.0.2.7]") == "literal"
    assert tag(known, "ab@1") is None


def test_a_source_route_is_looked_through():
    known = recipients(domains={"trap.example": "t"})
    assert tag(known, "@relay.example,@other.example:x@trap.example") == "t"


def test_the_first_fitting_route_decides_the_queue():
    known = recipients(
        [
            Route(rcpt="ham@*", to="ham"),
            Route(listener="bounce*", to="archive"),
            Route(rcpt="late@*", listener="mx", to="archive"),
        ]
    )
    assert known.lookup("HAM@x.example", "bounces").queue == "ham"
    assert known.lookup("a@x.example", "bounces").queue == "archive"
    assert known.lookup("late@x.example", "mx").queue == "archive"
    assert known.lookup("late@x.example", "other").queue == "dedup"


def test_a_route_to_nowhere_is_an_error():
    with pytest.raises(ValueError, match="no queue 'hma'; there are dedup, archive, ham"):
        recipients([Route(to="hma")])


def test_a_broken_pattern_is_an_error():
    with pytest.raises(ValueError, match=r"'\[' is not a regular expression"):
        recipients(patterns={"[": ""})


@given(st.text(max_size=300), st.text(max_size=40))
def test_no_address_is_too_strange_to_be_looked_up(address, listener):
    known = recipients([Route(rcpt="x*", to="ham")], domains={".trap.example": "t"}, addresses={"*b@x": ""})
    known.lookup(address, listener)
