"""The gate: never more inside than may be, and nothing kept of who has left."""

import resource
import sys
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trap.configlimits import Limits
from trap.limits import REMEMBERED, Gate, Rate, capacity, keys


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_door_closes_when_all_places_are_taken_and_opens_again():
    gate = Gate(Limits(connections=2))
    assert [gate.admit("192.0.2.1"), gate.admit("198.51.100.1"), gate.admit("203.0.113.1")] == [
        None,
        None,
        "connections",
    ]
    assert (gate.open, gate.peak, gate.total, gate.share) == (2, 2, 2, 1.0)
    gate.leave("192.0.2.1")
    assert gate.share == 0.5
    assert gate.admit("203.0.113.1") is None
    assert gate.refused == {"connections": 1}
    assert (gate.open, gate.peak, gate.total) == (2, 2, 3)


def test_one_address_cannot_take_every_place():
    gate = Gate(Limits(per_address=2))
    assert [gate.admit("192.0.2.1") for _ in range(3)] == [None, None, "address"]
    assert gate.admit("192.0.2.2") is None


def test_nor_can_one_network():
    gate = Gate(Limits(per_network=3))
    assert [gate.admit(f"192.0.2.{host}") for host in range(4)] == [None, None, None, "network"]
    assert gate.admit("192.0.3.1") is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", (True, True)),
        ("192.0.2.1", "192.0.2.2", (False, True)),
        ("192.0.2.1", "192.0.21.1", (False, False)),
        ("2001:db8::1", "2001:db8::ffff:0:0:1", (True, True)),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", (False, True)),
        ("2001:db8:1::1", "2001:db8:2::1", (False, False)),
        ("::ffff:192.0.2.1", "192.0.2.1", (True, True)),
        ("fe80::1%eth0", "fe80::1", (True, True)),
        ("no address", "another", (False, True)),
        ("no:address", "another:one", (False, False)),
    ],
)
def test_what_counts_as_one_address_and_one_network(one, other, same):
    """A host of IPv6 may come from anywhere in its /64; a network is a /24, or a /48."""
    assert tuple(a == b for a, b in zip(keys(one), keys(other), strict=True)) == same


def test_a_client_without_an_address_counts_for_the_total_only():
    gate = Gate(Limits(connections=3, per_address=1, per_network=1, connection_rate=1, message_rate=1))
    assert [gate.admit("") for _ in range(4)] == [None, None, None, "connections"]
    assert [gate.message("") for _ in range(4)] == [None] * 4
    for _ in range(3):
        gate.leave("")
    assert gate.open == 0


def test_a_minute_s_allowance_may_be_taken_at_once_then_it_trickles():
    clock = Clock()
    gate = Gate(Limits(connection_rate=6, message_rate=3), clock)
    assert [gate.admit("192.0.2.1") for _ in range(7)] == [None] * 6 + ["connection_rate"]
    assert [gate.message("192.0.2.1") for _ in range(4)] == [None] * 3 + ["message_rate"]
    assert gate.admit("192.0.2.2") is None
    clock.now += 10
    assert [gate.admit("192.0.2.1") for _ in range(2)] == [None, "connection_rate"]
    clock.now += 60
    assert [gate.admit("192.0.2.1") for _ in range(7)] == [None] * 6 + ["connection_rate"]
    assert gate.open == 6 + 1 + 1 + 6


def test_who_is_turned_away_for_another_cause_pays_no_token():
    gate = Gate(Limits(per_address=1, connection_rate=2), Clock())
    assert [gate.admit("192.0.2.1") for _ in range(5)] == [None] + ["address"] * 4
    gate.leave("192.0.2.1")
    assert gate.admit("192.0.2.1") is None


@given(
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(0, 200), st.integers(0, 2)), max_size=200),
)
def test_a_rate_is_never_exceeded_by_more_than_one_allowance(per_minute, steps):
    """In any span of time: what trickles in during it, and one full bucket."""
    clock = Clock()
    rate = Rate(per_minute, clock)
    taken: dict[str, list[float]] = {}
    for pause, who in steps:
        clock.now += pause
        if rate.take(str(who)):
            taken.setdefault(str(who), []).append(clock.now)
    for times in taken.values():
        for first in range(len(times)):
            span = times[-1] - times[first]
            assert len(times) - first <= per_minute + per_minute * span / 60 + 1


@given(st.integers(1, 50), st.lists(st.floats(0.0, 300.0), max_size=100))
def test_who_keeps_to_the_rate_is_never_refused(per_minute, pauses):
    clock = Clock()
    rate = Rate(per_minute, clock)
    for pause in pauses:
        assert rate.take("a")
        clock.now += max(pause, 60 / per_minute)


def test_a_flood_of_addresses_is_forgotten_before_it_fills_the_memory():
    clock = Clock()
    rate = Rate(1, clock)
    for number in range(5 * REMEMBERED):
        assert rate.take(number.to_bytes(8))
        assert len(rate) <= 2 * REMEMBERED
    clock.now += 60
    rate.take("one")
    clock.now += 60
    rate.take("other")
    assert len(rate) == 2


def test_what_is_remembered_is_exact_while_there_is_room():
    """The table turns over each minute, and no bucket is lost before it is full."""
    clock = Clock()
    rate = Rate(10, clock)
    assert all(rate.take("a") for _ in range(10))
    for _ in range(30):
        clock.now += 5.99
        rate.take("other")
        before = rate.take("a")
        assert not rate.take("a")
        assert before in {True, False}


def test_no_more_connections_than_the_process_may_open_files(monkeypatch):
    def files(number: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (number, number))

    files(1024)
    assert capacity(Limits()) == 896
    assert capacity(Limits(connections=0)) == 896
    assert capacity(Limits(connections=100)) == 100
    files(1_000_000)
    assert capacity(Limits()) == 20_000
    assert capacity(Limits(connections=0)) == 999_000
    files(resource.RLIM_INFINITY)
    assert capacity(Limits()) == 20_000
    files(1)
    assert capacity(Limits()) == 1


def test_the_wire_s_own_causes_are_counted_beside_them():
    gate = Gate(Limits())
    assert gate.refuse("timeout") == "timeout"
    gate.refuse("timeout")
    assert gate.refused == {"timeout": 2}


def test_a_hundred_thousand_that_come_and_go_leave_nothing():
    gate = Gate(Limits(connections=0, per_network=0), Clock())
    gate.limit = 100_000  # whatever this process may open
    before = sys.getsizeof(gate._inside)
    addresses = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(100_000)]
    for address in addresses:
        assert gate.admit(address) is None
    for address in addresses:
        gate.leave(address)
    assert sys.getsizeof(gate._inside) <= before
    assert (gate.open, gate.peak, gate.total) == (0, 100_000, 100_000)


LIMITS = Limits(connections=8, per_address=2, per_network=4)
ADDRESSES = [
    "",
    *(f"192.0.{net}.{host}" for net in (1, 2) for host in (1, 2, 3)),
    "2001:db8::1",
    "2001:db8::2",
]


class Coming(RuleBasedStateMachine):
    """Clients come and go in any order; the gate agrees with a list of who is inside."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate(LIMITS)
        self.inside: list[str] = []
        self.refused: Counter[str] = Counter()

    @rule(ip=st.sampled_from(ADDRESSES))
    def come(self, ip: str) -> None:
        alike = [one for one in self.inside if one and ip]
        due = (
            "connections"
            if len(self.inside) >= LIMITS.connections
            else "address"
            if sum(keys(one)[0] == keys(ip)[0] for one in alike) >= LIMITS.per_address
            else "network"
            if sum(keys(one)[1] == keys(ip)[1] for one in alike) >= LIMITS.per_network
            else None
        )
        assert self.gate.admit(ip) == due
        if due:
            self.refused[due] += 1
        else:
            self.inside.append(ip)

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        ip = data.draw(st.sampled_from(self.inside))
        self.inside.remove(ip)
        self.gate.leave(ip)

    @invariant()
    def agrees(self) -> None:
        assert self.gate.open == len(self.inside) <= LIMITS.connections
        assert self.gate.refused == self.refused
        assert len(self.gate._inside) <= 2 * len(self.inside)

    def teardown(self) -> None:
        for ip in self.inside:
            self.gate.leave(ip)
        assert self.gate._inside == {}
        assert self.gate.open == 0


TestComing = Coming.TestCase


def test_zero_is_no_limit():
    gate = Gate(msgspec.structs.replace(Limits(), per_address=0, per_network=0, connections=0))
    assert all(gate.admit("192.0.2.1") is None for _ in range(gate.limit))
    assert gate.admit("192.0.2.1") == "connections"
