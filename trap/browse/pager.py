"""Shows lines of text, folded to the screen's width, and scrolls through them."""

from typing import NamedTuple

from rich.text import Span, Text
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from trap.browse.cells import folds, safe

SOFT, GOOD, WARN, BAD, STRONG, NAME = LOOKS = "soft", "good", "warn", "bad", "strong", "name"
"""Styles of a line's text: what they look like is the theme's."""


class Line(NamedTuple):
    """A line of text, whatever its length."""

    text: Text
    """Safe to show (trap.browse.cells)."""
    hang: int = 0
    """Blanks before the lines it is folded into, but for the first."""


def said(text: str, look: str = "") -> Text:
    """Text of any origin, fit to be shown, in one of the looks."""
    text = safe(text)
    return Text(text, spans=[Span(0, len(text), look)] if look else [])


class Pager(ScrollView, can_focus=True):
    """Some lines of text."""

    BINDINGS = [
        Binding("down,j", "scroll_down", "down", show=False),
        Binding("up,k", "scroll_up", "up", show=False),
        Binding("pagedown,space,ctrl+f", "page_down", "page down", show=False),
        Binding("pageup,ctrl+b", "page_up", "page up", show=False),
        Binding("home,g", "scroll_home", "top", show=False),
        Binding("end,G", "scroll_end", "bottom", show=False),
    ]
    COMPONENT_CLASSES = {f"pager--{look}" for look in LOOKS}
    DEFAULT_CSS = """
    Pager { overflow: hidden scroll; padding: 0 0 0 1; }
    Pager > .pager--soft { color: $foreground 65%; }
    Pager > .pager--good { color: $text-success; }
    Pager > .pager--warn { color: $text-warning; }
    Pager > .pager--bad { color: $text-error; text-style: bold; }
    Pager > .pager--strong { text-style: bold; }
    Pager > .pager--name { color: $text-primary; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[Line] = []
        self._pieces: list[tuple[int, int, int]] = []
        """What stands on the lines of the screen: number of the line, from where to where."""

    @property
    def height(self) -> int:
        """Lines it takes on the screen."""
        return len(self._pieces)

    @property
    def plain(self) -> str:
        """All of it, as text."""
        return "\n".join(line.text.plain for line in self._lines)

    def fill(self, lines: list[Line]) -> None:
        """Show other lines, from the first on."""
        self._lines = lines
        self._fold()
        self.scroll_to(y=0, animate=False, immediate=True, force=True)

    def on_resize(self) -> None:
        """Fold anew; what stood at the top stays there."""
        top = self._pieces[min(self.scroll_offset.y, len(self._pieces) - 1)][0] if self._pieces else 0
        self._fold()
        y = next((y for y, piece in enumerate(self._pieces) if piece[0] == top), 0)
        self.scroll_to(y=y, animate=False, immediate=True, force=True)

    def action_page_down(self) -> None:
        """Down by a screen, at once."""
        self.scroll_page_down(animate=False)

    def action_page_up(self) -> None:
        """Up by a screen, at once."""
        self.scroll_page_up(animate=False)

    def _fold(self) -> None:
        width = self.scrollable_content_region.width
        self._pieces = []
        for number, line in enumerate(self._lines):
            plain = line.text.plain
            ends = [*folds(plain, width, width - line.hang), len(plain)]
            self._pieces += zip([number] * len(ends), [0, *ends], ends, strict=False)
        self.virtual_size = Size(width, len(self._pieces))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        at, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        if at >= len(self._pieces):
            return Strip.blank(width, self.rich_style)
        number, start, end = self._pieces[at]
        line = self._lines[number]
        shown = line.text[start:end]
        if start:
            shown = Text(" " * line.hang) + shown
        looks = {look: self.get_component_rich_style(f"pager--{look}") for look in LOOKS}
        shown.spans = [Span(left, right, looks[str(look)]) for left, right, look in shown.spans]
        segments = shown.render(self.app.console)
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)
