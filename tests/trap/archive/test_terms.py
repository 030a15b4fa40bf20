"""terms: a query put together by clicking is what it would be had it been typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.archive.facts import FACETS, clean, token
from trap.archive.query import QueryError, parse
from trap.archive.ranges import between
from trap.archive.terms import has_term, lexemes, narrowing, term, with_term, without_term


@pytest.mark.parametrize(
    ("text", "added", "result"),
    [
        ("", "tag:web", "tag:web"),
        ("  money ", "tag:web", "money tag:web"),
        ("tag:web money", "tag:web", "tag:web money"),
        ("-tag:web", "tag:web", "-tag:web tag:web"),
        ("a or tag:web", "tag:web", "a or tag:web tag:web"),
        ("(tag:web)", "tag:web", "(tag:web) tag:web"),
        ("money date:2026 bank", "date:2026-11", "money bank date:2026-11"),
        ("size:>1M date:3d", "size:<2M", "date:3d size:<2M"),
    ],
)
def test_a_term_more(text: str, added: str, result: str) -> None:
    assert with_term(text, added) == result
    assert has_term(result, added)


@pytest.mark.parametrize(
    ("text", "removed", "result"),
    [
        ("tag:web", "tag:web", ""),
        ("money tag:web bank", "tag:web", "money bank"),
        ("tag:web or money", "tag:web", "tag:web or money"),
        ("money (tag:web bank)", "tag:web", "money (tag:web bank)"),
        ("-tag:web", "tag:web", "-tag:web"),
        ('"open', "tag:web", '"open'),
    ],
)
def test_a_term_less(text: str, removed: str, result: str) -> None:
    assert without_term(text, removed) == result
    assert not has_term(result, removed)


def test_what_narrows_a_query() -> None:
    text = 'money -tag:web "a b"* (c d) e or f or g tag:"x y" money'
    assert narrowing(text) == ["money", "-tag:web", '"a b"*', 'tag:"x y"']
    assert narrowing('money "open') == []


def test_a_bar_of_the_histogram() -> None:
    clicked = with_term("money date:2026", f"date:{between(1793491200, 1793494800)}")
    assert clicked == "money date:2026-11-01T00:00..2026-11-01T00:59"


@given(
    st.sampled_from([name for name in FACETS if name in {"tag", "kind", "campaign"}]), st.text(max_size=150)
)
def test_what_a_facet_counts_is_what_its_term_finds(name: str, value: str) -> None:
    """Whatever a stage or the configuration put into it."""
    counted = clean(value)
    if counted:
        assert parse(term(name, counted)).match == f'facts : "{token(name, value)}"'


@pytest.mark.parametrize(
    ("name", "value", "facts"),
    [
        ("domain", "a.example", [("from", "@a.example")]),
        ("network", "192.0.2.0/24", [("net", "4/c00002")]),
        ("network", "2001:db8::/48", [("net", "6/20010db80000")]),
        ("charset", "iso-8859-1", [("charset", "iso-8859-1")]),
        ("tld", "ru", [("tld", "ru")]),
    ],
)
def test_the_terms_of_the_other_facets(name: str, value: str, facts: list[tuple[str, str]]) -> None:
    (fact,) = facts
    assert parse(term(name, value)).match == f'facts : "{token(*fact)}"'


@given(
    st.text(alphabet='ab"-:() \t*', max_size=40), st.sampled_from(["tag:x", 'tag:"x y"', "from:@a.example"])
)
def test_what_is_added_can_be_taken_away(text: str, added: str) -> None:
    try:
        before = parse(text)
    except QueryError:
        return
    wider = with_term(text, added)
    assert parse(wider).match
    assert parse(without_term(wider, added)).match == before.match


@given(st.text(alphabet='ab"-:() \t*or', max_size=60))
def test_terms_stand_where_they_are_said_to(text: str) -> None:
    try:
        found = lexemes(text)
    except QueryError as error:
        assert text[error.start] == '"'
        return
    ends = [0, *(each.end for each in found)]
    starts = [*(each.start for each in found), len(text)]
    assert all(not text[end:start].strip() for end, start in zip(ends, starts, strict=True))
