"""The screen of the browser: a search, the messages it finds, and the one that is read.

On a wide terminal list and message stand side by side; on a narrow one the message covers the list.
All that takes time happens in threads and in the viewer's children. What mail says passes
trap.browse.cells before it is shown, and never is markup.
"""

import asyncio
from pathlib import Path
from typing import NamedTuple

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from trap import fsio
from trap.archive.index import TooSlow
from trap.archive.query import Query, QueryError, parse
from trap.archive.reading import NoArchive, Unreadable
from trap.archive.terms import MAX_QUERY, term, with_term
from trap.browse.desk import Desk, Trouble, sentence
from trap.browse.dialogs import Counts, FileName, Question
from trap.browse.letter import Letter, Paper
from trap.browse.look import KEYS
from trap.browse.roll import Heads, Roll
from trap.browse.search import SearchLine, mistake
from trap.browse.title import Title
from trap.config import Config

_LOOK_EVERY = 5.0
"""Seconds between two looks for new mail."""
_PAUSE = 0.08
"""Seconds the cursor rests on a message before it is read."""
_UNREADABLE = (NoArchive, Unreadable, TooSlow, OSError)
_REVEAL = (
    "Recipients and our hosts are masked. Shown, they stay so until you mask them or quit. That you"
    " wanted to see them is written down in state/acts.log."
)


class Search(NamedTuple):
    """A search made before, to go back to."""

    text: str
    at: str | None
    """Id of the message that the cursor was on."""


class Main(Screen[None]):
    """The screen.

    Args:
        config: of the trap.
        text: the query to begin with.
        user: who looks, for the log of acts.
    """

    BINDINGS = KEYS

    def __init__(self, config: Config, text: str, user: str) -> None:
        super().__init__()
        self.desk = Desk(config, user)
        self._text = text.strip()[:MAX_QUERY]
        self._window = self.desk.window(Query())
        self._past: list[Search] = []
        self._loading = asyncio.Lock()

    def compose(self) -> ComposeResult:
        """What the screen is made of."""
        yield Title()
        yield SearchLine(self._text, placeholder="/ to search", compact=True, select_on_focus=False)
        yield Static(id="mistake")
        with Horizontal():
            with Vertical(id="list"):
                yield Heads()
                yield Static(id="note")
                yield Roll(self.desk.hide)
            yield Letter()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin with the newest messages."""
        self.query_one(Roll).focus()
        self._find(Search(self._text, None))
        self.set_interval(_LOOK_EVERY, self._look)

    def on_unmount(self) -> None:
        """End the children, close the files."""
        self.desk.close()

    # Searching

    @work(exclusive=True, group="find")
    async def _find(self, search: Search, *, remember: bool = False) -> None:
        """Show what a query finds; with one that is wrong, say where, and leave the list as it is."""
        try:
            query = parse(search.text)
        except QueryError as error:
            self._say_mistake(error)
            return
        self._say_mistake(None)
        roll, title = self.query_one(Roll), self.query_one(Title)
        if remember and search.text != self._text:
            self._past.append(Search(self._text, roll.row.id if roll.row else None))
        self._text = search.text
        line = self.query_one(SearchLine)
        if not line.has_focus:  # else somebody types the next one
            line.value = search.text
        window = self.desk.window(query)
        title.begin()
        trouble = ""
        try:
            await window.first(search.at)
        except _UNREADABLE as error:
            trouble = sentence(error)
        self._window = window
        ids = [row.id for row in window.rows]
        self._note(trouble)
        roll.fill(window.rows, ids.index(search.at) if search.at in ids else 0)
        if not window.rows:
            self.query_one(Letter).tell("")
        if not trouble:
            await self._count(query)

    async def _count(self, query: Query) -> None:
        """Say how many messages there are."""
        try:
            self.query_one(Title).count(await self.desk.histogram(query))
        except _UNREADABLE:
            self.query_one(Title).begin()

    @on(Input.Submitted, "SearchLine")
    def _searched(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        try:
            parse(text)
        except QueryError as error:
            self._say_mistake(error)
            return
        self.remove_class("-reading")
        self.query_one(Roll).focus()
        self._find(Search(text, None), remember=True)

    @on(Input.Changed, "SearchLine")
    def _typed(self) -> None:
        self._say_mistake(None)

    def _say_mistake(self, error: QueryError | None) -> None:
        place = self.query_one("#mistake", Static)
        place.set_class(error is not None, "-on")
        if error:
            place.update(mistake(error))

    def _note(self, trouble: str = "") -> None:
        """Say why there is nothing in the list, if there is nothing."""
        note, empty = self.query_one("#note", Static), not self._window.rows
        note.set_class(empty, "-on")
        if empty and self._text and not trouble:
            trouble = "No message is like this. Escape goes back to the search before, / changes this one."
        if empty:
            note.update(Text(trouble or sentence(NoArchive())))

    def action_search(self) -> None:
        """Go to the search line."""
        self.remove_class("-reading")
        search = self.query_one(SearchLine)
        search.focus()
        search.cursor_position = len(search.value)

    def action_before(self) -> None:
        """From the search line to the list; from there to the search before."""
        search = self.query_one(SearchLine)
        if self.focused is search:
            search.value = self._text
            self._leave_search()
        elif self._past:
            self._find(self._past.pop())
        elif self._text:
            self._find(Search("", None))

    def _leave_search(self) -> None:
        reading = self.has_class("-reading")
        (self.query_one(Paper) if reading else self.query_one(Roll)).focus()

    # The list

    @on(Roll.Wanted)
    @work
    async def _load(self, event: Roll.Wanted) -> None:
        """More of the list, one page after the other."""
        roll = self.query_one(Roll)
        async with self._loading:
            if not roll.is_near(event.what):
                return  # an earlier wish brought enough
            window = self._window
            before = len(window.rows)
            try:
                moved = await window.read(event.what)
            except _UNREADABLE as error:
                self._tell(sentence(error), bad=True)
                return
            if window is not self._window:  # another search was made meanwhile
                return
            if event.what in {"first", "last"}:
                roll.fill(window.rows, 0 if event.what == "first" else len(window.rows) - 1)
                self._note()
            elif moved or len(window.rows) != before:
                roll.fill(window.rows, roll.at + moved)

    @on(Roll.Moved)
    def _moved(self, event: Roll.Moved) -> None:
        if event.row and (self.has_class("-wide") or self.has_class("-reading")):
            self._read()

    @on(Roll.Opened)
    def _open(self) -> None:
        self.add_class("-reading")
        self.query_one(Paper).focus()
        self._read()

    @work(exclusive=True, group="look")
    async def _look(self) -> None:
        """Say it when there is new mail."""
        if self._window.at_newest or not self._window.rows:
            try:
                self.query_one(Title).news(await self._window.any_newer())
            except _UNREADABLE:
                return  # whoever asks for the list is told

    def action_again(self) -> None:
        """Look for new mail."""
        self._find(Search(self._text, None))

    # The message

    @work(exclusive=True, group="read")
    async def _read(self, *, again: bool = False) -> None:
        """Read the message that the cursor is on."""
        roll, letter = self.query_one(Roll), self.query_one(Letter)
        if not again:
            await asyncio.sleep(_PAUSE)
        row = roll.row
        if not row or (not again and letter.shown_id == row.id):
            return
        try:
            await letter.show(await self.desk.opened(row))
        except Trouble as trouble:
            letter.tell(str(trouble))

    @on(Letter.Neighbour)
    def _neighbour(self, event: Letter.Neighbour) -> None:
        self.query_one(Roll).step(event.step)

    @on(Letter.Closed)
    def _to_list(self) -> None:
        self.remove_class("-reading")
        self.query_one(Roll).focus()

    async def action_sheet(self, at: int) -> None:
        """Show another sheet of the message."""
        await self.query_one(Letter).turn_to(at)

    def action_campaign(self) -> None:
        """Find all messages of this one's campaign."""
        row = self.query_one(Roll).row
        if not row or not row.campaign:
            self._tell("This message belongs to no campaign.")
            return
        self._to_list()
        self._find(Search(term("campaign", row.campaign), row.id), remember=True)

    @work
    async def action_counts(self) -> None:
        """Narrow the search by what the messages have in common."""
        try:
            facets = await self.desk.facets(self._window.query)
            hide = await self.desk.shared_mask()
        except _UNREADABLE as error:
            self._tell(sentence(error), bad=True)
            return
        added = await self.app.push_screen_wait(Counts(facets, hide))
        if added:
            self._to_list()
            self._find(Search(with_term(self._text, added), None), remember=True)

    @work
    async def action_mask(self) -> None:
        """Show trap identities, once that was confirmed; or mask them again."""
        if self.desk.shown:
            self._set_shown(False)
        else:
            await self._reveal(_REVEAL)

    async def _reveal(self, why: str) -> bool:
        if not await self.app.push_screen_wait(Question("Show trap identities?", why)):
            return False
        try:
            self.desk.show()
        except OSError as error:
            self._tell(f"It can't be written down ({error.strerror}), so nothing is shown.", bad=True)
            return False
        self._set_shown(True)
        return True

    def _set_shown(self, shown: bool) -> None:
        self.desk.shown = shown
        self.query_one(Title).shown(shown)
        self.query_one(Roll).refresh()
        if self.query_one(Letter).opened:
            self._read(again=True)

    @work
    async def action_export(self) -> None:
        """Write the message to a file."""
        row = self.query_one(Roll).row
        if not row:
            return
        if not self.desk.shown and not await self._reveal(f"The file holds the message unmasked. {_REVEAL}"):
            return
        try:
            _, record = await self.desk.record(row.id)
        except Trouble as trouble:
            self._tell(str(trouble), bad=True)
            return

        def write(path: Path) -> None:
            fsio.write(str(path), [record.message])

        if path := await self.app.push_screen_wait(FileName(f"{row.id}.eml", write)):
            self._tell(f"Written: {path}")

    def _tell(self, text: str, *, bad: bool = False) -> None:
        self.notify(text, severity="error" if bad else "information", markup=False)
