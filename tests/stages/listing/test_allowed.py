"""What is never listed."""

import hashlib
import ipaddress
import logging
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stages.listing.allowed import Allowed, Entries, Operators
from stages.listing.names import Named, named
from stages.names.relays import address_of
from trap.redaction.identities import Identities

IDENTITIES = Identities.named(
    ["trap.example", "mx.receiver.example", "joe.doe@kept.example", "192.0.2.25", "2001:db8:25::25"]
)


@pytest.fixture(scope="module")
def allowed() -> Allowed:
    trusted = [ipaddress.ip_network("203.0.113.0/24")]
    return Allowed(Operators(["198.51.100.0/28", "friend.example", "ab" * 32]), trusted, IDENTITIES)


def thing(said: str) -> Named:
    found = named(said)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("gmail.com", "Google"),
        ("outlook.com", "Microsoft"),
        ("209.85.208.41", "Google"),
        ("2607:f8b0:4864:20::1", "Google"),
        ("10.1.2.3", "private or special"),
        ("127.0.0.2", "private or special"),
        ("169.254.1.1", "private or special"),
        ("224.0.0.1", "private or special"),
        ("::1", "private or special"),
        ("fe80::1", "private or special"),
        ("::ffff:10.0.0.1", "private or special"),
        ("192.0.2.25", "our own"),
        ("2001:db8:25::99", "our own"),
        ("203.0.113.9", "our own"),
        ("www.trap.example", "our own"),
        ("receiver.example", "our own"),
        ("kept.example", "our own"),
        (hashlib.md5(b"joe.doe@kept.example").hexdigest(), "our own"),
        ("198.51.100.3", "allowed"),
        ("shop.friend.example", "allowed"),
        ("ab" * 32, "allowed"),
        ("co.uk", "people register below it"),
        ("github.io", "people register below it"),
    ],
)
def test_never(allowed: Allowed, said: str, why: str) -> None:
    assert allowed.why(thing(said)) == why


@pytest.mark.parametrize("said", ["198.51.100.16", "2001:db8:26::1", "bad.example", "google.com.bad.example"])
def test_all_else_may_be(allowed: Allowed, said: str) -> None:
    assert allowed.why(thing(said)) == ""


def test_what_a_person_allowed_counts_as_well(allowed: Allowed) -> None:
    persons = Entries([("", "bad.example"), ("", "2001:db8:ff00::/40")])
    assert allowed.why(thing("bad.example"), persons=persons) == "allowed"
    assert allowed.why(thing("2001:db8:ff01::1"), persons=persons) == "allowed"


def test_a_name_that_is_a_large_senders_counts_when_it_was_looked_up(allowed: Allowed) -> None:
    assert allowed.why_client("192.0.2.99", "mail-ed1-f41.google.com") == "Google"
    assert allowed.why_client("192.0.2.99", "") == ""


ADDRESSES = st.ip_addresses().filter(lambda address: not getattr(address, "ipv4_mapped", None))


@given(ADDRESSES, st.integers(0, 128), ADDRESSES)
def test_a_network_holds_what_lies_in_it(
    inside: ipaddress.IPv4Address, length: int, other: ipaddress.IPv4Address
) -> None:
    """Of IPv6 a list holds the /64: allowed is one of which anything is."""
    assume(address_of(str(inside)) == inside)  # else it is one of IPv4
    network = ipaddress.ip_network(f"{inside}/{length % (inside.max_prefixlen + 1)}", strict=False)
    entries = Entries([("", str(network))])
    assert entries.hold(thing(str(inside)))
    own, seen = ipaddress.ip_network(thing(str(other)).key), _seen(network)
    assert entries.hold(thing(str(other))) == (own.version == seen.version and own.overlaps(seen))


def _seen(network: ipaddress.IPv4Network) -> ipaddress.IPv4Network:
    """A single address of IPv6 stands for its /64."""
    found = thing(str(network))
    return ipaddress.IPv4Network(found.key) if network.version == 4 else ipaddress.ip_network(found.key)


def test_a_file_is_read_again_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "allow"
    file.write_text("192.0.2.0/24\n")
    operators = Operators(str(file))
    assert operators.entries.hold(thing("192.0.2.7"))
    file.write_text("# now\nfriend.example\n")
    operators.refresh()
    assert not operators.entries.hold(thing("192.0.2.7"))
    assert operators.entries.hold(thing("friend.example"))
    with caplog.at_level(logging.ERROR):
        file.write_text("192.0.2.0/24\nnonsense\n")
        operators.refresh()
        file.unlink()
        for _ in range(3):
            operators.refresh()
    assert operators.entries.hold(thing("friend.example"))
    assert f"{file}:2: 'nonsense' is neither" in caplog.text
    assert len(caplog.records) == 2, "each of it is told once"
