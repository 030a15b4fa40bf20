"""dcc - report every message to the Distributed Checksum Clearinghouse, as sent to very many.

`dccproc -t many` makes check sums and sends those; DCC servers never get to see text (dccproc(8)). It is
given the body and its MIME fields. The other fields are left out: their sums (Message-ID, Received, From) are
of what one recipient alone may have got, so whoever chose them could ask DCC which of his recipients tell.

It needs dccproc, which Debian does not have, and servers that answer, which are asked about a message of ours
beforehand (-Q). Many is many: a report that is told twice counts once, so what may have got lost is told
again. It can't be taken back.
"""

import re
from functools import partial

from stages.clients.probe import PROBE
from stages.clients.program import Program, backends, words
from stages.reporting.case import Letter
from stages.reporting.checksums import CheckSums
from stages.reporting.terms import Terms
from trap.backend import Backends, Broken
from trap.config import Duration, Size
from trap.envelope import printable
from trap.job import Job, header_end
from trap.place import Place
from trap.reports import Sending

MAX_WORDS = 200
"""Characters of an answer that are kept."""

_MIME = re.compile(rb"^(?:content-[!-9;-~]*|mime-version)[ \t]*:.*(?:\n[ \t].*)*\n?", re.I | re.M)
_ANSWER = re.compile(r"^X-DCC-[^:\n]*:\s*(.*(?:\n[ \t].*)*)", re.M)


class Dcc(CheckSums):
    """Report to DCC.

    Args:
        place: given by the worker.
        dccproc: path of the program, or its name.
        home: directory of DCC's `map` and other files (-h), where it is not the usual one.
        whitelist: file of what is never reported (-w), as of DCC's `whiteclnt`; none when empty.
        timeout: for one report, whatever happens.
        max_size: larger messages are left out.
        terms: what all reporters share.

    Raises:
        ValueError: a setting makes no sense.
    """

    repeatable = True
    min_traps = 2
    """Anybody may ask what is known there: also who has sent one address a text of its own."""

    def __init__(
        self,
        place: Place,
        dccproc: str = "dccproc",
        home: str = "",
        whitelist: str = "",
        timeout: Duration = Duration("30s"),
        max_size: Size = Size("1MB"),
        terms: Terms = Terms(),
    ) -> None:
        self._options = ["-H", "-x", "0"]  # the answer alone; and what is known already is no error
        self._options += ["-h", home] if home else []
        self._options += ["-w", whitelist] if whitelist else []
        hint = "install dccproc from https://www.dcc-servers.net/dcc/ and see that cdcc info shows servers"
        ready = partial(self._tell, ["-Q"], PROBE)
        self.backends: Backends[Program] = backends(dccproc, ready, hint, timeout)
        super().__init__(place, terms, ["DCC"], max_size)

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Have the check sums of a message counted.

        Raises:
            Unavailable: the program is not there, or no server answers it.
        """
        shown = summed(self.message(letter))

        async def question(program: Program) -> str:
            sending.commit()
            return await self._tell(["-t", "many"], shown, program)

        return await self.backends.ask(question, letter.id)

    async def summary(self, job: Job, to: str) -> str:
        """What dccproc is given; the sums of it are all that leaves."""
        shown = summed(job.message)
        return f"check sums of {len(shown)} bytes:\n{shown.decode('utf-8', 'backslashreplace')}"

    async def _tell(self, options: list[str], message: bytes, program: Program) -> str:
        """Run dccproc; what the servers counted.

        Raises:
            OSError: it could not be run.
            Broken: no server answered.
        """
        done = await program.run([*self._options, *options], message)
        answer = _ANSWER.search(done.out.decode("utf-8", "replace"))
        if done.code or not answer:
            raise Broken(words(done) if done.code or done.err else "no server answered dccproc")
        return printable(" ".join(answer[1].split()))[:MAX_WORDS]


def summed(message: bytes) -> bytes:
    r"""A message, of its fields only those that say what the body is.

    >>> summed(b"From: a\r\nContent-Type: text/plain;\r\n charset=utf-8\r\nX: y\r\n\r\nhello\r\n")
    b'Content-Type: text/plain;\r\n charset=utf-8\r\n\r\nhello\r\n'
    """
    end = header_end(message)
    fields = b"".join(_MIME.findall(message[:end]))
    body = message[end:]
    return fields + (body if body.startswith((b"\r\n", b"\n")) else b"\r\n" + body)
