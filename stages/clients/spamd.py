"""A client of spamd, SpamAssassin's server: one question a connection, and what it answers.

The verb asked is REPORT. It changes nothing, and its answer holds in one round trip what others have in part:
CHECK has the score alone, SYMBOLS the names of rules, HEADERS their names and the version, but no rule's
own score. A report ends in a table of rules; the line below a BAYES rule has the probability itself. Where
the operator's template has no table, SYMBOLS has the names at least.

A message can't forge the table: what a report quotes of it stands above, or in brackets, indented.

TELL has spamd learn a message, or report it; its answer names what was done, and has no body.

Nothing here has a time limit of its own: the caller puts one deadline around all of it.

Protocol: spamd/PROTOCOL of SpamAssassin; what it leaves out is in spamd(8p) itself.
"""

import asyncio
import re
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from stages.clients.probe import PROBE
from trap.address import Address
from trap.backend import Broken
from trap.envelope import printable

MAX_ANSWER = 1 << 18
"""Longest body of an answer, in bytes; a report with two hundred rules has 20,000."""
MAX_HEADERS = 32
"""No answer has more header lines."""
MAX_RULES = 300
"""Rules that are kept of one answer."""
MAX_NAME = 100
"""Longest name of a rule that is kept, in characters."""

_FIRST = re.compile(r"SPAMD/\d+\.\d+ (\d+) ?(.*)", re.DOTALL)
_NUMBER = r"(-?\d{1,9}(?:\.\d{1,9})?)"
_VERDICT = re.compile(rf"\s*(?i:(true|yes)|false|no)\s*;\s*{_NUMBER}\s*/\s*{_NUMBER}\s*", re.ASCII)
_LENGTH = re.compile(r"\s*\d{1,9}\s*", re.ASCII)
_RULER = re.compile(r"^ ?-{3,} -{3,} -{3,}\s*$", re.MULTILINE)
_HIT = re.compile(r"^ {0,3}(-?\d{1,6}(?:\.\d{1,3})?) ([A-Za-z_]\w*)", re.ASCII)
_PROBABILITY = re.compile(r"^\s*\[score: (\d\.\d+)")
_BAYES = re.compile(r"BAYES_(\d{1,4})", re.ASCII)
_VERSION = re.compile(r"^X-Spam-Checker-Version: (SpamAssassin [\w.+-]+)", re.MULTILINE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What spamd thinks of one message.

    Attributes:
        score: points it got.
        required: points from which on a message is spam.
        spam: what spamd makes of the two.
        rules: what hit, and the points that each gave, to a tenth; None where they are not known.
        bayes: probability of being spam, 0 to 1; None when spamd has not learnt enough to say.
        tabled: whether the answer told the rules' own points.
    """

    score: float
    required: float
    spam: bool
    rules: dict[str, float | None]
    bayes: float | None
    tabled: bool


class Denied(Broken):
    """Spamd answered that it does not do this.

    Attributes:
        code: as in sysexits.h; 69 is EX_UNAVAILABLE.
    """

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"answers {code} {printable(words)[:200]}")
        self.code = code


class Session:
    """A connection to spamd. It takes one question; then spamd closes it.

    Attributes:
        address: where it leads.
    """

    reusable = False

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: Address) -> None:
        self.address = address
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: Address) -> Self:
        """Connect; spamd has no greeting.

        Raises:
            OSError: nobody there.
        """
        return cls(*await address.streams(), address)

    async def check(
        self, message: bytes, *, user: str = "", compress: bool = False, tabled: bool = True
    ) -> Judgement:
        """Have one message judged.

        Args:
            message: its bytes.
            user: whose preferences and Bayes database are used; spamd's own when empty.
            compress: whether the message is compressed on its way.
            tabled: whether to ask for the points of every rule, or for the names only.

        Raises:
            OSError, Broken: the conversation broke.
        """
        verb = "REPORT" if tabled else "SYMBOLS"
        headers, body = await self._ask(verb, message, user, compress)
        verdict = _VERDICT.fullmatch(headers.get("spam", ""))
        if not verdict:
            raise Broken(f"gives no score, but {printable(headers.get('spam', ''))[:60]!r}")
        rules, bayes = _table(body) if tabled else (_names(body), None)
        if bayes is None:
            bayes = _bayes_by_name(rules or {})
        return Judgement(
            score=float(verdict[2]),
            required=float(verdict[3]),
            spam=verdict[1] is not None,
            rules=rules or {},
            bayes=bayes,
            tabled=rules is not None and tabled,
        )

    async def version(self, user: str = "") -> str:
        """Have a message of our own scanned, and learn who did it ("SpamAssassin 4.0.1").

        Raises:
            OSError, Broken: the conversation broke.
        """
        _, body = await self._ask("HEADERS", PROBE, user, compress=False)
        found = _VERSION.search(body)
        return found[1][:MAX_NAME] if found else "spamd"

    async def tell(
        self,
        message: bytes,
        *,
        put: Iterable[str] = (),
        remove: Iterable[str] = (),
        user: str = "",
        commit: Callable[[], None] = lambda: None,
    ) -> frozenset[str]:
        """Have a message learnt as spam or forgotten ("local"), reported or revoked ("remote").

        With neither, nothing happens; but spamd has told whether it may be told anything.

        Args:
            message: its bytes.
            put: where it is to be known as spam from now on.
            remove: where it is not to be known any more.
            user: whose Bayes database it is; spamd's own choice when empty.
            commit: called right before anything is sent.

        Returns:
            Where that was done. What is known, or unknown, there already is not done again.

        Raises:
            OSError, Broken: the conversation broke.
            Denied: it is not done; 69 when it must be allowed first (spamd --allow-tell).
        """
        put, remove = ", ".join(put), ", ".join(remove)
        fields = ["Message-class: spam", f"Set: {put}"] if put else []
        fields += [f"Remove: {remove}"] if remove else []
        commit()
        await self._send("TELL", message, user, fields=fields)
        headers = await self._headers()
        done = headers.get("didset" if put else "didremove", "")
        return frozenset(word.strip() for word in done.split(",") if word.strip() in ("local", "remote"))

    def close(self) -> None:
        """Hang up at once: a server that has stopped reading would hold for good what is under way to it."""
        self._writer.transport.abort()

    async def _ask(self, verb: str, message: bytes, user: str, compress: bool) -> tuple[dict[str, str], str]:
        await self._send(verb, message, user, compress=compress)
        headers = await self._headers()
        return headers, (await self._body(headers.get("content-length"))).decode("utf-8", "replace")

    async def _send(
        self, verb: str, message: bytes, user: str, *, compress: bool = False, fields: Iterable[str] = ()
    ) -> None:
        halves = self._writer.can_write_eof()
        if compress:
            message = zlib.compress(message, 1)
        elif not halves and not message.endswith(b"\n"):
            # spamd reads by lines: it would wait for the end of the last one, which TLS can't tell it.
            message += b"\r\n"
        lines = [f"{verb} SPAMC/1.5", f"Content-length: {len(message)}"]
        lines += [*fields, *[f"User: {user}"] * bool(user), *["Compress: zlib"] * compress]
        # A spamd that has had enough answers and hangs up. The answer can often be read still.
        with suppress(BrokenPipeError, ConnectionResetError):
            # At once: who answers the head and hangs up breaks a second write, and the answer is lost then.
            self._writer.writelines(["".join(f"{line}\r\n" for line in [*lines, ""]).encode(), message])
            if halves:
                self._writer.write_eof()
            await self._writer.drain()

    async def _headers(self) -> dict[str, str]:
        """Those of the answer, by name, lower case."""
        first = await self._line()
        status = _FIRST.fullmatch(first)
        if not status:
            raise Broken(f"answers {printable(first)[:80]!r}" if first else "hung up")
        if int(status[1]):
            raise Denied(int(status[1]), status[2])
        headers: dict[str, str] = {}
        while line := await self._line():
            if len(headers) >= MAX_HEADERS:
                raise Broken("answers without an end")
            name, _, value = line.partition(":")
            headers[name.lower()] = value
        return headers

    async def _line(self) -> str:
        """The next line; empty at the end of the headers, and where spamd hung up without a word."""
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Broken(f"hung up after {error.partial[:60]!r}") from None
            return ""
        except asyncio.LimitOverrunError:
            raise Broken("answers without an end") from None
        return line.decode("utf-8", "replace").rstrip("\r\n")

    async def _body(self, length: str | None) -> bytes:
        if length is None:
            raise Broken("tells no length of its answer")
        if not _LENGTH.fullmatch(length) or int(length) > MAX_ANSWER:
            raise Broken(f"announces an answer of {printable(length.strip())[:20]} bytes")
        try:
            return await self._reader.readexactly(int(length))
        except asyncio.IncompleteReadError as error:
            raise Broken(f"hung up after {len(error.partial)} bytes of {int(length)}") from None


def _table(report: str) -> tuple[dict[str, float | None] | None, float | None]:
    """Rules, their points, and the probability, of the table that a report ends in; None without one."""
    *_, ruler = [None, *_RULER.finditer(report)]
    if ruler is None:
        return None, None
    rules: dict[str, float | None] = {}
    bayes, name = None, ""
    for line in report[ruler.end() :].splitlines():
        if hit := _HIT.match(line):
            name = hit[2][:MAX_NAME]
            if len(rules) < MAX_RULES:
                rules[name] = float(hit[1]) + 0.0  # no -0.0
        elif _BAYES.fullmatch(name) and (told := _PROBABILITY.match(line)):
            bayes = min(float(told[1]), 1.0)
    return rules, bayes


def _names(symbols: str) -> dict[str, float | None]:
    """The names of rules, of which SYMBOLS tells no more."""
    names = (printable(name.strip())[:MAX_NAME] for name in symbols.split(",", MAX_RULES)[:MAX_RULES])
    return {name: None for name in names if name}


def _bayes_by_name(rules: dict[str, float | None]) -> float | None:
    """What the rule says that hit: BAYES_80 is at least 0.8, BAYES_999 at least 0.999."""
    found = [float(f"0.{match[1]}") for name in rules if (match := _BAYES.fullmatch(name))]
    return max(found, default=None)
