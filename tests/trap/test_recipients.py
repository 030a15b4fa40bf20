"""Which recipients are accepted, with which tag, and where their mail begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.config import Accept, Config, Route, Share, Stage, Tagged, paths_below
from trap.recipients import REMEMBERED, Accepted, Recipients


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


def choosy(tmp_path, share="20%", **accept):
    settings = {kind: {name: Tagged(tag=kind) for name in names} for kind, names in accept.items()}
    return Recipients(
        Config(
            accept=Accept(**settings, refuse_unknown=Share(share)),
            paths=paths_below(tmp_path),
            pipeline=["dedup"],
        )
    )


GUESSES = [f"guess{number}@trap.example" for number in range(2000)]


def test_a_share_of_unknown_local_parts_is_refused_and_always_the_same(tmp_path):
    known = choosy(tmp_path, domains=["trap.example"])
    refused = {address for address in GUESSES if known.lookup(address, "mx") is None}
    assert 300 < len(refused) < 500
    again = choosy(tmp_path, domains=["trap.example"])
    assert refused == {address for address in GUESSES if again.lookup(address.upper(), "other") is None}
    assert {tag(again, address) for address in GUESSES} == {None, "domains"}


def test_another_trap_refuses_others(tmp_path):
    ours, theirs = (choosy(tmp_path / name, domains=["trap.example"]) for name in ("a", "b"))
    assert [tag(ours, address) for address in GUESSES] != [tag(theirs, address) for address in GUESSES]


def test_who_is_known_by_address_or_pattern_is_never_refused(tmp_path):
    known = choosy(
        tmp_path, "100%", domains=["trap.example"], addresses=["bob@trap.example", "old-*@trap.example"]
    )
    assert tag(known, "Bob@trap.example") == "addresses"
    assert tag(known, "old-ann@trap.example") == "addresses"
    assert tag(known, "ann@trap.example") is None
    assert tag(choosy(tmp_path, "100%", patterns=[r"an+@trap\.example"]), "ann@trap.example") == "patterns"


def test_the_postmaster_is_always_there(tmp_path):
    known = choosy(tmp_path, "100%")
    assert [tag(known, name) for name in ("Postmaster", "postmaster@trap.example")] == ["", ""]
    assert tag(known, "postmasters@trap.example") is None


def test_no_secret_is_made_when_nobody_is_refused(tmp_path):
    assert choosy(tmp_path, "0%").lookup("x@y.example", "mx")
    assert not list(tmp_path.iterdir())


def test_only_so_many_answers_are_kept_at_hand_and_none_of_endless_names():
    known = recipients()
    for number in range(REMEMBERED * 2):
        known.lookup(f"{number}@trap.example", "mx")
    assert known._remembered.cache_info().currsize == REMEMBERED
    looked_up = known._remembered.cache_info().misses
    assert known.lookup("x" * 100_000, "mx")
    assert known._remembered.cache_info().misses == looked_up


@given(st.text(max_size=300), st.text(max_size=40))
def test_no_address_is_too_strange_to_be_looked_up(address, listener):
    known = recipients([Route(rcpt="x*", to="ham")], domains={".trap.example": "t"}, addresses={"*b@x": ""})
    known.lookup(address, listener)
