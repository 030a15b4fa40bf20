"""A reader at the terminal, without one: presses keys and sees what stands on the screen."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from trap.browse.app import Browser
from trap.browse.letter import Letter, Paper
from trap.browse.roll import Roll
from trap.config import Config

NARROW, WIDE, TINY = (80, 24), (150, 40), (40, 12)


class Reader:
    """Somebody who looks through an archive."""

    def __init__(self, app: Browser, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot
        self._main = app.screen

    @property
    def roll(self) -> Roll:
        """The list."""
        return self._main.query_one(Roll)

    @property
    def sheet(self) -> str:
        """What is to be read of the message."""
        return self._main.query_one(Paper).plain

    @property
    def screen(self) -> str:
        """What stands on the screen."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    @property
    def told(self) -> str:
        """What was said in passing."""
        return " ".join(notice.message for notice in self.app._notifications)

    @property
    def subjects(self) -> list[str]:
        """Of the messages in memory."""
        return [row.subject for row in self.roll.rows]

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self._pilot.press(*keys)

    async def search(self, query: str) -> None:
        """Type a query in place of the one there is."""
        await self.press(
            "slash", "ctrl+u", *(_KEYS.get(character, character) for character in query), "enter"
        )

    async def resize(self, width: int, height: int) -> None:
        """Make the terminal another size."""
        await self._pilot.resize_terminal(width, height)
        await self._pilot.pause()

    async def until(self, check: Callable[[], object]) -> None:
        """Wait until something is true."""
        end = time.monotonic() + 20
        while not check():
            if time.monotonic() > end:
                pytest.fail(f"it never was; the screen:\n{self.screen}")
            await self._pilot.pause(0.02)

    async def read(self, subject: str) -> None:
        """Wait until a message is shown."""
        letter = self._main.query_one(Letter)
        await self.until(lambda: letter.opened and subject in letter.opened.row.subject and self.sheet)


_KEYS = {" ": "space"}


@asynccontextmanager
async def reader(
    config: Config, size: tuple[int, int] = NARROW, query: str = "", *, empty: bool = False
) -> AsyncIterator[Reader]:
    """A reader whose list has come."""
    app = Browser(config, query, "joe")
    async with app.run_test(size=size) as pilot:
        made = Reader(app, pilot)
        if not empty:
            await made.until(lambda: made.roll.rows)
        yield made
