"""What is said of networks, and the greeting delay that is looked up that way."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.configfile import parse
from trap.networks import Delay, Networks


def test_without_settings_nobody_waits():
    assert Delay(parse("")).of("192.0.2.1") == 0.0


def test_the_most_precise_network_decides_about_the_delay():
    delay = Delay(
        parse(
            "smtp: {banner_delay: 1s, banner_delays: {192.0.2.0/24: 5s, 192.0.2.7: 0s, '2001:db8::/32': 7s}}"
        )
    )
    assert [delay.of(ip) for ip in ("192.0.2.1", "192.0.2.7", "198.51.100.1")] == [5.0, 0.0, 1.0]
    assert [delay.of(ip) for ip in ("2001:db8::1", "2001:db9::1", "", "/run/socket")] == [7.0, 1.0, 1.0, 1.0]


def test_what_is_no_network_is_an_error():
    with pytest.raises(ValueError, match="host bits"):
        Networks({"192.0.2.1/24": 1})


addresses = st.ip_addresses(v=4) | st.ip_addresses(v=6)


@given(st.lists(st.tuples(addresses, st.integers(0, 128)), max_size=20), addresses)
def test_the_answer_is_that_of_going_through_them_all(made, address):
    """ipaddress is right, and slow."""
    networks = [
        ip_network(f"{one}/{min(length, one.max_prefixlen)}", strict=False)
        for one, length in [*made, (address, 20)]
    ]
    longest = max((one for one in networks if address in one), key=lambda one: one.prefixlen)
    known = Networks({str(one): str(one) for one in networks})
    assert known.get(str(address)) == str(longest)


@given(st.text(max_size=60))
def test_what_is_no_address_is_in_no_network(text):
    known = Networks({"0.0.0.0/0": 1, "::/0": 1})
    try:
        ip_address(text)
        expected = 1
    except ValueError:
        expected = None
    if "%" not in text:
        assert known.get(text) == expected
