"""The line at the top: how many messages there are, since when, and whether identities are masked."""

import os
import time

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from trap.archive.library import Histogram

_BARS = "▁▂▃▄▅▆▇█"
_CAN_DRAW = os.environ.get("TERM") != "linux"
"""The console's own font has no such bars."""


class Title(Widget):
    """What is looked at."""

    DEFAULT_CSS = "Title { height: 1; background: $primary; color: $text; text-style: bold; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._counted: Histogram | None = None
        self._is_news = self._is_shown = False

    def begin(self) -> None:
        """Nothing is known of what is looked for now."""
        self._counted, self._is_news = None, False
        self.refresh()

    def count(self, counted: Histogram) -> None:
        """Say how many messages were found, and when they came."""
        self._counted = counted
        self.refresh()

    def news(self, found: bool) -> None:
        """Say whether there is new mail."""
        if found != self._is_news:
            self._is_news = found
            self.refresh()

    def shown(self, shown: bool) -> None:
        """Say whether identities are shown."""
        self._is_shown = shown
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The one line there is: the name, and of the rest what there is room for, the last ones first."""
        width = self.size.width
        name = "spamtrap archive" if width >= 60 else "archive"
        right = ""
        for said in reversed(list(filter(None, self._said()))):
            more = f"{said} · {right}" if right else said
            if cell_len(more) > width - len(name) - 2:
                break
            right = more
        blanks = " " * max(1, width - len(name) - cell_len(right))
        return Strip([Segment(name + blanks + right, self.rich_style)]).adjust_cell_length(
            width, self.rich_style
        )

    def _said(self) -> list[str]:
        """What there is to say, the most important last."""
        found = self._counted
        spark = count = ""
        if found and found.found:
            most = max(found.counts)
            bars = "".join(
                " " if not number else _BARS[(len(_BARS) - 1) * number // most] for number in found.counts
            )
            spark = f"{_day(found.since)} {bars} {_day(found.until)}" if _CAN_DRAW else ""
        if found:
            least = "" if found.complete else "more than "
            count = f"{least}{found.found:,} {'message' if found.found == 1 else 'messages'}"
        return [
            spark,
            "new mail: u" if self._is_news else "",
            "identities shown" if self._is_shown else "masked",
            count,
        ]


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
