"""How the programs that stages ask are shown by `spamtrap status`."""

import time
from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from trap.backendstate import AWAY, BackendState
from trap.cli.output import table
from trap.envelope import printable
from trap.units import age

_COLUMNS = ("backend", "address", "stage", "state", "for", ">asked", ">failed", ">times away")


def backends(states: Sequence[BackendState], unjudged: Mapping[str, int]) -> list[RenderableType]:
    """A table of them, why those that are away are so, and what passed unjudged meanwhile.

    Args:
        states: each server.
        unjudged: jobs that passed without having been judged, by stage.
    """
    if not states:
        return []
    now = time.time()
    parts: list[RenderableType] = [table(_COLUMNS, [_row(state, now) for state in states])]
    parts += [
        Text(f"{state.backend} at {state.address} is away: {printable(state.cause)}", style="bold red")
        for state in states
        if state.state == AWAY
    ]
    parts += [
        Text(f"{stage}: {number:,} passed unjudged since its workers began")
        for stage, number in unjudged.items()
        if number
    ]
    return parts


def _row(state: BackendState, now: float) -> tuple[str | Text, ...]:
    return (
        state.backend,
        state.address,
        state.stage,
        Text(state.word, style="bold red" if state.state == AWAY else ""),
        age(max(0.0, now - state.since)) if state.since else "-",
        f"{state.asked:,}",
        f"{state.failed:,}",
        f"{state.opened:,}",
    )
