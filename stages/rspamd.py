"""rspamd - have rspamd judge every message; its score, symbols, action and fuzzy hits go into the notes.

What it decides: nothing. Every message passes, unchanged, with

* {"score": 12.3, "required": 15.0, "action": "add header", "symbols": {name: points}, "fuzzy": [hits],
  "engine": "rspamd/3.4"} where it was judged; a hit is {"symbol", "score", "match"}, and a match is
  "flag:hash:probability:kind", of the hash its first digits; "skipped": true stands there too where
  rspamd left most rules out, because its settings exempt the mail, or because it saw GTUBE,
* {"unscanned": why} where it was not: mail larger than `max_size`, and mail on which rspamd broke three
  conversations.

rspamd away: `Unavailable`; jobs pass unjudged unless `when_unavailable: wait` is set.

What rspamd hears of the session beside the message is chosen by `tell`. It writes recipients into its logs
and its history, and may pass them on to services: not to tell them burns no trap.
"""

from typing import Any, Literal

from stages.clients.rspamd import Judgement, Session
from trap.backend import Backends, Dialect, Unscannable
from trap.config import Duration, Size
from trap.job import Job
from trap.stage import Pass, Verdict

PORT = 11333

Told = Literal["ip", "helo", "from", "rcpt"]


class Rspamd:
    """Ask rspamd.

    Args:
        rspamd: its address, or several in the order of preference: "host:port", "tls://host:port" or the
            path of its UNIX socket.
        timeout: for one message, whatever happens: connecting, spares and all. rspamd itself answers
            after 8 s at the latest (task_timeout) with what it has by then.
        max_size: larger messages pass unscanned. (rspamd's own limit: max_message, 50M.)
        tell: what rspamd hears of the session: ip, helo, from, rcpt.
        password: of a controller, or of a scanner that asks for one.
        compress: whether messages and answers travel compressed.
    """

    when_unavailable = "pass"

    def __init__(
        self,
        rspamd: str | list[str] = "127.0.0.1:11333",
        timeout: Duration = Duration("15s"),
        max_size: Size = Size("30MB"),
        tell: list[Told] = ["ip", "helo", "from"],  # noqa: B006  # it is only read
        password: str = "",
        compress: bool = False,
    ) -> None:
        self.max_size = max_size
        self.tell = frozenset(tell)
        self.password = password
        self.compress = compress
        hint = "(re)start it: systemctl restart rspamd; its scanner must listen there (rspamadm configdump)"
        dialect = Dialect("rspamd", Session.open, Session.version, hint)
        self.backends: Backends[Session] = Backends(dialect, rspamd, timeout, PORT)

    async def process(self, job: Job) -> Verdict:
        """Judge one message.

        Raises:
            Unavailable: rspamd is away, or has not managed this message yet.
        """
        if job.size > self.max_size:
            return Pass({"unscanned": f"larger than max_size, {self.max_size} bytes"})
        fields = self._fields(job)

        async def question(session: Session) -> tuple[Judgement, str]:
            return await session.check(job.message, fields, compress=self.compress), session.engine

        try:
            judgement, engine = await self.backends.ask(question, job.id)
        except Unscannable as error:
            return Pass({"unscanned": str(error)})
        notes: dict[str, Any] = {
            "score": judgement.score,
            "required": judgement.required_score,
            "action": judgement.action,
            "symbols": judgement.scores(),
            "fuzzy": judgement.fuzzy(),
            "engine": engine,
        }
        return Pass(notes | {"skipped": True} if judgement.is_skipped else notes)

    def _fields(self, job: Job) -> list[tuple[str, str]]:
        """What is told of the session, as rspamd calls it."""
        envelope = job.envelope
        known = [
            ("ip", "IP", envelope.client_ip),
            ("helo", "Helo", envelope.helo or ""),
            ("from", "From", f"<{envelope.mail_from}>"),
            *(("rcpt", "Rcpt", f"<{rcpt.address}>") for rcpt in envelope.rcpts),
        ]
        fields = [(name, value) for key, name, value in known if key in self.tell and value]
        secret = [("Password", self.password)] if self.password else []
        return [*fields, ("Queue-Id", job.id), *secret]
