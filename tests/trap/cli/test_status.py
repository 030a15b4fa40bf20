"""`spamtrap status` on the sinks: level and cause, connections, lag, and what was refused."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from clikit import Run

from trap.config import paths_below
from trap.configfile import parse
from trap.live import Board, Live


@pytest.fixture
def boards(home: Path) -> Iterator[list[Board]]:
    """Two places to tell from, as two sink processes have them."""
    config = msgspec.structs.replace(parse(""), paths=paths_below(home))
    made = [Board(config), Board(config)]
    yield made
    for board in made:
        board.close()


def test_without_a_sink_that_is_said(run: Run, home: Path) -> None:
    assert "no sink is running" in run("status").out
    status = run("status", "--json").json
    assert status["sink"] is None
    assert status["sinks"] == []


def test_one_sink_is_shown_with_level_cause_and_refusals(run: Run, boards: list[Board]) -> None:
    now = time.time()
    boards[0].publish(
        Live(
            pid=77, told=now, started=now - 600, level="red", since=now - 300, cause="connections 87%",
            connections=1740, limit=2000, peak=1755, lag_p99=3.25, lag_max=11, memory=3 << 20,
            refused={"address": 4, "connections": 12345},
        )
    )  # fmt: skip
    out = run("status").out
    assert "77 is red: connections 87%" in out
    row = next(line.split() for line in out.splitlines() if line.startswith("77 "))
    assert row == ["77", "red", "5m", "1,740", "2,000", "1,755", "3.2", "ms", "11.0", "ms", "3.0", "MB"]
    refused = [line.split() for line in out.partition("refused for")[2].splitlines()[1:3]]
    assert refused == [["connections", "12,345"], ["address", "4"]]
    assert "together" not in out
    assert "last heard" not in out
    sink = run("status", "--json").json["sink"]
    assert (sink["level"], sink["cause"], sink["refused"]) == (
        "red",
        "connections 87%",
        {"address": 4, "connections": 12345},
    )


def test_several_sinks_are_shown_apart_and_together(run: Run, boards: list[Board]) -> None:
    now = time.time()
    for number, board in enumerate(boards, 1):
        board.publish(Live(pid=number, told=now, started=now, since=now, connections=10 * number, limit=100))
    out = run("status").out
    shown = {line.split()[0]: line.split()[3] for line in out.splitlines() if " green " in line}
    assert shown == {"1": "10", "2": "20", "together": "30"}
    status = run("status", "--json").json
    assert status["sink"]["connections"] == 30
    assert [one["pid"] for one in status["sinks"]] == [1, 2]


def test_a_sink_that_says_nothing_any_more_is_pointed_out(run: Run, boards: list[Board]) -> None:
    boards[0].publish(Live(pid=77, told=time.time() - 90, since=time.time()))
    assert "77: last heard of 90s ago" in run("status").out
