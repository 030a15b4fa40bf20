"""domainname: what is a domain, and whose it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.authentication.domainname import MAX_NAME, domain_of, is_below, organisation


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("a.example", "a.example"),
        (" A.Example. ", "a.example"),
        ("_dmarc.a.example", "_dmarc.a.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("", ""),
        (".", ""),
        ("word", ""),
        ("a..example", ""),
        (".a.example", ""),
        ("a.example..", ""),
        ("192.0.2.1", ""),
        ("[192.0.2.1]", ""),
        ("[IPv6:2001:db8::1]", ""),
        ("a b.example", ""),
        ("a.exam\x00ple", ""),
        ("x" * 63 + ".example", "x" * 63 + ".example"),
        ("x" * 64 + ".example", ""),
        ("x." * 122 + "example", "x." * 122 + "example"),
        ("x." * 124 + "example", ""),
        ("\udcff.example", ""),
    ],
)
def test_domains(text: str, domain: str) -> None:
    assert domain_of(text) == domain


@pytest.mark.parametrize(
    ("domain", "whose"),
    [
        ("a.example", "a.example"),
        ("x.y.a.example", "a.example"),
        ("x.a.co.uk", "a.co.uk"),
        ("co.uk", "co.uk"),
        ("x.joe.github.io", "joe.github.io"),
        ("mail.nobody-has-this", "mail.nobody-has-this"),
    ],
)
def test_organisations(domain: str, whose: str) -> None:
    assert organisation(domain) == whose


def test_what_is_below() -> None:
    assert is_below("a.example", "a.example") and is_below("x.a.example", "a.example")
    assert not is_below("xa.example", "a.example") and not is_below("example", "a.example")


@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    domain = domain_of(text)
    assert domain.isascii() and len(domain) <= MAX_NAME
    assert domain_of(domain) == domain
