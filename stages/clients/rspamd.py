"""A client of rspamd: /checkv2 over HTTP/1.1, and what it answers.

The connection is kept when the server lets us: rspamd's scanner hangs up after each answer, its proxy need
not. HTTP itself is h11's. Nothing here has a time limit of its own: the caller puts one deadline around all
of it.

Protocol: https://rspamd.com/doc/developers/protocol.html
"""

import asyncio
import io
import math
import re
from collections.abc import Iterable
from typing import Self

import msgspec
import zstandard

from stages.clients import http
from stages.clients.http import Answer
from stages.clients.probe import PROBE
from trap.address import Address
from trap.backend import Broken
from trap.envelope import printable

MAX_ANSWER = 1 << 20
"""Longest body of an answer, in bytes, unpacked; one with two hundred symbols has 50,000."""
MAX_SYMBOLS = 300
"""Symbols that are kept of one answer."""
MAX_FUZZY = 50
"""Fuzzy hits that are kept of one answer."""
MAX_NAME = 100
"""Longest name that is kept, in characters."""
MAX_FIELD = 1000
"""Longest value of a header that is sent, in bytes."""
MAX_WINDOW = 8 << 20
"""Bytes of memory that unpacking may take."""

_FUZZY = re.compile(r"\d{1,5}:[0-9a-f]{6,128}:\d\.\d+(:\w{1,20})?", re.ASCII)

Fields = Iterable[tuple[str, str]]


class Symbol(msgspec.Struct):
    """A symbol, as rspamd tells it."""

    score: float = 0.0
    options: list[str | int | float] = []


class Judgement(msgspec.Struct):
    """What rspamd thinks of one message; what else it tells is not read."""

    score: float
    required_score: float
    action: str
    is_skipped: bool = False
    symbols: dict[str, Symbol] = {}

    def scores(self) -> dict[str, float]:
        """Points by symbol, the heaviest first."""
        by_weight = sorted(self.symbols.items(), key=lambda item: -abs(item[1].score))
        return {printable(name)[:MAX_NAME]: symbol.score for name, symbol in by_weight[:MAX_SYMBOLS]}

    def fuzzy(self) -> list[dict[str, str | float]]:
        """Hits of fuzzy storages: the symbol, and what was found, as "flag:hash:probability:kind".

        They are known by their options, since every storage has symbols of its own. The hash is only the
        first digits of the whole.
        """
        found: list[dict[str, str | float]] = [
            {"symbol": printable(name)[:MAX_NAME], "score": symbol.score, "match": match[0]}
            for name, symbol in self.symbols.items()
            for option in symbol.options
            if (match := _FUZZY.fullmatch(str(option)))
        ]
        return found[:MAX_FUZZY]


class _Refusal(msgspec.Struct):
    """What rspamd answers where it answers no question."""

    error: str = ""


class Session:
    """A connection to rspamd.

    Attributes:
        engine: what the server calls itself ("rspamd/3.4"), once it has answered.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = "") -> None:
        self.engine = ""
        self._http = http.Session(reader, writer, host or "localhost", keep=True)

    @classmethod
    async def open(cls, address: Address) -> Self:
        """Connect; HTTP has no greeting.

        Raises:
            OSError: nobody there.
        """
        host = f"[{address.host}]" if ":" in address.host else address.host
        return cls(*await address.streams(), host=host)

    @property
    def reusable(self) -> bool:
        """Whether the server keeps the connection, and has said nothing that was not asked."""
        return self._http.reusable

    async def check(self, message: bytes, fields: Fields = (), *, compress: bool = False) -> Judgement:
        """Have one message judged.

        Args:
            message: its bytes.
            fields: what rspamd shall know besides: ("IP", "192.0.2.1") and the like; any text will do.
            compress: whether both directions are compressed, by zstd.

        Raises:
            OSError, Broken: the conversation broke.
        """
        headers = [("Pass", "all"), *fields]  # every rule, also where the first ones are enough to reject
        if compress:
            message = zstandard.ZstdCompressor().compress(message)
            headers.append(("Compression", "zstd"))
        return _read(await self._exchange("/checkv2", headers, message))

    async def version(self) -> str:
        """Have a message of our own scanned, and learn who did it ("rspamd/3.4").

        Raises:
            OSError, Broken: the conversation broke.
        """
        await self.check(PROBE)
        return self.engine

    def close(self) -> None:
        """Hang up at once: a server that has stopped reading would hold for good what is under way to it."""
        self._http.close()

    async def _exchange(self, target: str, fields: Fields, body: bytes) -> Answer:
        """Send a request, and hear the answer.

        Raises:
            OSError, Broken: the conversation broke.
        """
        headers = [(name, _value(text)) for name, text in fields]
        answer = await self._http.ask("POST", target, headers, body, most=MAX_ANSWER)
        if not answer.whole:
            long = len(answer.body) >= MAX_ANSWER
            raise Broken("answers without an end" if long else "hung up within its answer")
        self.engine = printable(answer.field("server") or "rspamd")[:MAX_NAME]
        return answer


def _value(text: str) -> bytes:
    """A client's words as a header's value: nothing of them ends the line."""
    return printable(text).encode()[:MAX_FIELD].strip()


def _read(response: Answer) -> Judgement:
    """What rspamd says.

    Raises:
        Broken: it is no judgement.
    """
    body = _unpacked(response)
    try:
        text = body.decode("utf-8", "replace")
        if response.status != 200:
            told = msgspec.json.decode(text, type=_Refusal).error if body else ""
            raise Broken(f"answers {response.status} {printable(told or response.reason)[:200]}")
        judgement = msgspec.json.decode(text, type=Judgement)
    except (msgspec.DecodeError, RecursionError) as error:
        reason = printable(str(error))[:80]
        raise Broken(f"answers {response.status} without a judgement: {reason}") from None
    numbers = [judgement.score, judgement.required_score, *(one.score for one in judgement.symbols.values())]
    if not all(map(math.isfinite, numbers)):
        raise Broken("answers with a score that is no number")
    judgement.action = printable(judgement.action)[:MAX_NAME]
    return judgement


def _unpacked(response: Answer) -> bytes:
    if response.field("compression").strip().lower() != "zstd":
        return response.body
    packed = io.BytesIO(response.body)
    try:
        with zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(packed) as stream:
            body = stream.read(MAX_ANSWER + 1)
    except zstandard.ZstdError as error:
        raise Broken(f"answers with broken zstd: {printable(str(error))[:80]}") from None
    if len(body) > MAX_ANSWER:
        raise Broken("answers without an end")
    return body
