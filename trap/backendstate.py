"""What workers tell of the programs that their stages ask: each server, up or away, since when and why."""

import os
import time
from collections import Counter
from collections.abc import Iterable

import msgspec

from trap import board
from trap.config import Config

UP, AWAY = "up", "away"


class BackendState(msgspec.Struct):
    """What is known of one server."""

    backend: str
    """The program's name."""
    address: str
    stage: str = ""
    state: str = UP
    """up, or away."""
    since: float = 0.0
    """When that began, in seconds since the epoch; 0: it never changed."""
    cause: str = ""
    """Why it is away, or was."""
    asked: int = 0
    """Conversations about mail."""
    failed: int = 0
    """Those that broke or took too long."""
    opened: int = 0
    """How often it was found away."""

    @property
    def word(self) -> str:
        """How it is, for people: of a spare that was never needed nothing is known."""
        return self.state if self.asked or self.since else "not asked"


class Told(msgspec.Struct):
    """What one worker tells of all servers that its stage asks."""

    at: float
    """When, in seconds since the epoch."""
    stage: str
    backends: list[BackendState]
    unjudged: int = 0
    """Jobs that passed without having been judged, since the worker began."""


class Seen(msgspec.Struct):
    """What all workers tell."""

    backends: list[BackendState] = []
    """By stage in pipeline order, and in the order in which they are preferred."""
    unjudged: dict[str, int] = {}
    """Jobs that passed without having been judged since the workers began, by stage."""


class Teller:
    """Tells of a worker's backends, when there is news.

    Args:
        config: its state directory is used.
        stage: the worker's.

    Raises:
        OSError: the directory can't be made.
    """

    def __init__(self, config: Config, stage: str) -> None:
        self._stage = stage
        self._board = board.Board(_parent(config))
        self._last = Told(0.0, stage, [])

    def tell(self, states: Iterable[BackendState], unjudged: int) -> None:
        """Publish them, unless nothing has changed; what could not be written is tried again."""
        copies = [msgspec.structs.replace(state, stage=self._stage) for state in states]
        now = Told(self._last.at, self._stage, copies, unjudged)
        if now != self._last:
            news = msgspec.structs.replace(now, at=time.time())
            if self._board.publish(news):
                self._last = news

    def close(self) -> None:
        """This worker is not there any more."""
        self._board.close()


def read(config: Config) -> Seen:
    """What the workers tell of every server that they ask.

    Of several workers of one stage counts are added up, and one that finds a server away is believed.

    Raises:
        OSError: it can't be read.
    """
    found: dict[tuple[str, str], BackendState] = {}
    unjudged: Counter[str] = Counter()
    order = {name: at for at, name in enumerate(config.queues)}
    everybody = board.read(_parent(config), Told)
    for told in sorted(everybody, key=lambda told: (order.get(told.stage, len(order)), told.stage)):
        unjudged[told.stage] += told.unjudged
        for state in told.backends:
            known = found.get((state.stage, state.address))
            found[state.stage, state.address] = _together(known, state) if known else state
    return Seen(list(found.values()), dict(unjudged))


def _together(one: BackendState, other: BackendState) -> BackendState:
    worse = max(one, other, key=lambda state: (state.state == AWAY, state.since))
    return msgspec.structs.replace(
        worse,
        asked=one.asked + other.asked,
        failed=one.failed + other.failed,
        opened=one.opened + other.opened,
    )


def _parent(config: Config) -> str:
    return os.fspath(config.paths.state / "backends")
