"""The list of messages on the screen: a line each, a cursor, and more of them as one moves on."""

import time
from collections.abc import Callable

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from trap.archive.library import Row
from trap.browse.cells import cut, safe
from trap.units import size

NEAR = 40
"""Lines from an end of what is in memory at which more is wanted."""
_FORMS = {16: "%Y-%m-%d %H:%M", 11: "%m-%d %H:%M", 5: "%m-%d"}
"""Of the time, by the cells they take."""


class Column:
    """One column: where it stands, and what of a message is in it."""

    def __init__(self, name: str, width: int, text: Callable[[Row], str], look: str = "") -> None:
        self.name = name
        self.width = width
        self.text = text
        self.look = look


def columns(width: int) -> list[Column]:
    """What of a message is told in a line of so many cells; the subject has what the others leave."""
    when = 16 if width >= 100 else 11 if width >= 48 else 5
    made = [
        Column("time", when, lambda row: time.strftime(_FORMS[when], time.gmtime(row.received_at)), "soft")
    ]
    if width >= 72:
        made.append(Column("client", 15, lambda row: row.client_ip, "soft"))
    made.append(Column("from", 26 if width >= 100 else 18 if width >= 72 else 12 + width // 32, _sender))
    made.append(Column("subject", 0, lambda row: row.subject or "(no subject)", "subject"))
    if width >= 72:
        made.append(Column("size", 8, lambda row: f"{size(row.size):>8}", "soft"))
    made_up = sum(column.width + 1 for column in made) - 1
    next(column for column in made if column.name == "subject").width = max(1, width - made_up)
    return made


def _sender(row: Row) -> str:
    return row.sender or f"<{row.mail_from}>"


class Heads(Widget):
    """The names of the columns."""

    DEFAULT_CSS = "Heads { height: 1; color: $text-muted; padding-right: 1; }"

    def render_line(self, y: int) -> Strip:
        """The one line there is."""
        cells = [
            f"{column.name:>{column.width}}" if column.name == "size" else cut(column.name, column.width)
            for column in columns(self.size.width)
        ]
        return Strip([Segment(" ".join(cells), self.rich_style)]).adjust_cell_length(
            self.size.width, self.rich_style
        )


class Roll(ScrollView, can_focus=True):
    """The messages. What they are, and more of them, comes from whoever owns this.

    Args:
        hide: masks what must not be seen in a text of a row.
    """

    BINDINGS = [
        Binding("enter", "open", "read"),
        Binding("down,j", "move(1)", "next", show=False),
        Binding("up,k", "move(-1)", "previous", show=False),
        Binding("pagedown,space,ctrl+f", "page(1)", "page down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False),
        Binding("home,g", "end(False)", "newest", show=False),
        Binding("end,G", "end(True)", "oldest", show=False),
    ]
    COMPONENT_CLASSES = {"roll--cursor", "roll--soft", "roll--subject"}
    DEFAULT_CSS = """
    Roll { overflow: hidden scroll; }
    Roll > .roll--cursor { background: $surface-lighten-2; color: $foreground; text-style: bold; }
    Roll:focus > .roll--cursor { background: $primary; color: $text; }
    Roll > .roll--soft { color: $foreground 65%; }
    Roll > .roll--subject { text-style: bold; }
    """

    class Moved(Message):
        """The cursor is on another message."""

        def __init__(self, row: Row | None) -> None:
            super().__init__()
            self.row = row

    class Opened(Message):
        """A message is to be read."""

    class Wanted(Message):
        """More is wanted: `older` or `newer` messages, or the list from its other end, `first` or `last`."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    def __init__(self, hide: Callable[[Row], Row]) -> None:
        super().__init__()
        self._hide = hide
        self._columns: list[Column] = []
        self.rows: list[Row] = []
        self.at = 0

    @property
    def row(self) -> Row | None:
        """The message the cursor is on."""
        return self.rows[self.at] if self.rows else None

    @property
    def room(self) -> int:
        """Cells of a line."""
        return self.scrollable_content_region.width

    def fill(self, rows: list[Row], at: int) -> None:
        """Show other messages, with the cursor on one of them.

        Args:
            at: its place; the list moves so that it stays where it is on the screen.
        """
        before, below = self.row, self.at - self.scroll_offset.y
        self.rows, self.at = rows, max(0, min(at, len(rows) - 1))
        self.virtual_size = Size(self.room, len(rows))
        self.scroll_to(y=max(0, self.at - below), animate=False, immediate=True, force=True)
        self._reveal()
        if (self.row and self.row.id) != (before and before.id):
            self.post_message(self.Moved(self.row))
        self.refresh()

    def step(self, lines: int) -> None:
        """Move the cursor; near an end, more is asked for."""
        self.at = max(0, min(self.at + lines, len(self.rows) - 1))
        self._reveal()
        self.post_message(self.Moved(self.row))
        what = "older" if lines > 0 else "newer"
        if self.is_near(what):
            self.post_message(self.Wanted(what))
        self.refresh()

    def is_near(self, what: str) -> bool:
        """Whether there is little left in memory of what is wanted."""
        return {"older": self.at >= len(self.rows) - NEAR, "newer": self.at < NEAR}.get(what, True)

    def action_move(self, lines: int) -> None:
        """Move by a few lines."""
        self.step(lines)

    def action_page(self, pages: int) -> None:
        """Move by screens."""
        self.step(pages * max(1, self.size.height - 1))

    def action_end(self, oldest: bool) -> None:
        """Move to an end of the whole list."""
        self.post_message(self.Wanted("last" if oldest else "first"))

    def action_open(self) -> None:
        """Read the message the cursor is on."""
        if self.row:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; one on the cursor opens."""
        at = event.y + self.scroll_offset.y
        if at == self.at:
            self.action_open()
        elif at < len(self.rows):
            self.step(at - self.at)

    def on_resize(self) -> None:
        """Fit the columns anew, and keep the cursor in sight."""
        self._columns = columns(self.room)
        self.virtual_size = Size(self.room, len(self.rows))
        self._reveal()

    def _reveal(self) -> None:
        self.scroll_to_region(Region(0, self.at, 1, 1), animate=False, immediate=True, force=True)

    def render_line(self, y: int) -> Strip:
        """One message."""
        at, width = y + self.scroll_offset.y, self.room
        if at >= len(self.rows):
            return Strip.blank(width, self.rich_style)
        row, on = self._hide(self.rows[at]), at == self.at
        base = self.rich_style + self.get_component_rich_style("roll--cursor") if on else self.rich_style
        segments = []
        for column in self._columns:
            look = base if on or not column.look else self._look(column.look)
            segments.append(Segment(cut(safe(column.text(row)), column.width) + " ", look))
        return Strip(segments).adjust_cell_length(width, base)

    def _look(self, name: str) -> Style:
        return self.get_component_rich_style(f"roll--{name}")
