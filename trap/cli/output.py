"""Output for people and for machines."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trap.envelope import printable

PLAIN_WIDTH = 10_000
"""Width when piped: no line is ever wrapped or cut."""


SCREENFUL = 50
limit_option = click.option(
    "--limit",
    type=click.IntRange(0),
    help=f"At most so many; 0: all. On a terminal {SCREENFUL} when not given, else all.",
)


def default_limit(limit: int | None, as_json: bool) -> int:
    """What a listing's --limit comes to: machines get everything, people a screenful; 0 is all."""
    if limit is None:
        return SCREENFUL if sys.stdout.isatty() and not as_json else 0
    return limit


def console() -> Console:
    """stdout: with colour and the terminal's width on a terminal, plain when piped."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=PLAIN_WIDTH, no_color=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> Table:
    """A table; columns whose name begins with ">" hold numbers and are aligned to the right.

    Nothing in a cell can reach the terminal as a command; give Text for colour.
    """
    made = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, title=title or None)
    made.title_justify = "left"
    for column in columns:
        number = column.startswith(">")
        made.add_column(column.lstrip(">"), justify="right" if number else "left", no_wrap=number)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(lines(str(cell))) for cell in row))
    return made


def lines(text: str) -> str:
    """Text of any origin, line by line, without anything that a terminal would obey."""
    return "\n".join(printable(line) for line in text.splitlines())


def show(thing: Any) -> None:
    """Print something of rich's; piped, without the blanks that make columns as wide as the widest."""
    out = console()
    if sys.stdout.isatty():
        out.print(thing)
        return
    with out.capture() as captured:
        out.print(thing)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def json_line(thing: Any) -> None:
    """Print one JSON document on one line."""
    click.echo(msgspec.json.encode(thing).decode())
