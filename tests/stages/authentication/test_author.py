"""author: which domains a From field names, and when they don't count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import at_most

from stages.authentication.author import MAX_FIELD, domains_of


@pytest.mark.parametrize(
    ("field", "domains"),
    [
        ("joe@a.example", ["a.example"]),
        ("Joe <joe@A.Example.>", ["a.example"]),
        ('"joe@fake.example" <joe@a.example>', ["a.example"]),
        ('"joe\\"<x@fake.example>" <joe@a.example>', ["a.example"]),
        ("joe@a.example (joe@fake.example (and <joe@fake.example>))", ["a.example"]),
        ('"joe blow"@a.example', ["a.example"]),
        ("Joe <joe@a.example>, Ann <ann@a.example>", ["a.example"]),
        ("joe@fake.example <joe@a.example>", ["a.example"]),  # a name that should be quoted
        ("Blow, Joe <joe@a.example>", ["a.example"]),
        ("<@one.example,@two.example:joe@a.example>", ["a.example"]),
        ("joe@bücher.example", ["xn--bcher-kva.example"]),
        ("=?utf-8?q?joe=40fake.example?= <joe@a.example>", ["a.example"]),
    ],
)
def test_one_domain(field: str, domains: list[str]) -> None:
    assert domains_of([field]) == (domains, "")


@pytest.mark.parametrize(
    ("fields", "domains", "why"),
    [
        ([], [], "no From"),
        ([""], [], "From names no domain"),
        (["Joe"], [], "From names no domain"),
        (["joe@[192.0.2.1]"], [], "From names no domain"),
        (["joe@WIN-4711"], [], "From names no domain"),
        (["<>"], [], "From names no domain"),
        (["joe@a.example, ann@b.example"], ["a.example", "b.example"], "From names 2 domains"),
        (["joe@a.example, <ann@b.example>"], ["a.example", "b.example"], "From names 2 domains"),
        (["joe@a.example", "joe@a.example"], ["a.example"], "2 From fields"),
        (["joe@a.example", "ann@b.example"], ["a.example", "b.example"], "2 From fields"),
    ],
)
def test_what_is_not_one_domain(fields: list[str], domains: list[str], why: str) -> None:
    assert domains_of(fields) == (domains, why)


@given(st.lists(st.text(alphabet='"\\()<>,@a.\x00é\udc80', max_size=60), max_size=3))
def test_any_field(fields: list[str]) -> None:
    domains, why = domains_of(fields)
    assert (len(domains) == 1) >= (not why)


@pytest.mark.parametrize("text", ["(", "<", "\\", '"', "a@b.example,", "<a@b.example>", "@"])
def test_long_fields(text: str) -> None:
    with at_most(0.2, text):
        domains_of([text * MAX_FIELD] * 50)
