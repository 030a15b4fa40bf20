"""One message on the screen: a few lines of what it is, and its sheets, one at a time."""

import asyncio

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from trap.browse import sheets
from trap.browse.pager import SOFT, Line, Pager, said
from trap.browse.sheets import SHEETS, Opened


class Head(Pager, can_focus=False):
    """Whom and when it is from, and what is wrong with it."""

    DEFAULT_CSS = "Head { height: 3; overflow: hidden; padding: 0 1; background: $surface; }"


class Paper(Pager):
    """The sheet that is shown."""


class Tabs(Widget):
    """The names of the sheets, the one that is shown among them."""

    COMPONENT_CLASSES = {"tabs--key", "tabs--on", "tabs--alarm"}
    DEFAULT_CSS = """
    Tabs { height: 1; background: $surface; color: $text-muted; padding: 0 1; }
    Tabs > .tabs--key { text-style: underline; }
    Tabs > .tabs--on { text-style: bold reverse; color: $foreground; }
    Tabs > .tabs--alarm { color: $text-error; text-style: bold; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.at = 0
        self.opened: Opened | None = None

    def render_line(self, y: int) -> Strip:
        """The one line there is; numbers only where there is room."""
        for numbered in (True, False):
            segments = self._segments(numbered)
            if sum(segment.cell_length for segment in segments) <= self.size.width:
                break
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)

    def _segments(self, numbered: bool) -> list[Segment]:
        made: list[Segment] = []
        on, key, alarm = (
            self.get_component_rich_style(f"tabs--{name}", partial=True) for name in ("on", "key", "alarm")
        )
        for at, sheet in enumerate(SHEETS):
            style = self.rich_style + on if at == self.at else self.rich_style
            before, letter, after = sheet.name.partition(sheet.key)
            made += [Segment(before, style), Segment(letter, style + key), Segment(after, style)]
            count = sheet.number(self.opened.view) if self.opened and numbered else None
            if count is not None:
                made.append(Segment(f" {count:,}", style))
            if self.opened and sheet.alarm(self.opened.view):
                made.append(Segment("!", self.rich_style + alarm))
            made.append(Segment("  " if numbered else " ", self.rich_style))
        return made[:-1]


class Letter(Vertical):
    """A message, read."""

    BINDINGS = [
        Binding("right", "turn(1)", "next sheet", show=False),
        Binding("left", "turn(-1)", "previous sheet", show=False),
        Binding("n", "neighbour(1)", "next"),
        Binding("p", "neighbour(-1)", "prev"),
        Binding("escape,backspace", "close", "list"),
    ]

    class Neighbour(Message):
        """The message before or behind this one is to be read."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class Closed(Message):
        """Back to the list."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, list[Line]] = {}

    def compose(self) -> ComposeResult:
        """What it is made of."""
        yield Head()
        yield Tabs()
        yield Paper()

    @property
    def opened(self) -> Opened | None:
        """The message that is shown."""
        return self.query_one(Tabs).opened

    @property
    def shown_id(self) -> str:
        """Id of the message that is to be read; empty when there is none, or not yet."""
        tabs = self.query_one(Tabs)
        return tabs.opened.row.id if tabs.opened and tabs.at in self._made else ""

    async def show(self, opened: Opened) -> None:
        """Show a message, on the sheet that was looked at last."""
        if not self.query(Tabs):  # everything is being closed
            return
        self._made = {}
        self.query_one(Tabs).opened = opened
        self.query_one(Head).fill(sheets.head(opened))
        self._fit()
        await self.turn_to(self.query_one(Tabs).at)

    def tell(self, text: str) -> None:
        """Show a sentence instead of a message."""
        self._made = {}
        self.query_one(Tabs).opened = None
        self.query_one(Tabs).refresh()
        self.query_one(Head).fill([])
        self.query_one(Paper).fill([Line(said(text, SOFT))] if text else [])

    async def action_turn(self, step: int) -> None:
        """Show the sheet beside this one."""
        await self.turn_to((self.query_one(Tabs).at + step) % len(SHEETS))

    def action_neighbour(self, step: int) -> None:
        """Read the next message, or the previous one."""
        self.post_message(self.Neighbour(step))

    def action_close(self) -> None:
        """Back to the list."""
        self.post_message(self.Closed())

    def on_resize(self) -> None:
        """Give the head what room there is."""
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        head = self.query_one(Head)
        head.styles.height = max(1, min(head.height, max(2, self.size.height // 4)))

    async def turn_to(self, at: int) -> None:
        """Show a sheet, by its place in SHEETS."""
        tabs = self.query_one(Tabs)
        opened, tabs.at = tabs.opened, at
        tabs.refresh()
        if not opened:
            return
        if at not in self._made:
            found = await asyncio.to_thread(sheets.lines, opened, SHEETS[at])
            if tabs.opened is not opened or not self.query(Paper):  # another was opened, or all is closed
                return
            self._made[at] = found
        if tabs.at == at:
            self.query_one(Paper).fill(self._made[at])
