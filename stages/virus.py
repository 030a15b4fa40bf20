"""virus - have clamd scan every message; drop what is infected, or keep it in a queue of its own.

What it decides:

* clean: passes, notes {"clean": true, "engine": …}.
* infected: dropped as "virus <signature>", or passed to the queue `to`; notes {"virus": signature}.
* not scanned: passes, notes {"unscanned": why}. That is mail larger than `max_size`, mail that
  clamd itself refuses, and mail on which clamd broke three conversations.
* clamd away: `Unavailable`; jobs pass unjudged unless `when_unavailable: wait` is set. Away is a
  clamd that does not greet. One that greets and then falls silent or dies is called away too, twice
  for a message; the third time the message is to blame, else one that crashes clamd would hold up the
  queue for good.
"""

import asyncio
import os
from typing import Any

from stages.clamd import Answer, BadAnswer, Session, address_of
from trap.config import Duration, Size
from trap.envelope import printable
from trap.job import Job
from trap.stage import Drop, Pass, Unavailable, Verdict

PATIENCE = 3
"""Broken conversations about one message after which it passes unscanned."""
MAX_BROKEN = 1000
"""Messages whose broken conversations are remembered."""
MAX_NAME = 80
"""Longest signature name that is kept, in characters."""


class Virus:
    """Ask clamd.

    Args:
        clamd: its UNIX socket ("/run/clamav/clamd.ctl") or its TCP address ("host:port").
        timeout: for the whole conversation about one message, connecting included.
        to: queue that infected mail goes to instead of being dropped.
        max_size: larger messages pass unscanned. (clamd's own limits: MaxFileSize, MaxScanSize, and
            for TCP StreamMaxLength, 25M in Debian.)
    """

    when_unavailable = "pass"

    def __init__(
        self,
        clamd: str = "/run/clamav/clamd.ctl",
        timeout: Duration = Duration("30s"),
        to: str | None = None,
        max_size: Size = Size("30MB"),
    ) -> None:
        self.name = clamd
        self.address = address_of(clamd)
        self.timeout = timeout
        self.to = to
        self.max_size = max_size
        self._broken: dict[str, int] = {}

    async def process(self, job: Job) -> Verdict:
        """Judge one message.

        Raises:
            Unavailable: clamd is away, or has not managed this message yet.
        """
        if job.size > self.max_size:
            return Pass({"unscanned": f"larger than max_size, {self.max_size} bytes"})
        session: Session | None = None
        try:
            async with asyncio.timeout(self.timeout):
                session = await Session.open(self.address)
                answer = await session.scan(job.message)
        except TimeoutError:
            trouble = f"no {'verdict' if session else 'greeting'} within {self.timeout:g} s"
        except OSError as error:
            # Numbers above 0 are the kernel's; the resolver has its own, with its own words.
            number = error.errno or 0
            trouble = (os.strerror(number) if number > 0 else error.strerror or str(error)).lower()
        except BadAnswer as error:
            trouble = str(error)
        else:
            self._broken.pop(job.id, None)
            return self._verdict(answer, session.engine)
        finally:
            if session:
                session.close()
        if session and self._is_to_blame(job.id):
            return Pass({"unscanned": f"clamd failed on it {PATIENCE} times: {trouble}"})
        raise Unavailable(f"clamd at {self.name}: {trouble}")

    def _verdict(self, answer: Answer, engine: str) -> Verdict:
        if answer.error:
            return Pass({"unscanned": printable(answer.error)[:MAX_NAME]})
        if not answer.signature:
            return Pass({"clean": True, "engine": printable(engine)[:MAX_NAME]})
        name = printable(answer.signature)[:MAX_NAME]
        notes: dict[str, Any] = {"virus": name, "engine": printable(engine)[:MAX_NAME]}
        return Pass(notes, to=self.to) if self.to else Drop(f"virus {name}", notes)

    def _is_to_blame(self, job_id: str) -> bool:
        """Count a broken conversation; whether it was the last one that this job is worth."""
        count = self._broken.pop(job_id, 0) + 1
        if count >= PATIENCE:
            return True
        self._broken[job_id] = count
        if len(self._broken) > MAX_BROKEN:
            del self._broken[next(iter(self._broken))]  # the one that broke longest ago
        return False
