"""spamd - have SpamAssassin judge every message; its score, rules and Bayes go into the notes.

What it decides: nothing. Every message passes, unchanged, with

* {"score": 7.1, "required": 5.0, "spam": true, "rules": {name: points}, "bayes": 0.9987, "engine": …}
  where it was judged; the points of rules are rounded to a tenth, and null where spamd does not tell them;
  "bayes" is null when Bayes is off, or has not learnt enough,
* {"unscanned": why} where it was not: mail larger than `max_size`, and mail on which spamd broke three
  conversations.

spamd away: `Unavailable`; jobs pass unjudged unless `when_unavailable: wait` is set.

Whoever lets spamd learn by itself (bayes_auto_learn) lets it learn from what is shown to it here, too.
"""

import asyncio
import logging
import re
from contextlib import closing, suppress
from typing import Literal

from stages.clients.received import received
from stages.clients.spamd import Judgement, Session
from trap.address import Address
from trap.backend import Backends, Broken, Dialect, Unscannable
from trap.config import Duration, Size
from trap.job import Job
from trap.stage import Pass, Verdict

PORT = 783

Told = Literal["ip", "helo", "from"]

_USER = re.compile(r"[!-~]{1,64}")

log = logging.getLogger("spamtrap.spamd")


class Spamd:
    """Ask spamd.

    Args:
        spamd: its address, or several in the order of preference: "host:port", "tls://host:port" or the
            path of its UNIX socket.
        timeout: for one message, whatever happens: connecting, spares and all. SpamAssassin gives DNS up
            to 15 s, and still answers then.
        max_size: larger messages pass unscanned. As of spamc: above it SpamAssassin takes long, for mail
            that spammers hardly send.
        user: whose preferences and Bayes database spamd uses; its own choice when empty.
        tell: what SpamAssassin hears of the session: ip, helo, from; as a Received field above what it is
            shown. Without the client's address it believes the field that the spammer wrote.
        compress: whether messages travel compressed, for a spamd far away; not together with TLS.
    """

    when_unavailable = "pass"

    def __init__(
        self,
        spamd: str | list[str] = "127.0.0.1:783",
        timeout: Duration = Duration("30s"),
        max_size: Size = Size("500kB"),
        user: str = "",
        tell: list[Told] = ["ip", "helo", "from"],  # noqa: B006  # it is only read
        compress: bool = False,
    ) -> None:
        if user and not _USER.fullmatch(user):
            raise ValueError(f"user: {user!r} is no user's name; letters, digits and signs, without spaces")
        listed = [spamd] if isinstance(spamd, str) else spamd
        if compress and any(address.startswith("tls://") for address in listed):
            # spamd reads what is compressed to the end of the connection, which TLS can't tell by halves.
            raise ValueError("compress: spamd can't unpack what comes by TLS; use one of the two")
        self.max_size = max_size
        self.user = user
        self.tell = frozenset(tell)
        self.compress = compress
        hint = "(re)start it: systemctl restart spamd, and let this host in (spamd -A)"
        dialect = Dialect("spamd", Session.open, self._probe, hint)
        self.backends: Backends[Session] = Backends(dialect, spamd, timeout, PORT)
        self._engines: dict[Address, str] = {}
        self._untabled: set[Address] = set()
        self._asking: set[asyncio.Task[None]] = set()

    async def process(self, job: Job) -> Verdict:
        """Judge one message.

        Raises:
            Unavailable: spamd is away, or has not managed this message yet.
        """
        if job.size > self.max_size:
            return Pass({"unscanned": f"larger than max_size, {self.max_size} bytes"})
        shown = received(job, self.tell) + job.message

        async def question(session: Session) -> tuple[Judgement, Address]:
            tabled = session.address not in self._untabled
            judgement = await session.check(shown, user=self.user, compress=self.compress, tabled=tabled)
            return judgement, session.address

        try:
            judgement, address = await self.backends.ask(question, job.id)
        except Unscannable as error:
            return Pass({"unscanned": str(error)})
        if not judgement.tabled and address not in self._untabled:
            self._untabled.add(address)
            log.warning("the reports of spamd at %s have no table: of rules only names are noted", address)
        return Pass(
            {
                "score": judgement.score,
                "required": judgement.required,
                "spam": judgement.spam,
                "rules": judgement.rules,
                "bayes": judgement.bayes,
                "engine": self._engine(address),
            }
        )

    def _engine(self, address: Address) -> str:
        """Which version judges; asked in the background once, so that no message waits for it."""
        if address not in self._engines:
            self._engines[address] = "SpamAssassin"
            task = asyncio.create_task(self._learn_engine(address))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return self._engines[address]

    async def _learn_engine(self, address: Address) -> None:
        with suppress(OSError, Broken):  # a probe will ask again when it is back
            async with asyncio.timeout(self.backends.timeout):
                with closing(await Session.open(address)) as session:
                    await self._probe(session)

    async def _probe(self, session: Session) -> str:
        engine = await session.version(self.user)
        self._engines[session.address] = engine
        return engine
