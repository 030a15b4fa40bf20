"""Green, yellow, red: how patient the sink is, by how much is asked of it.

The idea is Postfix's (STRESS_README), made finer: three levels, led to by the share of connections in
use, the lag of the event loop and the fill of the spool. A level is held for a time after the last
cause of it, so that a wave does not find the sink patient again between two of its crests.
"""

import math
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from trap.config import Config
from trap.configlimits import Level, Raised

NAMES = ("green", "yellow", "red")


class Policy(NamedTuple):
    """What a session may do at one level. What has no limit is infinite, or sys.maxsize."""

    level: str
    timeout: float
    """Seconds of silence."""
    deadline: float
    """Seconds for one command line to become whole."""
    duration: float
    """Seconds that a session may last."""
    min_rate: float
    """Bytes a second of a message, averaged over it, after a grace."""
    errors: int
    junk: int
    commands: int
    hang_up: int
    """421 or 521."""
    hint: str


class Stress:
    """The level in force, and why.

    Args:
        config: its parts `stress`, `limits` and `smtp`.
        clock: seconds, of any origin.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        stress = config.stress
        self._clock = clock
        self._hold = stress.hold
        self._raised: tuple[Raised, ...] = (stress.yellow, stress.red)
        self._policies = policies(config)
        self._caused_at = [-math.inf] * len(NAMES)
        self._causes = [""] * len(NAMES)
        self._level = 0
        self.policy = self._policies[0]
        """In force now."""
        self.cause = ""
        """What led to the level, like "connections 87%"; empty at green."""
        self.since = time.time()
        """When the level began, in seconds since the epoch."""
        self.change = ""
        """The last change of level as one line for the log."""

    def look(self, connections: float, lag: float, spool: float) -> bool:
        """Compare with what leads to each level. To be called every second or so.

        Args:
            connections: share in use, 0 to 1.
            lag: of the event loop, in seconds.
            spool: share in use, 0 to 1.

        Returns:
            Whether the level changed. `policy`, `cause`, `since` and `change` tell how.
        """
        now = self._clock()
        asked = 0
        for number, level in enumerate(self._raised, 1):
            if cause := _cause(level, connections, lag, spool):
                self._caused_at[number] = now
                self._causes[number] = cause
                asked = number
        held = [number for number in (1, 2) if now - self._caused_at[number] < self._hold]
        number = max([asked, *held])
        if number == self._level:
            return False
        why = self._causes[number]
        if number < self._level:
            why = f"no cause for more in {self._hold:g} s" + (f", {why} before" if why and number else "")
        self.change = f"stress: {NAMES[self._level]} -> {NAMES[number]}: {why}"
        self._level = number
        self.policy = self._policies[number]
        self.cause = self._causes[number]
        self.since = time.time()
        return True


def _cause(level: Raised, connections: float, lag: float, spool: float) -> str:
    """What of these has reached the level, in words."""
    found = []
    if connections >= level.connections:
        found.append(f"connections {connections:.0%}")
    if lag >= level.lag:
        found.append(f"lag {lag * 1000:.0f} ms")
    if spool >= level.spool:
        found.append(f"spool {spool:.0%}")
    return ", ".join(found)


def policies(config: Config) -> tuple[Policy, ...]:
    """The policy of each level, green first; none is milder than the one before it."""
    limits, stress = config.limits, config.stress
    calm = Policy(
        "",
        config.smtp.timeout,
        limits.deadline or math.inf,
        limits.duration or math.inf,
        limits.min_rate,
        limits.errors or sys.maxsize,
        limits.junk or sys.maxsize,
        limits.commands or sys.maxsize,
        421,
        "",
    )
    green = _tighter(NAMES[0], calm, stress.green)
    yellow = _tighter(NAMES[1], green, stress.yellow)
    return green, yellow, _tighter(NAMES[2], yellow, stress.red)


def _tighter(name: str, before: Policy, level: Level) -> Policy:
    """The policy before, with what is stricter at this level. 0 and what is not set change nothing."""
    return Policy(
        name,
        min(before.timeout, level.timeout or math.inf),
        min(before.deadline, level.deadline or math.inf),
        min(before.duration, level.duration or math.inf),
        max(before.min_rate, level.min_rate or 0),
        min(before.errors, level.errors or sys.maxsize),
        min(before.junk, level.junk or sys.maxsize),
        min(before.commands, level.commands or sys.maxsize),
        level.hang_up,
        level.hint,
    )
