"""What the screen works with: the archive, the viewer, and the masks, in words that a screen can show."""

from collections.abc import Callable

from trap import acts
from trap.archive.index import TooSlow
from trap.archive.library import Facets, Histogram, Library, Row
from trap.archive.owndomains import OwnDomains
from trap.archive.query import Query
from trap.archive.reading import NoArchive, Reading, Unreadable
from trap.archive.record import Corrupt, Record
from trap.browse.sheets import Opened
from trap.browse.window import Window
from trap.config import Config
from trap.view.mask import mask_text
from trap.view.veil import Veil, hide_in, known
from trap.view.viewer import Viewer

_BARS = 24
"""Stretches of time that messages are counted by."""
_PATIENCE = 0.5
"""Seconds for counting, while nobody waits for it."""
_KEPT = 4000
"""Lines of the list that are masked once."""


class Trouble(Exception):
    """Something can't be shown; the text says what, and what to do."""


class Desk:
    """One reader's.

    Args:
        config: of the trap.
        user: who reads, for the log of acts.

    Attributes:
        shown: whether trap identities are.
    """

    def __init__(self, config: Config, user: str) -> None:
        self._config = config
        self._user = user
        self._reading = Reading(config.paths.archive)
        self._viewer = Viewer()
        self._masked: dict[str, Row] = {}
        self._own_domains = OwnDomains(self._reading)
        self.shown = False

    def close(self) -> None:
        """End the children, close the files."""
        self._viewer.close()
        self._reading.close()

    def window(self, query: Query) -> Window:
        """The list of what a query finds; nothing of it is read yet."""
        return Window(self._reading, query)

    async def histogram(self, query: Query) -> Histogram:
        """How many messages a query finds, and when they came."""
        return await self._reading.ask(lambda library: library.histogram(query, _BARS, _PATIENCE))

    async def facets(self, query: Query) -> Facets:
        """What the messages have in common that a query finds."""
        return await self._reading.ask(lambda library: library.facets(query, budget=_PATIENCE))

    async def record(self, job_id: str) -> tuple[Row, Record]:
        """A message of the list, as it is in the archive now.

        Raises:
            Trouble: it is not there any more, or damaged.
        """

        def read(library: Library) -> tuple[Row, Record]:
            row = library.get(job_id)
            if not row:
                raise FileNotFoundError(2, "its segment was dropped")
            return row, library.record(row)

        try:
            return await self._reading.ask(read)
        except FileNotFoundError:
            raise Trouble(
                "This message was dropped: it is older than what the archive keeps. u looks anew."
            ) from None
        except Corrupt as error:
            raise Trouble(f"This message is damaged: {error}. Run: spamtrap archive verify") from error
        except (NoArchive, Unreadable, OSError) as error:
            raise Trouble(sentence(error)) from error

    async def opened(self, row: Row) -> Opened:
        """A message, ready to be shown.

        Raises:
            Trouble: it is not there any more, or damaged.
        """
        row, record = await self.record(row.id)
        view = await self._viewer.view(record)
        veil = Veil(record, self._config, shown=self.shown)
        return Opened(row, record, veil.view(view), veil, await self._copies(row.campaign))

    async def _copies(self, campaign: str | None) -> int:
        if not campaign:
            return 0
        try:
            found = await self._reading.ask(lambda library: library.campaign(campaign))
        except (NoArchive, Unreadable, TooSlow):
            return 0
        return found.copies if found else 0

    def hide(self, row: Row) -> Row:
        """A line of the list, masked unless identities are shown."""
        if self.shown:
            return row
        if row.id not in self._masked:
            if len(self._masked) >= _KEPT:
                self._masked.clear()
            hide = hide_in(row.rcpt_tos, self._config)
            subject, sender, mail_from = map(hide, (row.subject, row.sender, row.mail_from))
            self._masked[row.id] = row._replace(subject=subject, sender=sender, mail_from=mail_from)
        return self._masked[row.id]

    async def shared_mask(self) -> Callable[[str], str]:
        """What masks texts that belong to no single message; nothing where identities are shown.

        Raises:
            NoArchive, Unreadable, TooSlow: nobody knows what is to be masked.
        """
        if self.shown:
            return str
        names = known([], self._config) | await self._own_domains.get()
        return lambda text: mask_text(text, names)

    def show(self) -> None:
        """Show identities from now on. That is written down.

        Raises:
            OSError: it can't be written down, so nothing is shown.
        """
        acts.record(self._config.paths.state, self._user, "identities shown", client="terminal")
        self.shown = True


def sentence(error: Exception) -> str:
    """What keeps the list from being shown, and what to do about it."""
    if isinstance(error, NoArchive):
        return "Nothing was archived yet. Mail is listed here as soon as it is; u looks again."
    if isinstance(error, TooSlow):
        return f"This search takes too long: {error}. A date: or one more word makes it quicker."
    if isinstance(error, Unreadable):
        return f"The index can't be read ({error}). To make it anew: spamtrap archive reindex, then u."
    return f"The archive can't be read: {getattr(error, 'strerror', None) or error}."
