"""guard: what may be told of names and networks that stand near a trap's mail."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.reports.guard import Guard, network
from trap.traces import registrable, shares

JOE = "joe.trapper@pristine-trap.example"
GUARD = Guard(b"a key")


def test_a_hash_is_keyed_and_of_its_kind() -> None:
    assert GUARD.hash("subject", "hello") == GUARD.hash("subject", "hello")
    assert GUARD.hash("subject", "hello") != GUARD.hash("job", "hello")
    assert GUARD.hash("subject", "hello") != Guard(b"another key").hash("subject", "hello")


def test_bytes_that_are_no_utf8_can_be_hashed() -> None:
    assert len(GUARD.hash("subject", "\udcff")) == 16


@pytest.mark.parametrize(
    "domain",
    [
        "pristine-trap.example",
        "mail.pristine-trap.example",
        "pristine-trap.other.example",
        "joetrapper.example",
        "joe-trapper.example",
        "reppart.example.reppart-eoj.example",
        "elpmaxe-part-enitsirp.com",
        f"{b'pristine-trap.example'.hex()}.com",
        f"{hashlib.md5(JOE.encode()).hexdigest()}.com",
        f"{base64.urlsafe_b64encode(b'joe.trapper').decode().rstrip('=').lower()}.com",
        "cevfgvar-genc.com",
    ],
)
def test_a_domain_made_of_a_recipient_is_not_told(domain: str) -> None:
    # What is registrable is all that could be told; what stands in front of it is left out anyway.
    told = GUARD.domain(domain, ["someone@else.example", JOE])
    assert told in {"own", "other.example"}


def test_other_domains_are_told_without_what_stands_in_front() -> None:
    assert GUARD.domain("u1234567.bounce.Mailer.example.net", [JOE]) == "example.net"
    assert GUARD.domain("x.mailer.co.uk", [JOE]) == "mailer.co.uk"


def test_short_names_are_compared_as_words() -> None:
    assert GUARD.domain("jim-mail.test", ["jim@trap.example"]) == "own"
    assert GUARD.domain("jimmy.test", ["jim@trap.example"]) == "jimmy.test"


def test_a_role_gives_nobody_away() -> None:
    assert GUARD.domain("hotmail.test", ["mail@trap.example", "info@trap.example"]) == "hotmail.test"
    assert GUARD.domain("info.trap.example", ["info@trap.example"]) == "own"


def test_protected_names_and_networks_are_kept() -> None:
    guard = Guard(b"a key", ["MX.Trap-Host.example", "198.51.100.0/24"])
    assert guard.domain("trap-host.example", []) == "own"
    assert guard.network("198.51.100.3") == "own"
    assert guard.network("203.0.113.3") == "203.0.113.0/24"
    assert guard.reason("listed at trap-host.example 17 times") == "listed at (kept) N times"


@given(
    st.text("abtrp.-", min_size=1, max_size=12),
    st.lists(st.text("abtrp.@-", min_size=1, max_size=8), max_size=4),
)
def test_many_names_are_protected_as_each_of_them_would_be(word: str, names: list[str]) -> None:
    assert (Guard(b"a key", names).reason(word) == "(kept)") == shares(word, names)


def test_a_reason_is_short_and_printable() -> None:
    assert GUARD.reason("virus Win.Agent-4711") == "virus Win.Agent-4711"
    assert GUARD.reason("bad \x1b[31m " + "x" * 1000).startswith("bad \\x1b[31m xxx")
    assert len(GUARD.reason("x" * 1000)) == 60


@given(st.text(max_size=300))
def test_whatever_was_said_gives_something_short_from_a_small_alphabet(said: str) -> None:
    allowed = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")
    assert set(GUARD.domain(said, [JOE, said])) <= allowed
    assert set(registrable(said)) <= allowed
    assert set(network(said)) <= frozenset("0123456789abcdef.:/")
    assert len(GUARD.reason(said)) <= 60
