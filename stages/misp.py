"""misp - report campaigns to a MISP, each as an event.

An event has the mail as an object `email`, its files as objects `file`, and URLs, domains and telephone
numbers as attributes; all of it redacted. What may be exported to those who block by itself (`to_ids`) is
little unless the operator wants more: anybody can name a domain in his mail.

The event's UUID is made of the report's id, and MISP takes a UUID once: when an answer got lost the event is
sent again, and "it exists already" is as good as "saved". To take a report back is to delete its event; MISP
then never takes that UUID again.

API: https://www.misp-project.org/openapi/
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from stages.clients.http import Answer, Session
from stages.reporting import mispevent
from stages.reporting.case import Case, Letter
from stages.reporting.record import record
from stages.reporting.reporter import Reporter
from stages.reporting.site import Site, Web, accepted, secrets
from stages.reporting.tell import Tell
from stages.reporting.terms import Terms
from trap.backend import Broken
from trap.envelope import printable
from trap.job import Job
from trap.place import Place
from trap.reports import Later, Refused, Sending
from trap.units import Base

GROUP = 4
"""The distribution "sharing group"."""


class Event(Base, frozen=True):
    """What events are like."""

    distribution: int = 0
    """Who gets to see them: 0 our organisation, 1 this community, 2 connected communities, 3 all, 4 a sharing
    group."""
    sharing_group: int = 0
    """The number of that group."""
    tags: tuple[str, ...] = ("tlp:amber", "spamtrap")
    """Tags of every event."""
    to_ids: tuple[mispevent.Sign, ...] = ("ip", "hash")
    """What is marked for detection: ip, url, domain, hash, sender."""
    publish: bool = False
    """Whether events are published at once, or first looked at by a person."""
    threat_level: int = 4
    """1 high, 2 medium, 3 low, 4 undefined."""

    def check(self) -> None:
        """Whether they make sense.

        Raises:
            ValueError: they don't.
        """
        if not 0 <= self.distribution <= GROUP:
            raise ValueError("event: distribution: must be 0 to 4")
        if (self.distribution == GROUP) != bool(self.sharing_group):
            raise ValueError("event: sharing_group: goes with distribution: 4, and that with it")
        if not 1 <= self.threat_level <= 4:
            raise ValueError("event: threat_level: must be 1 to 4")


class Misp(Reporter):
    """Report to a MISP.

    Args:
        place: given by the worker.
        url: of the MISP itself ("https://misp.example.com").
        key: file of the automation key of a user who may add events, readable by its owner only.
        web: how the server is reached: {ca, allow_http, timeout}.
        event: what events are like.
        tell: how much is told: {sample}; events have days, so a grain of less tells nothing more.
        terms: as of all reporters.

    Raises:
        ValueError: a setting makes no sense.
        OSError: the book or the key can't be read.
    """

    log_as = "reported"
    repeatable = True

    def __init__(
        self,
        place: Place,
        url: str,
        key: Path,
        web: Web = Web(),
        event: Event = Event(),
        tell: Tell = Tell(),
        terms: Terms = Terms(),
    ) -> None:
        event.check()
        self._key = secrets(key)[0]
        self._site = Site("MISP", url, web, self._probe, "see whether it runs and knows the key (`key`)")
        super().__init__(place, terms)
        self.backends = self._site.backends
        self._tell = tell
        self._style = mispevent.Style(**msgspec.structs.asdict(event), sample=tell.sample)

    async def recipients(self, job: Job) -> list[str]:
        """The MISP that the operator has named."""
        return [self._site.host]

    def compose(self, case: Case, to: str) -> bytes:
        """The event."""
        return mispevent.event(record(case, self._tell.sample, self._tell.grain), self._style)

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Add the event."""
        answer = await self._post(letter.id, "events/add", letter.text, sending)
        told = _told(answer)
        if answer.status < 300:
            event = told.get("Event")
            if not isinstance(event, dict):  # a page for people, by whoever stands before MISP
                raise Later(f"answers {answer.status}, but no event")
            return f"event {printable(str(event.get('id', '')))[:20]}"
        if "already exists" in str(told.get("name", "")):
            return "it was there already"
        if told.get("errors"):
            raise Refused(f"does not save it: {_errors(told['errors'])}")
        return accepted(answer)

    async def retract(self, letter: Letter, sending: Sending) -> str:
        """Delete the event."""
        event = mispevent.uuid(letter.id)
        answer = await self._post(f"{letter.id}-revoked", f"events/delete/{event}", b"{}", sending)
        if answer.status == 404 and "Invalid event" in str(_told(answer).get("name", "")):
            return "it was gone already"
        accepted(answer)
        return "deleted"

    async def _post(self, name: str, path: str, body: bytes, sending: Sending) -> Answer:
        target = self._site.endpoint.beside(path)
        return await self._site.post(name, target, self._fields(), body, sending.commit)

    def _fields(self) -> Iterable[tuple[str, str]]:
        return [("Authorization", self._key)]

    async def _probe(self, session: Session) -> str:
        """Its version; only who has a good key is told."""
        fields = [("Accept", "application/json"), *self._fields()]
        answer = await session.ask("GET", self._site.endpoint.beside("servers/getVersion"), fields)
        version = _told(answer).get("version")
        if answer.status != 200 or not isinstance(version, str):
            raise Broken(f"answers {answer.said} when it is asked for its version")
        return f"MISP {printable(version)[:40]}"


def _told(answer: Answer) -> dict[str, Any]:
    """What an answer says, if it is JSON."""
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _errors(errors: Any) -> str:
    return printable(errors if isinstance(errors, str) else msgspec.json.encode(errors).decode())[:200]
