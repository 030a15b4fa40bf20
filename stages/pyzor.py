"""pyzor - tell a Pyzor server the digest of every message: whoever asks it then knows it for spam.

What leaves is the digest: 40 digits that nobody can turn back into text (SHA-1 of lines without addresses,
links and long words). It is made of the original. A message without text has none and is not reported, for
its digest would be that of all such messages.

The server counts reports, so a report is sent once; when no answer comes, it is `unsure`. It can't be taken
back: to call the message good (whitelist) would be another claim, which servers take from few.

No server is asked but those that are configured. Needs the extra `pyzor`.
"""

from stages.clients.pyzor import PORT, NoDigest, Session, digest, library, read_accounts
from stages.reporting.case import Letter
from stages.reporting.checksums import CheckSums
from stages.reporting.terms import Terms
from trap.address import Address
from trap.backend import Backends, Broken, Dialect
from trap.config import Duration, Size
from trap.job import Job
from trap.place import Place
from trap.reports import Later, Refused, Sending

_NOT_ALLOWED = (401, 403)
"""The account is unknown, its clock or its key is wrong; or it may not report."""
_NEVER = (400, 501, 505)
"""It does not understand us."""


class Pyzor(CheckSums):
    """Report to a pyzord.

    Args:
        place: given by the worker.
        pyzor: its address, or several in the order of preference: "host:port".
        accounts: path of a file of accounts as Pyzor's own client has it; anonymous without.
        timeout: for one report, the making of the digest not included.
        max_size: larger messages are left out.
        terms: what all reporters share.

    Raises:
        ValueError: a setting makes no sense, or the library is missing.
        OSError: the accounts can't be read.
    """

    min_traps = 2
    """Anybody may ask what is known there: also who has sent one address a text of its own."""

    def __init__(
        self,
        place: Place,
        pyzor: str | list[str],
        accounts: str = "",
        timeout: Duration = Duration("10s"),
        max_size: Size = Size("500kB"),
        terms: Terms = Terms(),
    ) -> None:
        library()
        self._accounts = read_accounts(accounts)
        self._timeout = timeout
        hint = "is it a pyzord, and does a firewall let UDP through? pyzor ping asks it, too"
        dialect = Dialect("pyzord", self._open, Session.version, hint)
        self.backends: Backends[Session] = Backends(dialect, pyzor, timeout, PORT)
        first = self.backends.states()[0].address
        super().__init__(place, terms, [f"pyzord at {first}"], max_size)

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Have the digest counted.

        Raises:
            Later: we may not report there now.
            Refused: there is no digest, or the server does not want it.
            Unavailable: nobody there; after the report was sent: nobody answered.
        """
        known = await self._digest(self.message(letter))
        answer = await self.backends.ask(lambda session: session.report(known, sending.commit))
        told = f"{answer.code} {answer.words}"
        if answer.code in _NOT_ALLOWED:
            raise Later(f"the server does not let us report: {told}; see `accounts`")
        if answer.code in _NEVER:
            raise Refused(f"the server does not want it: {told}")
        if answer.code != 200:
            raise Broken(f"pyzord answers {told}")  # it may have been counted all the same
        return f"{told}, digest {known}"

    async def summary(self, job: Job, to: str) -> str:
        """The digest.

        Raises:
            Refused: there is none.
        """
        return f"digest {await self._digest(job.message)}\n"

    async def _digest(self, message: bytes) -> str:
        try:
            return await digest(message, self._timeout)
        except NoDigest as error:
            raise Refused(str(error)) from None

    async def _open(self, address: Address) -> Session:
        return await Session.open(address, self._accounts)
