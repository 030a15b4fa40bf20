"""Mail that leaves: through one server, or the first of several that is there."""

from collections.abc import Collection, Sequence

from stages.clients.manner import Manner
from stages.clients.smtp import PORT, Commit, Session, within
from trap.address import Address
from trap.backend import Backends, Dialect
from trap.config import Duration
from trap.reports import Later, Refused


class Mailer:
    """Sends mail through one server, or the first of several that is there.

    Args:
        name: what the server is to us, for people ("relay").
        addresses: of the server, or several in the order in which they are preferred.
        manner: how they are spoken to.
        timeout: seconds for one message, whatever happens.
        shun: names of the trap's own hosts and domains. A server that greets by one of them would write
            it into what it passes on, and counts as away.

    Raises:
        ValueError: an address is none, or manner makes no sense.
    """

    def __init__(
        self,
        name: str,
        addresses: str | Sequence[str],
        manner: Manner,
        timeout: Duration,
        shun: Collection[str] = (),
    ) -> None:
        manner.check()
        names = frozenset(name.lower() for name in shun)
        if within(manner.helo, names):
            raise ValueError(f"session: helo: {manner.helo} would tell everybody where the trap is")
        hint = "(re)start it, or see what it has against us in its log"

        async def opened(address: Address) -> Session:
            return await Session.open(address, manner, names)

        dialect = Dialect(name, opened, Session.probe, hint)
        self.backends: Backends[Session] = Backends(dialect, addresses, timeout, PORT)

    async def send(self, mail_from: str, rcpts: Sequence[str], message: bytes, commit: Commit) -> str:
        """Send a message; see Session.send.

        Raises:
            Unavailable: nobody was there, or the conversation broke. If `commit` was called by then,
                nobody knows whether the message was taken.
            Later, Refused: it was not taken.
        """

        async def question(session: Session) -> str | Later | Refused:
            try:
                return await session.send(mail_from, rcpts, message, commit)
            except (Later, Refused) as no:
                return no  # an answer like any other: the connection is good for the next message

        answer = await self.backends.ask(question)
        if isinstance(answer, str):
            return answer
        raise answer
