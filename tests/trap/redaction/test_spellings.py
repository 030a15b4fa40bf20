"""What counts as a name of the trap, and in how many ways it may be written."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.redact import Redactor
from trap.redaction.identities import Identities
from trap.redaction.spellings import HASHES, known, spellings, sums, telling

local = st.from_regex(r"[a-z][a-z0-9.]{2,12}[a-z0-9]", fullmatch=True)


def patterns(name: str, kind: str) -> set[bytes]:
    return {spelling.pattern for spelling in spellings(name) if spelling.kind == kind}


def test_of_an_address_its_domain_and_its_words_are_names_too() -> None:
    names = known(Identities(addresses=frozenset(["Joe.Miller+shop@mail.trap-post.co.uk"])))
    assert names == {
        "joe.miller+shop@mail.trap-post.co.uk",
        "mail.trap-post.co.uk",
        "trap-post.co.uk",
        "trap-post",
        "joe.miller+shop",
        "joe.miller",
        "joemiller+shop",
        "joemiller",
    }


def test_words_of_any_mail_are_no_names() -> None:
    assert "info" not in known(Identities(addresses=frozenset(["info@trap-post.example"])))
    assert "mail" not in known(Identities(domains=frozenset(["mail.example"])))
    assert [word for word in ("anna", "info", "2024", "href", "jm", "123456") if telling(word)] == [
        "anna",
        "123456",
    ]


def test_a_domain_is_looked_for_as_the_dns_and_as_people_read_it() -> None:
    coded = "münchen-post.example".encode("idna").decode()
    assert known(Identities(domains=frozenset([coded]))) >= {coded, "münchen-post.example"}
    assert known(Identities(domains=frozenset(["münchen-post.example"]))) >= {coded, "münchen-post.example"}


@given(local, st.binary(max_size=5), st.binary(max_size=5))
def test_base64_is_known_wherever_it_begins(word: str, before: bytes, after: bytes) -> None:
    address = f"{word}@trap.example"
    coded = base64.b64encode(before + address.encode() + after)
    assert [pattern for pattern in patterns(address, "base64") if pattern in coded]


@pytest.mark.parametrize("kind", HASHES)
def test_check_sums_are_known(kind: str) -> None:
    for said in ("joe@trap.example", "JOE@TRAP.EXAMPLE", "joe@trap.example\n", "mailto:joe@trap.example"):
        assert (kind, hashlib.new(kind, said.encode()).digest()) in sums("joe@trap.example")
        assert hashlib.new(kind, said.encode()).hexdigest().encode() in patterns("joe@trap.example", kind)


def test_short_names_stand_alone() -> None:
    assert all(spelling.whole for spelling in spellings("joe") if spelling.kind == "plain")
    assert not any(spelling.whole for spelling in spellings("joe@trap.example") if spelling.kind == "plain")


def test_an_ip_address_has_spellings_of_its_own() -> None:
    assert patterns("192.0.2.7", "plain") >= {b"192.0.2.7", b"192[.]0[.]2[.]7", b"192-0-2-7"}
    assert patterns("192.0.2.7", "hex") == {b"c0000207"}
    assert patterns("192.0.2.7", "decimal") == {b"3221225991"}
    assert patterns("2001:db8::7", "plain") >= {b"2001:db8::7", b"2001:0db8:0000:0000:0000:0000:0000:0007"}
    assert sums("192.0.2.7") == ()


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("otto99@a7f3.trap-post.example", "a7f3"),
        ("otto99+amzn7@trap-post.example", "amzn7"),
        ('"max mil"@trap-post.example', "max mil"),
        ("max.mil@trap-post.example", "maxmil"),
    ],
)
def test_what_of_an_address_tells_alone(address: str, word: str) -> None:
    assert word in known(Identities(addresses=frozenset([address])))


@pytest.mark.parametrize("said", ["J\u00dcRGEN", "J\u00fcrgen", "j\u00fcrgen"])
def test_letters_that_are_none_of_ascii_have_capitals_too(said: str) -> None:
    done = Redactor(Identities.named(["j\u00fcrgen@trap.example"]), b"").text(f"Hallo {said}, hier")
    assert done[6:12].lower() == "xxxxxx"
    assert done.endswith(", hier")
