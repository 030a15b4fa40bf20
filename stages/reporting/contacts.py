"""Who is told of a message: by a file of contacts, by the registries, or whom the operator names.

What a message says of contacts is never believed: spammers write them. Only where it came from counts, and
who signed it. Nobody is told at a domain of the trap's own, and whom the operator excludes.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from stages.names.blocklists import Address
from stages.reporting.contactmap import ContactMap, lines
from stages.reporting.facts import client_name, client_of
from stages.reporting.mail import mailbox
from stages.reporting.rdap import Rdap, Registries
from trap.backend import Finding
from trap.job import Job
from trap.redaction.identities import Identities

MAX_TOLD = 5
"""Recipients of reports about one message."""
MAX_SIGNERS = 5
"""Domains that answer for a message and are looked up."""


class Sources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The setting `contacts:`; a path alone is the map's."""

    map: str = ""
    """A file, see stages/reporting/contactmap.py."""
    rdap: Registries | None = None
    """Who is asked about networks that the map does not name; nobody when not set."""
    default: list[str] = []
    """Addresses that get what nobody else is known for."""
    only: list[str] = []
    """Addresses and domains (with all below) that are told; all when empty. A path is a file of them."""
    never: list[str] = []
    """The same, of those that never are."""


class Contacts:
    """Finds out who is told.

    Args:
        sources: where from.
        trap: who must not be told.
        reporter: our own address, which does not write to itself.
        cache: file in which answers of registries are kept.

    Raises:
        ValueError: a setting, or a line of a file, makes no sense.
        OSError: the cache can't be used.
    """

    def __init__(self, sources: Sources, trap: Identities, reporter: str, cache: Path) -> None:
        self._trap = trap
        self._reporter = reporter
        self._never = frozenset(_listed(sources.never, "never"))
        self._only = frozenset(_listed(sources.only, "only"))
        self._map = ContactMap(Path(sources.map) if sources.map else None, self.refusal)
        self._default = [self._checked(each) for each in sources.default]
        self._rdap = Rdap(sources.rdap, cache) if sources.rdap else None

    def refusal(self, address: str) -> str:
        """Why an address gets no report; "" when it may."""
        domain = address.rpartition("@")[2]
        ours = self._trap.domains | self._trap.hosts
        if address.lower() in self._trap.addresses or any(name in ours for name in _above(domain)):
            return f"{address} is at a name of the trap's own"
        if address.lower() == self._reporter.lower():
            return f"{address} is who writes the reports"
        return ""

    async def of(self, job: Job, campaign: str = "") -> list[str]:
        """Who is told of a message; nobody when none is known, or it came from nowhere in the Internet.

        Args:
            job: the message.
            campaign: what it is a copy of; whom only a registry names is told of so many a day.
        """
        client = client_of(job.envelope, job.notes)
        if client is None:
            return []
        source = await self._source(client, job.notes, campaign or job.id)
        if source == []:
            return []
        found = [*(source or self._default), *self._signers(job.notes)]
        return list(islice(filter(self._may_be_told, dict.fromkeys(found)), MAX_TOLD))

    def findings(self) -> list[Finding]:
        """For `spamtrap doctor`: what is known."""
        told = [Finding("contacts", good=True, text=self._map.told)]
        return told + (self._rdap.findings() if self._rdap else [])

    def close(self) -> None:
        """Close the cache."""
        if self._rdap:
            self._rdap.close()

    async def _source(self, client: Address, notes: Any, campaign: str) -> list[str] | None:
        """Who answers for the host that sent it; None when that is not known."""
        known = self._map.of_address(client)
        if known is None:
            known = self._map.of_domain(client_name(notes))
        if known is None:
            known = self._map.of_system(_noted(notes, "dns").get("asn"))
        if known is None and self._rdap and (said := await self._rdap.contacts(client)):
            named = filter(self._may_be_told, said)
            known = [address for address in named if self._rdap.may_tell(address, campaign)]
        return known

    def _signers(self, notes: Any) -> Iterator[str]:
        """Whom the map names for domains that answer for it by SPF or DKIM."""
        domains = _noted(notes, "auth").get("authenticated")
        for domain in islice(domains if isinstance(domains, list) else (), MAX_SIGNERS):
            if isinstance(domain, str):
                yield from self._map.of_domain(domain.lower()) or ()

    def _may_be_told(self, address: str) -> bool:
        names = {address.lower(), *_above(address.rpartition("@")[2])}
        if names & self._never or self.refusal(address):
            return False
        return not self._only or bool(names & self._only)

    def _checked(self, text: str) -> str:
        address = mailbox(text)
        if not address:
            raise ValueError(f"contacts: default: {text!r} is no address that mail can be sent to")
        if why := self.refusal(address):
            raise ValueError(f"contacts: default: {why}")
        return address


def _noted(notes: Any, stage: str) -> dict[str, Any]:
    found = notes.get(stage)
    return found if isinstance(found, dict) else {}


def _above(name: str) -> Iterator[str]:
    """A domain, and all that it lies below."""
    while name:
        yield name
        name = name.partition(".")[2]


def _listed(entries: Iterable[str], setting: str) -> Iterator[str]:
    """Addresses and domains, those in files too, in lower case."""
    for entry in entries:
        said = lines(Path(entry)) if entry.startswith("/") else [entry]
        for line in said:
            name = line.partition("#")[0].strip().lower().strip("@.")
            if " " in name:
                raise ValueError(f"contacts: {setting}: {line.strip()[:100]!r} is no address or domain")
            if name:
                yield name
