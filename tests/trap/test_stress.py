"""Stress: what leads to a level, what holds it, and what it changes."""

import itertools
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.configfile import parse
from trap.configlimits import Limits
from trap.limits import Gate
from trap.stress import NAMES, Policy, Stress, policies

CALM = (0.0, 0.0, 0.0)


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def stress(text: str = "", clock: Clock | None = None) -> Stress:
    return Stress(parse(text), clock or Clock())


@pytest.mark.parametrize(
    ("seen", "level", "cause"),
    [
        ((0.59, 0.499, 0.84), "green", ""),
        ((0.6, 0, 0), "yellow", "connections 60%"),
        ((0, 0.612, 0), "yellow", "lag 612 ms"),
        ((0, 0, 0.85), "yellow", "spool 85%"),
        ((0.87, 0, 0), "red", "connections 87%"),
        ((0, 2.5, 0), "red", "lag 2500 ms"),
        ((0.9, 0.6, 0.99), "red", "connections 90%, spool 99%"),
    ],
)
def test_what_leads_to_a_level(seen, level, cause):
    it = stress()
    assert it.look(*seen) is (level != "green")
    assert (it.policy.level, it.cause) == (level, cause)


def test_a_level_is_held_after_its_last_cause():
    clock = Clock()
    it = stress("", clock)
    assert it.look(0.9, 0, 0)
    assert it.change == "stress: green -> red: connections 90%"
    since = it.since
    clock.now += 500
    assert not it.look(0.95, 0, 0)  # a cause again: held from here on
    assert it.since == since
    clock.now += 999
    assert not it.look(*CALM)
    assert it.policy.level == "red"
    clock.now += 1
    assert it.look(*CALM)
    assert (it.policy.level, it.cause) == ("green", "")
    assert it.change == "stress: red -> green: no cause for more in 1000 s"
    assert it.since >= since


def test_it_falls_to_what_there_is_still_a_cause_for():
    clock = Clock()
    it = stress("stress: {hold: 100}", clock)
    it.look(0.9, 0, 0)
    for _ in range(9):
        clock.now += 10
        assert not it.look(0.7, 0, 0)
    clock.now += 10
    assert it.look(0.7, 0, 0)
    assert (it.policy.level, it.cause) == ("yellow", "connections 70%")
    clock.now += 99
    assert not it.look(*CALM)
    clock.now += 1
    assert it.look(*CALM)
    assert it.policy.level == "green"


def test_without_a_hold_a_level_ends_with_its_cause():
    it = stress("stress: {hold: 0}")
    levels = []
    for share in (0.5, 0.7, 0.9, 0.7, 0.5):
        it.look(share, 0, 0)
        levels.append(it.policy.level)
    assert levels == ["green", "yellow", "red", "yellow", "green"]


def test_what_the_levels_change_unless_told_otherwise():
    """The ways of Postfix under stress: 300 s become 10, 20 errors 1, 100 junk commands 1; and 521 at red."""
    green, yellow, red = policies(parse(""))
    assert green == Policy("green", 300, 120, 3600, 100, 20, 100, sys.maxsize, 421, "")
    assert yellow == Policy("yellow", 60, 30, 600, 500, 5, 20, sys.maxsize, 421, "")
    assert red == Policy("red", 10, 10, 120, 1024, 1, 1, sys.maxsize, 521, "")


def test_every_setting_of_a_level_can_be_set():
    own = "timeout: 7s, deadline: 6s, duration: 5s, min_rate: 2kB, commands: 4, errors: 3, junk: 2"
    for name in NAMES:
        policy = policies(parse(f"stress: {{{name}: {{{own}, hang_up: 521, hint: hurry}}}}"))[
            NAMES.index(name)
        ]
        assert policy == Policy(name, 7, 6, 5, 2048, 3, 2, 4, 521, "hurry")


def test_zero_is_no_limit():
    zero = "duration: 0, deadline: 0, min_rate: 0, commands: 0, errors: 0, junk: 0"
    green, yellow, _ = policies(parse(f"limits: {{{zero}}}\nstress: {{yellow: {{{zero}}}}}"))
    assert green[2:] == (math.inf, math.inf, 0, sys.maxsize, sys.maxsize, sys.maxsize, 421, "")
    assert yellow[2:] == green[2:]


@given(
    st.integers(0, 100),
    st.integers(0, 100),
    st.none() | st.integers(0, 100),
    st.none() | st.integers(1, 100),
    st.none() | st.integers(0, 100),
)
def test_no_level_is_milder_than_the_one_below_it(errors, rate, yellow_errors, timeout, red_rate):
    def word(value: int | None) -> str:
        return "null" if value is None else str(value)

    levels = policies(
        parse(
            f"limits: {{errors: {errors}, min_rate: {rate}}}\n"
            f"stress: {{yellow: {{errors: {word(yellow_errors)}, timeout: {word(timeout)}}}, "
            f"red: {{min_rate: {word(red_rate)}}}}}"
        )
    )
    for before, after in itertools.pairwise(levels):
        assert after.timeout <= before.timeout
        assert after.errors <= before.errors
        assert after.min_rate >= before.min_rate


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 1), st.floats(0, 4), st.floats(0, 1)), max_size=60))
def test_whatever_comes_the_level_is_the_highest_caused_within_the_hold(looks):
    clock = Clock()
    it = stress("", clock)
    caused: list[tuple[float, int]] = []
    for pause, *seen in looks:
        clock.now += pause
        connections, lag, spool = seen
        red = connections >= 0.85 or lag >= 2 or spool >= 0.93
        yellow = connections >= 0.6 or lag >= 0.5 or spool >= 0.85
        caused.append((clock.now, 2 if red else 1 if yellow else 0))
        was = it.policy.level
        changed = it.look(connections, lag, spool)
        due = max(level for at, level in caused if clock.now - at < 1000)
        assert it.policy.level == NAMES[due]
        assert changed is (it.policy.level != was)
        assert bool(it.cause) is (due > 0)


WAVE = [4, 4, 21, 44, 88, 131, 203, 255, 301, 301]
"""Open connections of a spam wave (Penz, 2009): from 4 to 301 within five minutes."""


@pytest.mark.parametrize("times", [1, 33])
def test_the_wave_of_the_seed(times):
    """It rises through yellow to red in time, nobody beyond the cap comes in, and calm returns once."""
    clock = Clock()
    limits = Limits(connections=320 * times, per_network=0)
    gate = Gate(limits, clock)
    gate.limit = limits.connections
    it = stress("", clock)
    inside: list[str] = []
    levels = []
    for goal in [*(here * times for here in WAVE), *[320 * times + 500] * 5, *[4 * times] * 40]:
        while len(inside) > goal:
            gate.leave(inside.pop())
        for number in range(len(inside), goal):
            ip = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            if gate.admit(ip) is None:
                inside.append(ip)
        assert gate.open == len(inside) <= limits.connections
        it.look(gate.share, 0.0, 0.0)
        levels.append(it.policy.level)
        clock.now += 30
    assert [level for level, _ in itertools.groupby(levels)] == ["green", "yellow", "red", "green"]
    assert levels.index("red") <= len(WAVE)
    assert gate.refused == {"connections": 500 * 5}
    assert gate.peak == limits.connections
