"""The patrol: one round for all connections, instead of a timer for each.

It visits every connection a few times within the shortest time-out in force, a slice at a time, so that
a hundred thousand of them never hold up the loop. The same clock shows how late the loop is, which is the
best word on how busy the sink is; once a second the level of stress is looked at, and the sink tells of
itself.
"""

import asyncio
import gc
import logging
from collections.abc import Sequence

from trap.connection import Connection
from trap.door import Door
from trap.live import Board, Lag, Live, tell

TICK = 0.05
"""Seconds between two slices of a round."""
LOOK = 1.0
"""Seconds between two looks at the level of stress."""
LONGEST_ROUND = 5.0
TIDY = 3600.0
"""Seconds between two looks for garbage that counting references does not find."""
QUIET = 100
"""Connections at which such a look holds nobody up."""

log = logging.getLogger("trap.sink")


class Patrol:
    """Goes round the connections of all doors.

    Args:
        doors: of one process; gate, stress and intake are the same for all.
        board: where the sink tells of itself, if anywhere.
        addresses: where it takes mail, to be told there.
    """

    def __init__(
        self, doors: Sequence[Door], board: Board | None = None, addresses: Sequence[str] = ()
    ) -> None:
        self._doors = doors
        self._board = board
        self._round: list[Connection] = []
        self._slice = 1
        self._late = Lag()
        self._latest = 0.0
        self._live = Live(addresses=list(addresses))

    async def walk(self) -> None:
        """Go round until cancelled."""
        loop = asyncio.get_running_loop()
        looked = tidied = due = loop.time()
        while True:
            due += TICK
            await asyncio.sleep(due - loop.time())
            now = loop.time()
            self._late.note(now - due)
            self._latest = max(self._latest, now - due)
            due = max(due, now - TICK)  # what was missed is not made up for
            self.step(now)
            if now - looked >= LOOK:
                looked = now
                self.look()
            if now - tidied >= TIDY and self._doors[0].gate.open < QUIET:
                tidied = now
                gc.collect()

    def step(self, now: float) -> None:
        """Visit the next slice of a round; begin a new round when one is over."""
        policy = self._doors[0].stress.policy
        if not self._round:
            self._round = [wire for door in self._doors for wire in door.wires]
            shortest = min(policy.timeout, policy.deadline, policy.duration)
            slices = max(1, int(min(LONGEST_ROUND, shortest / 4) / TICK))
            self._slice = -(-len(self._round) // slices)
        for wire in self._round[-self._slice :]:
            wire.visit(now, policy)
        del self._round[-self._slice :]

    def look(self) -> None:
        """Compare with what leads to stress, and tell of the sink."""
        door = self._doors[0]
        intake, stress = door.intake, door.stress
        if stress.look(door.gate.share, self._latest, intake.fill()):
            log.warning("%s", stress.change)
            self._round.clear()  # other time-outs: go round faster or slower
        self._latest = 0.0
        if self._board is not None:
            live = tell(self._live, door.gate, stress, self._late)
            live.messages, live.bytes = intake.messages, intake.bytes
            live.memory, live.spilled = intake.memory.held, intake.memory.spilled
            self._board.publish(live)
