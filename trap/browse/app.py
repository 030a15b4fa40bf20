"""The application behind `spamtrap archive browse`: one screen, dark or light."""

import os

from textual.app import App
from textual.binding import Binding
from textual.screen import Screen

from trap.browse.dialogs import Help
from trap.browse.look import CSS
from trap.browse.main import Main
from trap.config import Config

WIDE = 120
"""Cells from which on list and message stand side by side."""
LOW = 16
"""Lines up to which a message has the whole screen."""


class Browser(App[None]):
    """The application.

    Args:
        config: of the trap.
        text: the query to begin with.
        user: who looks, for the log of acts.
    """

    CSS = CSS
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (LOW, "-high")]
    BINDINGS = [
        Binding("question_mark", "keys", "keys", key_display="?"),
        Binding("q", "quit", "quit"),
        Binding("d", "light", "light or dark", show=False),
        Binding("ctrl+c,ctrl+q", "quit", "quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "suspend", show=False),
    ]

    def __init__(self, config: Config, text: str = "", user: str = "") -> None:
        super().__init__()
        self._main = Main(config, text, user)
        self.theme = "textual-light" if _is_light(os.environ.get("COLORFGBG", "")) else "textual-dark"

    def get_default_screen(self) -> Screen[None]:
        """The screen it begins with."""
        return self._main

    def action_keys(self) -> None:
        """Show all keys."""
        if self.screen is self._main:
            self.push_screen(Help())

    def action_light(self) -> None:
        """From a dark to a light theme, or back."""
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"


def _is_light(colors: str) -> bool:
    """Whether a terminal that says its colours (COLORFGBG, as rxvt began it) has a light background."""
    return colors.rpartition(";")[2] in {"7", "15"}
