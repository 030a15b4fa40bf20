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
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import h11
import msgspec
import zstandard

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
CHUNK = 1 << 16
"""Bytes read at once."""

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


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, as it came."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class Session:
    """A connection to rspamd.

    Attributes:
        engine: what the server calls itself ("rspamd/3.4"), once it has answered.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = "") -> None:
        self.engine = ""
        self._reader = reader
        self._writer = writer
        self._host = host or "localhost"
        self._http = h11.Connection(h11.CLIENT)

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
        return self._http.our_state is h11.IDLE and not self._http.trailing_data[0]

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
        self._writer.transport.abort()

    async def _exchange(self, target: str, fields: Fields, body: bytes) -> Response:
        """Send a request, and hear the answer.

        Raises:
            OSError, Broken: the conversation broke.
        """
        headers = [
            (b"Host", _value(self._host)),
            (b"User-Agent", b"spamtrap"),
            *((name.encode(), _value(text)) for name, text in fields),
            (b"Content-Length", b"%d" % len(body)),
        ]
        request = h11.Request(method="POST", target=target, headers=headers)
        try:
            response = await self._converse(request, body)
        except h11.RemoteProtocolError as error:
            raise Broken(f"answers no good HTTP: {printable(str(error))[:80]}") from None
        self.engine = printable(response.headers.get("server", "rspamd"))[:MAX_NAME]
        return response

    async def _converse(self, request: h11.Request, body: bytes) -> Response:
        # A server that has had enough answers and hangs up. The answer can often be read still.
        with suppress(BrokenPipeError, ConnectionResetError):
            events = (request, h11.Data(data=body), h11.EndOfMessage())
            # At once: asyncio complains in the log of whoever goes on writing when the connection is gone.
            self._writer.writelines(
                piece for event in events for piece in self._http.send_with_data_passthrough(event) or ()
            )
            await self._writer.drain()
        response = await self._response()
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return response

    async def _response(self) -> Response:
        head: h11.Response | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(CHUNK)
                if not data and head is None:
                    heard = self._http.trailing_data[0]
                    raise Broken(f"hung up after {heard[:60]!r}" if heard else "hung up")
                self._http.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_ANSWER:
                    raise Broken("answers without an end")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
                return Response(head.status_code, head.reason.decode("latin-1"), fields, bytes(body))
            elif not isinstance(event, h11.InformationalResponse):
                raise Broken("hung up")


def _value(text: str) -> bytes:
    """A client's words as a header's value: nothing of them ends the line."""
    return printable(text).encode()[:MAX_FIELD].strip()


def _read(response: Response) -> Judgement:
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


def _unpacked(response: Response) -> bytes:
    if response.headers.get("compression", "").strip().lower() != "zstd":
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
