"""What opens above the screen: help, a question, a file's name, counts to narrow by."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from trap.archive.library import Facets
from trap.archive.terms import term
from trap.browse.cells import cut, safe

T = TypeVar("T")
_MOST = 12
"""Values of each facet that are offered."""
_STYLE = """
    {name} {{ align: center middle; }}
    {name} > .box {{
        width: 76; max-width: 100%; height: auto; max-height: 100%; padding: 0 1;
        border: round $primary; background: $surface; border-title-style: bold;
    }}
"""
_HELP = """\
In the list
  j k ↑ ↓        next, previous message
  space PgUp     a screen down, up
  g G            newest, oldest
  enter          read

While reading
  n p            next, previous message
  j k space      down, up, a screen down
  t l a          text, links, parts (attachments)
  w s h r        way, session and notes, header, raw
  ← →            sheet beside this one
  escape         back to the list

Everywhere
  tab            from list to message and back
  /              search; enter finds, ↓ or escape leaves
  escape         in the list: back to the search before
  f              counts, to narrow the search by
  c              messages of the same campaign
  m              show or mask trap identities
  e              write the message to a file
  u              look for new mail
  d              light or dark
  q              quit

Searching
  words "a phrase" wor* -not this or that (groups)
  subject: body: from: to: helo: url: attachment:
  ip: cidr: domain: tld: charset: hash: campaign:
  tag: stage: kind: date:2026-11 date:3d size:>1M
"""


class _Dialog(ModalScreen[T]):
    """A box above the screen; escape closes it."""

    BINDINGS = [Binding("escape", "close", "close")]

    def action_close(self) -> None:
        """Close it, with nothing done."""
        self.dismiss(None)


class Help(_Dialog[None]):
    """All keys."""

    DEFAULT_CSS = _STYLE.format(name="Help") + "Help > .box { width: 62; }"
    BINDINGS = [
        Binding("q,question_mark,enter", "close", show=False),
        Binding("j", "down", show=False),
        Binding("k", "up", show=False),
    ]

    def compose(self) -> ComposeResult:
        """What it is made of."""
        with VerticalScroll(classes="box") as box:
            box.border_title = "Keys"
            yield Static(Text(_HELP))

    def action_down(self) -> None:
        """Scroll."""
        self.query_one(VerticalScroll).scroll_down(animate=False)

    def action_up(self) -> None:
        """Scroll."""
        self.query_one(VerticalScroll).scroll_up(animate=False)


class Question(_Dialog[bool]):
    """Something to be answered with yes or no."""

    DEFAULT_CSS = _STYLE.format(name="Question") + "Question > .box { width: 62; }"
    BINDINGS = [
        Binding("y", "yes", "yes"),
        Binding("n,q,enter", "close", "no"),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """What it is made of."""
        with Vertical(classes="box") as box:
            box.border_title = Text(self._title).markup
            yield Static(Text(self._text))
            yield Static(Text("\ny  yes      n  no", "bold"))

    def action_yes(self) -> None:
        """Answer yes."""
        self.dismiss(True)


class FileName(_Dialog[Path]):
    """Asks where to write a message, and writes it.

    Args:
        proposed: the name that stands there at first.
        write: writes the file; an OSError of it is shown, and the name can be changed.
    """

    DEFAULT_CSS = _STYLE.format(name="FileName") + "FileName #trouble { color: $text-error; }"

    def __init__(self, proposed: str, write: Callable[[Path], None]) -> None:
        super().__init__()
        self._proposed = proposed
        self._write = write

    def compose(self) -> ComposeResult:
        """What it is made of."""
        with Vertical(classes="box") as box:
            box.border_title = "Write the message, as it was received, to"
            yield Input(self._proposed, select_on_focus=False, compact=True)
            yield Static(id="trouble")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Write it."""
        event.stop()
        path = Path(event.value.strip() or ".").expanduser()
        try:
            self._write(path)
        except FileExistsError:
            self._tell("It is there already, and is not written over.")
        except (OSError, ValueError) as error:  # a NUL in a name is a ValueError
            self._tell(f"It can't be written: {getattr(error, 'strerror', None) or error}.")
        else:
            self.dismiss(path)

    def _tell(self, text: str) -> None:
        self.query_one("#trouble", Static).update(Text(text))


class Counts(_Dialog[str]):
    """Values that the messages found have in common, with their numbers; answers with a term.

    Args:
        facets: what was counted.
        hide: masks what must not be seen.
    """

    DEFAULT_CSS = (
        _STYLE.format(name="Counts")
        + "Counts OptionList { height: auto; max-height: 100%; border: none; background: $surface; }"
    )
    BINDINGS = [
        Binding("j", "down", show=False),
        Binding("k", "up", show=False),
        Binding("f,q", "close", show=False),
    ]

    def __init__(self, facets: Facets, hide: Callable[[str], str]) -> None:
        super().__init__()
        self._facets = facets
        self._hide = hide
        self._terms: dict[int, str] = {}

    def compose(self) -> ComposeResult:
        """What it is made of."""
        with Vertical(classes="box") as box:
            which = "all" if self._facets.complete else "the newest"
            box.border_title = f"Narrow by: counted over {which} {self._facets.counted:,}"
            yield OptionList(*self._options(), compact=True)

    def _options(self) -> list[Option]:
        made: list[Option] = []
        for name, values in self._facets.values.items():
            if values:
                made.append(Option(Text(name, "bold"), disabled=True))
            for value, count in values[:_MOST]:
                shown = self._hide(value)
                self._terms[len(made)] = term(name, value)
                # A search for what is masked would tell it.
                made.append(Option(Text(f"{count:>7,}  {cut(safe(shown), 40)}"), disabled=shown != value))
        return made or [Option(Text("There is nothing to count."), disabled=True)]

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Narrow by it."""
        self.dismiss(self._terms[event.option_index])

    def action_down(self) -> None:
        """Move."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """Move."""
        self.query_one(OptionList).action_cursor_up()
