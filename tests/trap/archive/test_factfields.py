"""factfields: a network that is asked for has exactly the addresses it should have."""

import ipaddress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trap.archive.factfields import FACT_FIELDS, MAX_NETWORKS
from trap.archive.facts import networks, token

ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)


def asked(value: str) -> set[str]:
    return set(FACT_FIELDS["cidr"]("cidr", value))


def facts_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> set[str]:
    return {token("net", value) for value in networks(str(address))}


@given(ADDRESSES, st.integers(0, 128), st.integers(0, (1 << 128) - 1))
def test_an_address_is_in_a_network_or_not(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int, change: int
) -> None:
    """The other address differs from the first in some bit; where, decides."""
    width = address.max_prefixlen
    network = ipaddress.ip_network(f"{address}/{length % (width + 1)}", strict=False)
    try:
        tokens = asked(str(network))
    except ValueError:
        assume(False)
    other = type(address)(int(address) ^ (change >> (128 - width) >> (change % width)))
    assume(getattr(other, "ipv4_mapped", None) is None and getattr(address, "ipv4_mapped", None) is None)
    assert len(tokens) <= MAX_NETWORKS
    assert tokens & facts_of(address)
    assert bool(tokens & facts_of(other)) == (other in network)


def test_any_network_of_ipv4_can_be_asked_for() -> None:
    assert [len(asked(f"10.0.0.0/{length}")) for length in (0, 1, 8, 9, 15, 16, 17, 24, 25, 32)] == [
        1, 128, 1, 128, 2, 1, 128, 1, 128, 1,
    ]  # fmt: skip


def test_so_can_those_of_ipv6_that_are_few() -> None:
    allowed = []
    for length in range(129):
        try:
            asked(f"2001:db8::/{length}")
        except ValueError as error:
            assert "the nearest are" in str(error)
            for named in str(error).split("nearest are ")[1].split(" and "):
                assert asked(f"2001:db8::{named}")
        else:
            allowed.append(length)
    assert allowed == [0, *range(24, 33), *range(40, 49), *range(56, 65), *range(120, 129)]


@pytest.mark.parametrize(
    "value", ["", "x", "192.0.2.0/33", "192.0.2", "2001:db8::/129", "::1%", "1/1/1", "0x1"]
)
def test_what_is_no_network(value: str) -> None:
    with pytest.raises(ValueError, match="is not an IP address or a network"):
        asked(value)
