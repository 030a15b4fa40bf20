"""The patrol visits everybody within a round, a slice at a time, and tells of the sink."""

import logging

import msgspec
import pytest
from sinkkit import MemorySpool, door_of, settings

from trap.config import paths_below
from trap.live import Board, read
from trap.patrol import TICK, Patrol


class Visited:
    """In the place of a connection: counts its visits."""

    def __init__(self) -> None:
        self.visits = 0

    def visit(self, _now: float, _policy: object) -> None:
        self.visits += 1


@pytest.fixture
def config(tmp_path):
    return msgspec.structs.replace(settings(), paths=paths_below(tmp_path))


@pytest.fixture
def door(config):
    door = door_of(config, MemorySpool())
    yield door
    door.intake.close()


def test_a_round_visits_everybody_once_and_takes_a_few_seconds(door):
    wires = [Visited() for _ in range(1000)]
    door.wires.update(wires)
    patrol = Patrol([door])
    ticks = 0
    while min(wire.visits for wire in wires) < 1:
        patrol.step(0.0)
        ticks += 1
        assert sum(wire.visits for wire in wires) <= 10 * ticks  # a slice, and never all at once
    assert {wire.visits for wire in wires} == {1}
    assert ticks * TICK <= 5


def test_short_time_outs_make_it_go_round_faster(config):
    hasty = msgspec.structs.replace(config, smtp=msgspec.structs.replace(config.smtp, timeout=0.4))
    door = door_of(hasty, MemorySpool())
    wires = [Visited() for _ in range(10)]
    door.wires.update(wires)
    patrol = Patrol([door])
    for _ in range(2):
        patrol.step(0.0)
    assert {wire.visits for wire in wires} == {1}
    door.intake.close()


def test_who_comes_during_a_round_waits_for_the_next(door):
    patrol = Patrol([door])
    first, second = Visited(), Visited()
    door.wires.add(first)
    patrol.step(0.0)
    door.wires.add(second)
    patrol.step(0.0)
    patrol.step(0.0)
    assert (first.visits >= 1, second.visits >= 1) == (True, True)


def test_a_late_loop_is_stress_and_is_told(door, config, caplog):
    board = Board(config)
    patrol = Patrol([door], board, ["127.0.0.1:18942"])
    patrol._latest = 60.0
    with caplog.at_level(logging.WARNING):
        patrol.look()
    assert door.stress.policy.level == "red"
    assert "stress: green -> red: lag 60000 ms" in caplog.text
    (live,) = read(config)
    assert (live.level, live.cause) == ("red", "lag 60000 ms")
    assert live.addresses == ["127.0.0.1:18942"]
    caplog.clear()
    patrol.look()  # it is held, and not told again
    assert (door.stress.policy.level, caplog.text) == ("red", "")
    board.close()
