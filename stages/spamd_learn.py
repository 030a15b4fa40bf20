"""spamd_learn - have SpamAssassin's spamd learn every message as spam, or report it (TELL).

* `local`: its Bayes database learns the original. The spamd should be your own.
* `remote`: it reports to the networks that its plugins know: Pyzor, Razor, DCC; and SpamCop, to which it
  mails the whole message. So as soon as `remote` is told, all that spamd gets is the redacted message, which
  has passed the gate; also for `local`. Who wants the original learnt, too, makes two stages of this.

It is done when spamd says so (DidSet). It learns nothing twice: what may have got lost on the way is told
again, and a message that it knows already is `failed` here; so is every one when Bayes is off. It must run
with --allow-tell, which is found out beforehand. What was done can be taken back (TELL, Remove).
"""

import re
from collections.abc import Iterable
from typing import Literal

from stages.clients.spamd import Denied, Session
from stages.reporting.case import Letter
from stages.reporting.checksums import CheckSums
from stages.reporting.terms import Terms
from trap.address import Address
from trap.backend import Backends, Dialect
from trap.config import Duration, Size
from trap.job import Job
from trap.place import Place
from trap.reports import Later, Refused, Sending

PORT = 783
WRONG = (64, 65, 67, 76)
"""sysexits.h: EX_USAGE, EX_DATAERR, EX_NOUSER, EX_PROTOCOL; other codes are its own trouble."""

Where = Literal["local", "remote"]

_USER = re.compile(r"[!-~]{1,64}")


class SpamdLearn(CheckSums):
    """Tell spamd.

    Args:
        place: given by the worker.
        spamd: its address, or several in the order of preference: "host:port", "tls://host:port" or the
            path of its UNIX socket.
        tell: where the message is to be known as spam: local, remote, or both.
        user: whose Bayes database learns; spamd's own choice when empty.
        timeout: for one message, whatever happens; remote asks several servers, each with a limit of its own.
        max_size: larger messages are left out.
        terms: what all reporters share.

    Raises:
        ValueError: a setting makes no sense.
    """

    def __init__(
        self,
        place: Place,
        spamd: str | list[str] = "127.0.0.1:783",
        tell: list[Where] = ["local"],  # noqa: B006  # it is only read
        user: str = "",
        timeout: Duration = Duration("30s"),
        max_size: Size = Size("500kB"),
        terms: Terms = Terms(),
    ) -> None:
        if not tell:
            raise ValueError("tell: the list is empty; write local, remote, or both")
        if user and not _USER.fullmatch(user):
            raise ValueError(f"user: {user!r} is no user's name; letters, digits and signs, without spaces")
        self._where = sorted(set(tell))
        self._user = user
        self.original = self.repeatable = "remote" not in tell
        self._allowed: frozenset[Address] = frozenset()
        hint = (
            "start spamd with --allow-tell (Debian: OPTIONS in /etc/default/spamd), and let this host in (-A)"
        )
        dialect = Dialect("spamd", self._open, self._probe, hint)
        self.backends: Backends[Session] = Backends(dialect, spamd, timeout, PORT)
        first = self.backends.states()[0].address
        super().__init__(place, terms, [f"{' and '.join(self._where)} of spamd at {first}"], max_size)

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Have spamd learn or report a message.

        Raises:
            Later: it can't now, or must be allowed to.
            Refused: it did nothing.
            Unavailable: nobody there; after it was told: nobody answered.
        """
        message = self.message(letter)

        async def question(session: Session) -> Iterable[str]:
            try:
                return await session.tell(message, put=self._where, user=self._user, commit=sending.commit)
            except Denied as error:
                raise self._denied(error) from None

        done = await self.backends.ask(question, letter.id)
        if not done:
            raise Refused("spamd did nothing: it knows the message, or Bayes is off, or no network took it")
        return f"DidSet: {', '.join(sorted(done))}"

    async def retract(self, letter: Letter, sending: Sending) -> str:
        """Have spamd forget or revoke a message.

        Raises:
            Later, Refused, Unavailable: as above.
        """
        message = self.message(letter)

        async def question(session: Session) -> Iterable[str]:
            try:
                return await session.tell(message, remove=self._where, user=self._user)
            except Denied as error:
                raise self._denied(error) from None

        done = await self.backends.ask(question)
        if not done:
            raise Refused("spamd took nothing back: it does not know the message any more")
        return f"DidRemove: {', '.join(sorted(done))}"

    async def summary(self, job: Job, to: str) -> str:
        """The command; the message goes with it as it is."""
        return f"TELL, Set: {', '.join(self._where)}, the original of {job.size} bytes\n"

    def _denied(self, error: Denied) -> Exception:
        self._allowed = frozenset()  # it is looked at again before the next one
        if error.code in WRONG:
            return Refused(f"spamd {error}")
        return Later(f"spamd {error}")

    async def _open(self, address: Address) -> Session:
        """Connect to one that may be told: what it would refuse should not be on its way first."""
        if address not in self._allowed:
            asking = await Session.open(address)
            try:
                await self._probe(asking)
            finally:
                asking.close()
            self._allowed |= {address}
        return await Session.open(address)

    async def _probe(self, session: Session) -> str:
        """Tell it nothing, which has to be allowed, too."""
        await session.tell(b"", user=self._user)
        return "spamd, to be told (TELL)"
