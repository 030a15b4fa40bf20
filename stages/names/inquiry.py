"""All questions about one message: asked at once, over by one deadline, with notes of what was learnt."""

import asyncio
from collections.abc import Coroutine, Sequence
from ipaddress import ip_address
from typing import Any

from stages.names.blocklists import Address, Blocklist, NoAnswer
from stages.names.lookup import Lookup
from trap.stage import Notes, Unavailable

MAX_NAMES = 5
"""Names of an address that are looked up again, to see whether they have it."""
MAX_MISSING = 50

Question = Coroutine[Any, Any, None]


class Inquiry:
    """What is asked, and what came of it.

    Args:
        lookup: who asks.
    """

    def __init__(self, lookup: Lookup) -> None:
        self.notes: Notes = {}
        self._lookup = lookup
        self._asked: dict[asyncio.Task[None], str | Blocklist] = {}

    def ask(self, what: str, question: Question) -> None:
        """Begin with a question that writes what it learns into `notes`, as it learns it.

        Args:
            what: its name among what is missing.
            question: raises NoAnswer or Unavailable.
        """
        self._asked[asyncio.ensure_future(question)] = what

    def ask_about_address(self, blocklist: Blocklist, address: Address, *note: str) -> None:
        """Ask a list about an address; its codes will stand below the note's names and the list's own."""
        self._begin(blocklist, blocklist.about_address(address), note)

    def ask_about_host(self, blocklist: Blocklist, host: str, *note: str) -> None:
        """The same, about a host or domain."""
        self._begin(blocklist, blocklist.about_host(host), note)

    async def end(self, seconds: float) -> None:
        """Wait for the answers, and note what there are none of.

        Raises:
            Unavailable: no resolver is there, and no answer was.
        """
        try:
            done, _ = await asyncio.wait(self._asked, timeout=seconds) if self._asked else (set(), None)
        finally:
            for task in self._asked:  # those that are late; all of them when the job's own deadline is past
                task.cancel()
        missing: set[str] = set()
        away: Unavailable | None = None
        for task, what in self._asked.items():
            error = task.exception() if task in done else NoAnswer()
            if task not in done and isinstance(what, Blocklist):
                what.late()
            if isinstance(error, Unavailable):
                away = error
            elif error and not isinstance(error, NoAnswer):
                raise error
            if error:
                missing.add(what if isinstance(what, str) else what.name)
        if away and all(task in done and task.exception() for task in self._asked):
            raise away
        if missing:
            self.notes["missing"] = sorted(missing)[:MAX_MISSING]

    async def reverse_name(self, client: Address) -> None:
        """Note an address's name, rather one that has this address than one that has not.

        Raises:
            NoAnswer, Unavailable: not all of it can be known now.
        """
        said = await self._lookup.query(client.reverse_pointer, "PTR")
        if said.status == "servfail":
            raise NoAnswer
        names = said.records[:MAX_NAMES]
        self.notes["ptr"] = names[0] if names else ""
        kind = "A" if client.version == 4 else "AAAA"
        answers = await asyncio.gather(*(self._lookup.query(name, kind) for name in names))
        for name, answer in zip(names, answers, strict=True):
            if any(ip_address(record) == client for record in answer.records):
                self.notes |= {"ptr": name, "ptr_confirmed": True}
                return
        if any(answer.status == "servfail" for answer in answers):
            raise NoAnswer
        self.notes["ptr_confirmed"] = False

    def _begin(
        self, blocklist: Blocklist, codes: Coroutine[Any, Any, list[str]], note: Sequence[str]
    ) -> None:
        async def question() -> None:
            if found := await codes:
                below = self.notes
                for name in note:
                    below = below.setdefault(name, {})
                below[blocklist.name] = found

        self._asked[asyncio.ensure_future(question())] = blocklist
