"""What the sinks tell of themselves: read whole, only from the living, and as one."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from support import eventually

from trap import fsio, live
from trap.board import TOLD
from trap.config import Config, paths_below
from trap.configfile import parse
from trap.configlimits import Limits
from trap.limits import Gate
from trap.live import Board, Lag, Live, read, tell, together
from trap.stress import Stress


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return msgspec.structs.replace(parse(""), paths=paths_below(tmp_path))


def places(config: Config) -> list[str]:
    return os.listdir(config.paths.state / "sinks")


def test_what_is_told_last_is_read(config):
    assert read(config) == []
    board = Board(config)
    assert read(config) == []  # nothing told yet
    for connections in (1, 2):
        board.publish(Live(pid=7, connections=connections, refused={"address": 3}))
    assert read(config) == [Live(pid=7, connections=2, refused={"address": 3})]
    board.close()
    assert read(config) == []
    assert places(config) == []


def test_each_process_has_its_own_place(config):
    boards = [Board(config), Board(config)]
    for number, board in enumerate(boards):
        board.publish(Live(pid=number, started=2.0 - number))
    assert [one.pid for one in read(config)] == [1, 0]  # the oldest first
    for board in boards:
        board.close()


@pytest.mark.parametrize(
    ("listeners", "told", "known"),
    [
        ("{port: 1}", [], ["127.0.0.1:1"]),
        ("{host: 0.0.0.0}, {host: '::'}, {unix: /run/x}", [], ["127.0.0.1:2525", "[::1]:2525", "/run/x"]),
        ("{port: 1}", [["127.0.0.1:18942"], ["127.0.0.1:18942", "/run/x"]], ["127.0.0.1:18942", "/run/x"]),
    ],
    ids=["of the configuration", "of a client on this machine", "as two sinks say"],
)
def test_where_mail_is_taken(listeners, told, known):
    config = parse(f"listen: [{listeners}]")
    assert live.addresses(config, [Live(addresses=some) for some in told]) == known


TELL = """
import sys, time
from pathlib import Path
import msgspec
from trap.config import paths_below
from trap.configfile import parse
from trap.live import Board, Live
board = Board(msgspec.structs.replace(parse(""), paths=paths_below(Path(sys.argv[1]))))
board.publish(Live(pid=1))
time.sleep(60)
"""


def test_the_dead_are_not_shown_and_are_swept_when_a_sink_starts(config, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", TELL, str(tmp_path)])
    eventually(lambda: read(config))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read(config) == []
    assert len(places(config)) == 1
    board = Board(config)
    assert places(config) == [os.path.basename(board._lease.path)]
    board.close()


def test_gone_while_read(config, monkeypatch):
    """A process that ends between our look at its lease and at its words is none."""
    board = Board(config)
    board.publish(Live(pid=7))

    def gone(_: str) -> bool:
        board.close()
        return True

    monkeypatch.setattr(fsio.Lease, "owned", gone)
    assert read(config) == []


def test_a_full_disk_only_makes_the_last_word_old(config, monkeypatch):
    board = Board(config)
    board.publish(Live(pid=7, connections=1))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fsio, "rename", full)
        board.publish(Live(pid=7, connections=2))
    assert [one.connections for one in read(config)] == [1]
    board.publish(Live(pid=7, connections=3))
    assert [one.connections for one in read(config)] == [3]
    board.close()


def test_a_living_sink_is_shown_again_when_its_directory_was_removed(config):
    boards = [Board(config), Board(config)]
    before = len(os.listdir("/proc/self/fd"))
    for connections in (1, 2):
        shutil.rmtree(config.paths.state / "sinks")
        for board in boards:
            board.publish(Live(connections=connections))
        assert [one.connections for one in read(config)] == [connections] * 2
    assert len(os.listdir("/proc/self/fd")) == before
    for board in boards:
        board.close()
    assert places(config) == []


@pytest.mark.parametrize("words", [b'{"connections": "many"}', b'{"pid": 7', b"", b"\x81"])
def test_what_another_version_tells_is_passed_over(config, words):
    boards = [Board(config), Board(config)]
    for board in boards:
        board.publish(Live(connections=1))
    Path(boards[0]._lease.path, TOLD).write_bytes(words)
    assert [one.connections for one in read(config)] == [1]
    for board in boards:
        board.close()


def test_several_are_shown_as_one():
    mild = {"level": "yellow", "since": 8, "cause": "lag 600 ms", "lag_max": 600}
    grave = {"level": "red", "since": 7, "cause": "connections 90%", "lag_max": 3}
    one = Live(pid=1, told=9, started=5, connections=3, peak=4, bytes=50, refused={"address": 1}, **mild)
    other = Live(
        pid=2, told=8, started=4, connections=9, peak=9, bytes=7, refused={"address": 2, "errors": 5}, **grave
    )
    grave["lag_max"] = 600
    assert together([one, other]) == Live(
        told=8, started=4, connections=12, peak=13, bytes=57, refused={"address": 3, "errors": 5}, **grave
    )
    assert together([]) is None


def test_of_equal_levels_the_one_that_began_first_is_shown():
    both = [
        Live(level="red", since=7, cause="spool 95%"),
        Live(level="red", since=3, cause="connections 90%"),
    ]
    assert together(both) == Live(level="red", since=3, cause="connections 90%")


def test_lag_is_a_median_a_percentile_and_a_maximum():
    lag = Lag(most=101)
    assert lag.figures() == (0, 0, 0)
    for number in range(1000):
        lag.note(number / 1000)
    assert lag.figures() == (949, 998, 999)
    lag.note(-5.0)  # a clock that went back
    assert lag.figures()[2] == 999


def test_it_is_told_from_gate_stress_and_lag():
    gate, stress, lag = Gate(Limits(connections=10)), Stress(parse("")), Lag()
    for _ in range(9):
        gate.admit("192.0.2.1")
    gate.leave("192.0.2.1")
    gate.refuse("timeout")
    stress.look(0.9, 0, 0)
    lag.note(0.5)
    said = tell(Live(messages=5), gate, stress, lag)
    assert (said.pid, said.level, said.cause) == (os.getpid(), "red", "connections 90%")
    assert (said.connections, said.limit, said.peak, said.sessions) == (8, 10, 9, 9)
    assert (said.messages, said.lag_max, said.refused) == (5, 500, {"timeout": 1})
    started = said.started
    assert tell(said, gate, stress, lag).started == started
