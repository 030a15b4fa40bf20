"""What each sink process tells of itself once a second, for `spamtrap status` and its like.

Each has a board (trap/board.py) to tell it on.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Sequence

import msgspec

from trap import board
from trap.config import Config
from trap.limits import Gate
from trap.listening import address
from trap.stress import NAMES, Stress


class Live(msgspec.Struct):
    """One sink process, or several together."""

    pid: int = 0
    """0: several together."""
    told: float = 0.0
    """When this was told, in seconds since the epoch; of several, the oldest."""
    started: float = 0.0
    level: str = NAMES[0]
    since: float = 0.0
    """When the level began."""
    cause: str = ""
    """What led to the level."""
    connections: int = 0
    """Open now."""
    limit: int = 0
    """Most that may be open at once."""
    peak: int = 0
    """Most that were open at once since the start; of several, the sum of theirs."""
    lag_p50: float = 0.0
    """Lag of the event loop in milliseconds, over the last minute; of several, the worst."""
    lag_p99: float = 0.0
    lag_max: float = 0.0
    sessions: int = 0
    """Connections let in since the start."""
    messages: int = 0
    """Stored since the start."""
    bytes: int = 0
    """Of messages stored since the start."""
    memory: int = 0
    """Bytes of messages on their way in, now."""
    spilled: int = 0
    """Messages written into the spool as they came, since the start."""
    refused: dict[str, int] = {}
    """Refused and hung up on since the start, by cause."""
    addresses: list[str] = []
    """Where it takes mail, as trap.listening.address has it; of several together, none."""


class Board(board.Board):
    """Where a sink process tells of itself.

    Args:
        config: its state directory is used.

    Raises:
        OSError: the directory can't be made.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(_parent(config))


def _parent(config: Config) -> str:
    return os.fspath(config.paths.state / "sinks")


def read(config: Config) -> list[Live]:
    """What the sink processes that are alive told last, the oldest process first.

    What one of another version tells, as during an upgrade, is passed over if it makes no sense here.

    Raises:
        OSError: it can't be read, other than because a process has just gone.
    """
    return sorted(board.read(_parent(config), Live), key=_age)


def addresses(config: Config, sinks: Sequence[Live]) -> list[str]:
    """Where mail is taken on this machine: what the sinks say, else what the configuration says.

    Sockets from systemd, `--listen` and port 0 are known to nobody but the sinks.
    """
    told = [each for sink in sinks for each in sink.addresses]
    return list(dict.fromkeys(told or map(address, config.listen)))


def _age(live: Live) -> tuple[float, int]:
    return live.started, live.pid


def together(sinks: Sequence[Live]) -> Live | None:
    """Several processes as one: sums, the highest level and its cause, the worst lag. None: of none."""
    if not sinks:
        return None
    worst = max(sinks, key=_severity)
    refused: Counter[str] = Counter()
    for sink in sinks:
        refused.update(sink.refused)
    return Live(
        told=min(sink.told for sink in sinks),
        started=min(sink.started for sink in sinks),
        level=worst.level,
        since=worst.since,
        cause=worst.cause,
        **{key: sum(getattr(sink, key) for sink in sinks) for key in _SUMMED},
        **{key: max(getattr(sink, key) for sink in sinks) for key in _WORST},
        refused=dict(refused),
    )


_SUMMED = ("connections", "limit", "peak", "sessions", "messages", "bytes", "memory", "spilled")
_WORST = ("lag_p50", "lag_p99", "lag_max")


def _severity(live: Live) -> tuple[int, float]:
    """The highest level, and of those the one that began first."""
    return NAMES.index(live.level) if live.level in NAMES else 0, -live.since


class Lag:
    """How late the event loop came to what was due, over the last minute or so.

    Args:
        most: samples kept; at ten a second, 600 are a minute.
    """

    def __init__(self, most: int = 600) -> None:
        self._samples: deque[float] = deque(maxlen=most)

    def note(self, seconds: float) -> None:
        """Note one beat that came so much too late."""
        self._samples.append(max(0.0, seconds))

    def figures(self) -> tuple[float, float, float]:
        """Median, 99th percentile and maximum in milliseconds; zeros as long as there are none."""
        ordered = sorted(self._samples) or [0.0]
        last = len(ordered) - 1
        p50, p99 = ordered[round(last * 0.5)], ordered[round(last * 0.99)]
        return round(p50 * 1000, 3), round(p99 * 1000, 3), round(ordered[-1] * 1000, 3)


def tell(live: Live, gate: Gate, stress: Stress, lag: Lag) -> Live:
    """Bring up to date what can be read off these; what was counted elsewhere stays as it is in `live`."""
    live.pid = os.getpid()
    live.told = time.time()
    live.started = live.started or live.told
    live.level, live.since, live.cause = stress.policy.level, stress.since, stress.cause
    live.connections, live.limit, live.peak, live.sessions = gate.open, gate.limit, gate.peak, gate.total
    live.lag_p50, live.lag_p99, live.lag_max = lag.figures()
    live.refused = dict(gate.refused)
    return live
