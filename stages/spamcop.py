"""spamcop - submit mail to SpamCop, which finds its source and tells the provider (spamcop.net).

A mail with the redacted message as an attachment goes to the address that SpamCop gave you; several that
are ready at a time share one (`together`). They are cut to 50,000 bytes and must be younger than two days.
To submit what came to traps needs SpamCop's approval; ask for it first, and tell them that it is redacted.

See stages/reporting/reporter.py for what all reporters do: what is reported when, the gate, and the book.
"""

import asyncio
import hashlib
import re
import time
from contextlib import suppress

from stages.clients.manner import Manner
from stages.reporting.case import Case, Letter
from stages.reporting.facts import client_of
from stages.reporting.mail import mailbox
from stages.reporting.mailed import SMTP, Mailed, check_name
from stages.reporting.submission import MAX_AGE, attachment, submission
from stages.reporting.terms import Terms
from trap.config import Duration
from trap.job import Job
from trap.place import Place
from trap.reports import Later, Refused, Sending
from trap.stage import Unavailable

MAX_TOGETHER = 50
_HOST = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,20}")


class _Pile:
    """Letters that go in one mail."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.sendings: list[Sending] = []
        self.full = asyncio.Event()
        self.sent: asyncio.Task[str] | None = None
        self._committed = False

    def commit(self) -> None:
        """Say of all of them that they are on their way.

        Raises:
            Later: one was withdrawn meanwhile; nothing was sent.
            Unavailable: they were on their way before: they may have arrived.
        """
        if self._committed:
            raise Unavailable("the mail server was lost while it took them")
        self._committed = True
        for sending in self.sendings:
            try:
                sending.commit()
            except Unavailable as error:
                raise Later(
                    f"was to go in one mail with another, and that one is not sent: {error}"
                ) from None


class Spamcop(Mailed):
    """The stage.

    Args:
        place: given by the worker.
        reporter: who submits, "Name <address>", as SpamCop knows you.
        submit: the address that SpamCop gave you.
        by: host that is said to have received the mail, known to SpamCop as yours; the domain of the
            reporter when empty. Never the trap's own.
        together: messages in one mail.
        linger: how long a mail waits for more of them.
        smtp: the mail server, "host:port", "tls://host:port", or several in the order of preference.
        sender: whom mail that can't be delivered returns to; the reporter when not set, "" for nobody.
        session: how the server is spoken to: {helo, starttls, verify, ca_file, password_file}.
        timeout: for one mail, whatever happens.
        terms: see stages/reporting/terms.py.

    Raises:
        ValueError: a setting makes no sense.
    """

    def __init__(  # noqa: PLR0913 - all of them settings
        self,
        *,
        place: Place,
        reporter: str,
        submit: str,
        by: str = "",
        together: int = 5,
        linger: Duration = Duration("2s"),
        smtp: str | list[str] = SMTP,
        sender: str | None = None,
        session: Manner = Manner(),
        timeout: Duration = Duration("50s"),
        terms: Terms = Terms(),
    ) -> None:
        self._to = mailbox(submit)
        if not self._to:
            raise ValueError(f"submit: {submit!r} is no address; write the one that SpamCop gave you")
        if not 1 <= together <= MAX_TOGETHER:
            raise ValueError(f"together: should be 1 to {MAX_TOGETHER}")
        if by and not _HOST.fullmatch(by):
            raise ValueError(f"by: {by!r} is no name of a host")
        check_name("by", by, place.identities)
        super().__init__(
            place, terms, reporter=reporter, smtp=smtp, sender=sender, session=session, timeout=timeout
        )
        self._by = by.lower() or self.writer.domain
        self._most = together
        self._linger = linger
        self._pile: _Pile | None = None
        self._alone: set[str] = set()
        """Letters that were refused together with others."""

    async def recipients(self, job: Job) -> list[str]:
        """SpamCop, for what came from the Internet, and lately."""
        fresh = time.time() - job.received_at < MAX_AGE
        return [self._to] if fresh and client_of(job.envelope, job.notes) else []

    def compose(self, case: Case, to: str) -> bytes:
        """The mail, if none shares it.

        Raises:
            Refused: SpamCop would not take the message.
        """
        return submission(self.writer, to, case.id, [attachment(case, time.time(), self._by)])

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Send it, with others that come now; the server's answer.

        Raises:
            Later, Refused, Unavailable: as the base says.
        """
        if self._most == 1 or letter.id in self._alone:
            self._alone.discard(letter.id)
            return await super().deliver(letter, sending)
        pile = self._pile = self._pile or _Pile()
        pile.letters.append(letter)
        pile.sendings.append(sending)
        if len(pile.letters) >= self._most:
            pile.full.set()
            self._pile = None
        pile.sent = pile.sent or asyncio.create_task(self._send_soon(pile))
        return await asyncio.shield(pile.sent)

    async def _send_soon(self, pile: _Pile) -> str:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._linger):
                await pile.full.wait()
        if self._pile is pile:
            self._pile = None
        if len(pile.letters) == 1:
            return await super().deliver(pile.letters[0], pile.sendings[0])
        try:
            text = self._together(pile.letters)
            for sending in pile.sendings:
                sending.text = text
            return await self._mailer.send(self._sender, [self._to], text, pile.commit)
        except Refused as error:
            self._alone |= {letter.id for letter in pile.letters}
            raise Later(f"refused together with others, tried alone: {error}") from None

    def _together(self, letters: list[Letter]) -> bytes:
        """One mail of several, made of the same attachments that the gate has seen."""
        name = hashlib.sha256("\0".join(letter.id for letter in letters).encode()).hexdigest()[:20]
        parts = [attachment(letter.case, time.time(), self._by) for letter in letters if letter.case]
        return submission(self.writer, self._to, name, parts)
