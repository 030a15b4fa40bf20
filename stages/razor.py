"""razor - report every message to Razor by `razor-report`, as a registered reporter.

Razor wants signatures first; where it knows one already, that is all it gets. Else it asks for the text, and
razor-report sends it: so what it is given is the redacted message, which has passed the gate, never the
original. Signatures differ from those of the original only where the trap was named.

It reports as the identity in its home, which a person registers once (razor-admin -register). Without one
razor-report would register by itself, so it is not run then. `spamtrap reports retract` asks razor-revoke,
which sends signatures only.
"""

import os
import re
from pathlib import PurePath

from stages.clients.program import Program, backends, words
from stages.reporting.case import Letter
from stages.reporting.checksums import CheckSums
from stages.reporting.terms import Terms
from trap.backend import Backends, Broken
from trap.command import Done, find
from trap.config import Duration, Size
from trap.job import header_end
from trap.place import Place
from trap.reports import Later, Refused, Sending

EMPTY = b"\n"
"""There is nothing in it to report; to report it takes a login all the same. A header would be too much:
Razor takes it for the text where there is none."""

_LOGGED_IN = b"Authenticated user="
_ACCEPTED, _NOT_ACCEPTED = b"Server accepted report", b"Server did not accept report"
_SERVER = re.compile(r"\w[A-Za-z0-9.-]*(:\d{1,5})?", re.ASCII)


class Razor(CheckSums):
    """Report to Razor.

    Args:
        place: given by the worker.
        home: directory of the identity, and of what Razor's agents keep (-home).
        server: a nomination server, "host" or "host:port", instead of those that Razor tells of.
        program: path of razor-report, or its name; razor-revoke lies beside it.
        timeout: for one report, whatever happens.
        max_size: larger messages are left out.
        terms: what all reporters share.

    Raises:
        ValueError: a setting makes no sense.
    """

    original = False

    min_traps = 2
    """Anybody may ask what is known there: also who has sent one address a text of its own."""

    def __init__(
        self,
        place: Place,
        home: str = "/var/lib/spamtrap/razor",
        server: str = "",
        program: str = "razor-report",
        timeout: Duration = Duration("40s"),
        max_size: Size = Size("1MB"),
        terms: Terms = Terms(),
    ) -> None:
        if not home.startswith("/"):
            raise ValueError(f"home: {home!r} should be a whole path")
        if server and not _SERVER.fullmatch(server):
            raise ValueError(f"server: {server!r} is no server; write host or host:port")
        self._home = home
        # What became of a report stands only in its log, of which -d makes its output.
        self._options = ["-f", "-d", "-dl=8", f"-home={home}", *[f"-rs={server}"] * bool(server)]
        hint = f"register once, as the trap's user: razor-admin -home={home} -create, then -register"
        self.backends: Backends[Program] = backends(program, self._ready, hint, timeout)
        super().__init__(place, terms, [f"Razor at {server}" if server else "Razor"], max_size)

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Report a message.

        Raises:
            Later: it got no further than the login.
            Refused: there is nothing in it for Razor, or it was not accepted.
            Unavailable: the program is not there, or its server is not.
        """

        message = _one(self.message(letter))
        if not message[header_end(message) :].strip():
            raise Refused("no text in it that Razor would know it by")

        async def question(program: Program) -> str:
            sending.commit()
            return _outcome(await program.run(self._options, message))

        return await self.backends.ask(question)

    async def retract(self, letter: Letter, sending: Sending) -> str:
        """Revoke a message.

        Raises:
            Later, Refused, Unavailable: as above.
        """

        async def question(program: Program) -> str:
            revoke = Program(find(str(PurePath(program.path).with_name("razor-revoke"))), program.timeout)
            return _outcome(await revoke.run(self._options, _one(self.message(letter))))

        return await self.backends.ask(question)

    async def _ready(self, program: Program) -> str:
        """Log in and report nothing; whether that works.

        Raises:
            OSError: there is no identity.
            Broken: nobody lets us in.
        """
        identity = f"{self._home}/identity"
        if not os.access(identity, os.R_OK):
            raise Broken(f"no identity that we may read at {identity}")
        done = await program.run(self._options, EMPTY)
        if _LOGGED_IN not in done.out:
            raise Broken(words(done))
        return "razor-report, logged in"


def _outcome(done: Done) -> str:
    """What became of a report."""
    accepted, not_accepted = done.out.count(_ACCEPTED), done.out.count(_NOT_ACCEPTED)
    if done.code and _LOGGED_IN not in done.out:
        raise Later(f"it was not told: {words(done)}")
    if done.code:
        raise Broken(words(done))
    if accepted:
        return f"accepted, {accepted} of {accepted + not_accepted} parts"
    raise Refused("Razor did not accept it" if not_accepted else "no text in it that Razor would know it by")


def _one(message: bytes) -> bytes:
    """The message; not a mailbox of several, for which Razor's agents take what begins so."""
    return message.partition(b"\n")[2] if message.startswith(b"From ") else message
