"""pace: a model of a scanner with few processes, asked as fast as it is let."""

import heapq
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportkit import Clock

from trap.pace import MOST, START, Pace


class Scanner:
    """So many processes, each of which takes so long for a message; whoever comes then waits in line."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, processes: int, seconds: float) -> None:
        self.now = 1000.0
        self.seconds = seconds
        self.free = [self.now] * processes
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def work_off(self, pace: Pace, messages: int) -> list[float]:
        """How long each took, when as many are asked about at a time as there is room for."""
        took: list[float] = []
        flying: list[tuple[float, float]] = []
        while len(took) < messages:
            while len(flying) < pace.room and len(flying) + len(took) < messages:
                start = max(self.now, heapq.heappop(self.free))
                heapq.heappush(self.free, start + self.seconds)
                heapq.heappush(flying, (start + self.seconds, self.now))
            done, begun = heapq.heappop(flying)
            self.now = max(self.now, done)
            pace.answered(begun)
            took.append(self.now - begun)
        return took


@pytest.mark.parametrize(
    ("processes", "seconds"), [(1, 0.5), (1, 0.9), (2, 0.5), (5, 1.0), (1, 0.1), (5, 0.05)]
)
def test_a_scanner_with_few_processes_is_asked_about_as_many_as_it_manages(
    monkeypatch: pytest.MonkeyPatch, processes: int, seconds: float
) -> None:
    scanner = Scanner(monkeypatch, processes, seconds)
    began = scanner.now
    took = scanner.work_off(Pace(timeout=5.0), 300)
    assert max(took) < 5.0, "one was answered too late"
    # And it has always enough to do: it takes no longer than with nobody waiting in between.
    assert scanner.now - began < 1.2 * 300 * seconds / processes


def test_a_dozen_at_once_for_one_slow_process_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    scanner = Scanner(monkeypatch, processes=1, seconds=0.5)
    assert max(scanner.work_off(Pace(timeout=3.0), 12)) < 3.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1000.0)
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def test_answers_of_one_time_slow_it_once(clock: Clock) -> None:
    pace = Pace(timeout=3.0)
    for _ in range(200):
        pace.answered(clock.now)
    before, begun = pace.room, clock.now
    clock.now += 3.0
    for _ in range(pace.room):
        pace.answered(begun)
    assert pace.room == before // 2 > START


def test_who_is_not_there_is_not_slow(clock: Clock) -> None:
    pace = Pace(timeout=3.0)
    pace.unanswered(clock.now)
    assert pace.room == START
    clock.now += 3.0
    pace.unanswered(clock.now - 3.0)
    assert pace.room == START // 2


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans())))
def test_there_is_always_room_for_one(answers: list[tuple[float, bool]]) -> None:
    pace = Pace(timeout=3.0)
    for took, answered in answers:
        (pace.answered if answered else pace.unanswered)(time.monotonic() - took)
        assert 1 <= pace.room <= MOST
