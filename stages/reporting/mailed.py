"""What reporters by mail share: who writes, through which server, and how long it may take."""

import re
from typing import TypedDict, Unpack

from stages.clients.mailer import Mailer
from stages.clients.manner import Manner
from stages.reporting.case import Letter
from stages.reporting.contacts import Contacts, Sources
from stages.reporting.mail import Writer, mailbox
from stages.reporting.reporter import Reporter
from stages.reporting.terms import Terms
from trap.backend import Finding
from trap.config import Duration
from trap.job import Job
from trap.place import Place
from trap.redaction.identities import Identities
from trap.reports import Sending

CACHE = "rdap.cache"
"""File in the directory of the books, for all who ask registries."""
SMTP = "127.0.0.1:25"

_WORDS = re.compile(r"[^\w]+")


class Sent(TypedDict):
    """How a mail is sent."""

    smtp: str | list[str]
    sender: str | None
    session: Manner
    timeout: Duration


class Mailed(Reporter):
    """The base of reporters by mail.

    Args:
        place: given by the worker.
        terms: of all reporters.
        reporter: who writes, "Name <address>".
        mail: smtp, the server that passes the mail on, or several in the order of preference; sender, to
            whom it is returned: to the reporter if None, to nobody when empty; session, how the server is
            spoken to; timeout, for one mail.

    Raises:
        ValueError: a setting makes no sense.
    """

    def __init__(self, place: Place, terms: Terms, *, reporter: str, **mail: Unpack[Sent]) -> None:
        sender = mail["sender"]
        self.writer = Writer.parse(reporter)
        self._sender = self.writer.address if sender is None else mailbox(sender)
        if sender and not self._sender:
            raise ValueError(f"sender: {sender!r} is no address; mail that can't be delivered returns to it")
        ours = place.identities
        for setting, address in (("reporter", self.writer.address), ("sender", self._sender)):
            check_name(setting, address, ours)
        if words := ours.words & set(_WORDS.split(f"{self.writer.name} {self.writer.address}".lower())):
            raise ValueError(
                f"reporter: {min(words)!r} is a word that tells of the trap: all reports would be held"
            )
        self._mailer = Mailer(
            "mail server", mail["smtp"], mail["session"], mail["timeout"], ours.hosts | ours.domains
        )
        self.backends = self._mailer.backends
        super().__init__(place, terms)

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Send it; the server's answer.

        Raises:
            Later, Refused, Unavailable: as the base says.
        """
        return await self._mailer.send(self._sender, [letter.to], letter.text, sending.commit)


class ToContacts(Mailed):
    """The base of those who report to abuse contacts.

    Args:
        place: given by the worker.
        terms: of all reporters.
        contacts: who is told, or the path of a map.
        reporter: who writes, "Name <address>".
        mail: the other settings of Mailed.

    Raises:
        ValueError: a setting makes no sense.
    """

    def __init__(
        self, place: Place, terms: Terms, contacts: str | Sources, *, reporter: str, **mail: Unpack[Sent]
    ) -> None:
        sources = Sources(map=contacts) if isinstance(contacts, str) else contacts
        writer = Writer.parse(reporter)
        self._contacts = Contacts(sources, place.identities, writer.address, place.directory / CACHE)
        super().__init__(place, terms, reporter=reporter, **mail)

    async def recipients(self, job: Job) -> list[str]:
        """Who answers for the host that sent it."""
        return await self._contacts.of(job, self.campaign(job))

    async def check(self) -> list[Finding]:
        """For `spamtrap doctor`: what is known of contacts."""
        return self._contacts.findings()

    def close(self) -> None:
        """Close what is kept of contacts, and the book."""
        self._contacts.close()
        super().close()


def check_name(setting: str, name: str, ours: Identities) -> None:
    """See that an address or host does not tell who the trap is.

    Raises:
        ValueError: it does; as text, by what.
    """
    said = name.lower()
    domain = said.rpartition("@")[2]
    told = [each for each in ours.addresses if each == said]
    told += [each for each in ours.domains | ours.hosts if f".{domain}".endswith(f".{each}")]
    if told:
        raise ValueError(f"{setting}: {name} would tell everybody of {told[0]}, the trap's own")
