"""The pipeline as it is wired, for a drawing: the stages in order, what branches, what is fed beside it."""

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from trap.config import Config
from trap.envelope import printable
from trap.history import Point
from trap.status import QueueStatus
from trap.web.pulse import Look

BEHIND = 60.0
"""Age of the oldest job, in seconds, from which a queue is said to be behind."""
REASONS = 3
"""Reasons for drops that stand at a stage."""


class Box(msgspec.Struct):
    """One queue with its stage."""

    queue: QueueStatus
    state: str
    """good, idle, warn or bad."""
    note: str
    """What is wrong, or special, in a few words."""
    passing: float
    """Jobs a second that go on."""
    dropped: list[tuple[str, int]]
    """What was dropped here in the span that is shown, and shed, most first."""
    fed: "list[Box]"
    """Queues beside the pipeline that this stage puts jobs into."""


class Flow(msgspec.Struct):
    """The whole."""

    trunk: list[Box]
    branches: list[Box]
    routed: list[Box]
    """Queues that routes put mail into, past the pipeline."""
    others: list[Box]
    """What nothing leads to: left by an earlier configuration, mostly."""

    def boxes(self) -> Iterator[Box]:
        """Every one."""
        waiting = [*self.trunk, *self.branches, *self.routed, *self.others]
        while waiting:
            box = waiting.pop(0)
            waiting += box.fed
            yield box


def flow(config: Config, look: Look, span: str) -> Flow:
    """The drawing of one look.

    Args:
        config: says what leads where.
        look: the figures.
        span: one of trap.history.SPANS; drops are those of it.
    """
    queues = {queue.name: queue for queue in look.queues}
    drops = ended(look.points[span])
    placed: set[str] = set()

    def box(name: str) -> Box:
        placed.add(name)
        queue = queues[name]
        state, note = _state(config, queue)
        mine = [(reason, number) for (at, reason), number in drops.most_common() if at == name]
        beside = [each for each in _leads(config, name) if each in queues and each not in placed]
        return Box(
            queue, state, note, look.passing.get(name, 0.0), _few(mine), [box(each) for each in beside]
        )

    order = [name for name in config.pipeline_stages if name in queues]
    placed.update(order)
    trunk = [box(name) for name in order if name in config.trunk]
    branches = [box(name) for name in order if name in config.branches]
    routed = [box(each.to) for each in config.route if each.to in queues and each.to not in placed]
    return Flow(trunk, branches, routed, [box(name) for name in queues if name not in placed])


def ended(points: Iterable[Point]) -> Counter[tuple[str, str]]:
    """What was dropped and shed, counted by queue and reason."""
    found: Counter[tuple[str, str]] = Counter()
    for point in points:
        for key, number in point.counts.items():
            what, *rest = key.split(" ", 2)
            if what in {"dropped", "shed"} and len(rest) == 2:
                queue, reason = rest
                reason = printable(reason.removeprefix(f"{queue} "))
                found[queue, reason if what == "dropped" else f"shed: {reason}"] += number
    return found


def _leads(config: Config, name: str) -> list[str]:
    """Queues beside the pipeline that a stage's jobs go to."""
    stage = config.stage(name)
    to = stage.settings.get("to")
    return [*([to] if isinstance(to, str) else []), *(stage.next or [])]


def _few(drops: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The most frequent, and the others in one."""
    if len(drops) <= REASONS + 1:
        return drops
    return [*drops[:REASONS], ("other reasons", sum(number for _, number in drops[REASONS:]))]


def _state(config: Config, queue: QueueStatus) -> tuple[str, str]:
    if not queue.configured:
        return "warn", "not configured: nobody works it off"
    if not config.stage(queue.name).workers:
        return "idle", "only holds"
    if not queue.workers:
        return "bad", "no worker is alive"
    if queue.oldest_age_s > BEHIND:
        return "warn", "behind"
    return "warn" if queue.bad else "good", ""
