"""The line in which a query is typed, and what is said of a wrong one: where it is wrong, and why."""

from rich.text import Text
from textual.binding import Binding
from textual.widgets import Input

from trap.archive.query import QueryError
from trap.browse.cells import safe

_AROUND = 30
"""Characters of the query shown on either side of the wrong place."""


class SearchLine(Input):
    """Where a query is typed."""

    BINDINGS = [
        Binding("enter", "submit", "find"),
        Binding("escape,down", "screen.before", "list"),
    ]


def mistake(error: QueryError) -> Text:
    """Two lines: the query, or what is near the wrong place in it, and what is wrong."""
    text, start, end = error.text, error.start, error.end
    before = ("…" if start > _AROUND else "") + text[max(0, start - _AROUND) : start]
    after = text[end : end + _AROUND] + ("…" if len(text) > end + _AROUND else "")
    return Text.assemble(
        safe(before),
        (safe(text[start:end][:_AROUND]) or " ", "bold reverse"),
        safe(after),
        "\n",
        safe(str(error)),
    )
