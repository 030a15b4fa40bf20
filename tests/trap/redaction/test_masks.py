"""masks: as long as a name, of the same kinds of characters, and nobody's."""

import ipaddress
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.redaction.masks import blank, mask

ONE, OTHER = b"1" * 32, b"2" * 32
NAMES = st.text(string.ascii_letters + string.digits + ".-_+@=%/é", max_size=40)


def test_without_a_key_masks_say_nothing() -> None:
    assert mask("Joe.Doe7@Trap.example", b"", "joe.doe7@trap.example") == "Xxx.Xxx1@Xxxx.zzzzzzz"
    assert blank("Grüße, 42 €") == "Xxxxx, 11 €"


@given(NAMES, st.integers(0, 3))
def test_length_and_kinds_of_characters_stay(text: str, turn: int) -> None:
    new = mask(text, ONE, text.lower(), turn)
    assert len(new) == len(text)
    if "%" not in text and "=" not in text:
        for old, made in zip(text, new, strict=True):
            assert made.isdigit() == old.isdigit() or made in "zZ"
            assert old.isalnum() or made == old


def test_a_consumer_sees_one_mask_and_another_a_different_one() -> None:
    name = "joe.miller@trap.example"
    assert mask(name, ONE, name) == mask(name, ONE, name) != mask(name, OTHER, name)
    assert mask(name.upper(), ONE, name) == mask(name, ONE, name).upper()
    assert mask(name, ONE, name, turn=1) != mask(name, ONE, name)


def test_what_belongs_together_is_seen_to() -> None:
    name = "joe@mx.trap.example"
    assert mask(name, ONE, name).endswith(mask("trap.example", ONE, "trap.example"))
    assert mask(name, ONE, name).startswith(mask("joe", ONE, "joe") + "@")
    assert mask("joe.miller@x.example", ONE, "joe.miller@x.example").startswith(
        mask("joe.miller", ONE, "joe.miller", word=True) + "@"
    )


@given(st.from_regex(r"([a-z]{1,9}\.){1,3}[a-z]{2,7}", fullmatch=True))
def test_a_masked_domain_is_below_no_top_level_domain(domain: str) -> None:
    last = mask(domain, ONE, domain).rpartition(".")[2]
    assert set(last) == {"z"}
    assert len(last) == len(domain.rpartition(".")[2])


@pytest.mark.parametrize("ip", ["192.0.2.25", "8.8.8.8", "2001:db8::25", "2a02:26f0:1:2:3:4:5:6"])
def test_a_masked_ip_address_is_nobodys(ip: str) -> None:
    new = mask(ip, ONE, ip)
    assert len(new) == len(ip)
    assert new != ip
    plain = ".".join(str(int(part)) for part in new.split(".")) if "." in ip else new
    address = ipaddress.ip_address(plain)
    assert address in ipaddress.ip_network("0.0.0.0/8" if "." in ip else "::/16")


def test_codes_stay_codes() -> None:
    new = mask("joe%40trap.example", ONE, "joe@trap.example")
    assert new[3:6] == "%40"
    assert new.endswith(".zzzzzzz")
    assert mask("=6Aoe", b"", "joe") == "=78xx"
    digest = "8b1a9953c4611296a827abf8c47804d7"
    assert set(mask(digest, ONE, "joe@trap.example")) <= set(string.hexdigits.lower())
