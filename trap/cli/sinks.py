"""How the sink processes are shown by `spamtrap status`."""

import time

from rich.console import RenderableType
from rich.text import Text

from trap.cli.output import table
from trap.live import Live
from trap.units import age, size

OLD = 5.0
"""Seconds without word from a sink, after which that is said."""
_STYLE = {"green": "green", "yellow": "bold yellow", "red": "bold red"}


def sinks(all_of_them: Live | None, each: list[Live]) -> list[RenderableType]:
    """Level, connections and lag of each sink process and of all, and what they refused.

    Args:
        all_of_them: them together; None when no sink is running.
        each: them apart.
    """
    if all_of_them is None:
        return [Text("no sink is running", style="bold red")]
    now = time.time()
    shown = [*each, all_of_them] if len(each) > 1 else each
    columns = ("sink", "level", "for", ">connections", ">limit", ">peak", ">lag p99", ">max", ">in flight")
    parts: list[RenderableType] = [table(columns, [_row(live, now) for live in shown])]
    for live in shown:
        if live.cause:
            parts.append(
                Text(f"{_name(live)} is {live.level}: {live.cause}", style=_STYLE.get(live.level, ""))
            )
        if now - live.told > OLD:
            parts.append(Text(f"{_name(live)}: last heard of {age(now - live.told)} ago", style="bold red"))
    if all_of_them.refused:
        causes = sorted(all_of_them.refused.items(), key=lambda entry: (-entry[1], entry[0]))
        parts.append(table(("refused for", ">times"), [(cause, f"{times:,}") for cause, times in causes]))
    return parts


def _name(live: Live) -> str:
    return str(live.pid) if live.pid else "together"


def _row(live: Live, now: float) -> tuple[str | Text, ...]:
    return (
        _name(live),
        Text(live.level, style=_STYLE.get(live.level, "")),
        age(max(0.0, now - live.since)),
        f"{live.connections:,}",
        f"{live.limit:,}",
        f"{live.peak:,}",
        f"{live.lag_p99:.1f} ms",
        f"{live.lag_max:.1f} ms",
        size(live.memory),
    )
