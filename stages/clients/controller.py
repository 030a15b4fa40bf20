"""A client of rspamd's controller: it has rspamd learn a message, or keep its fuzzy hashes.

Each request has a connection of its own: which of them was heard is then never in doubt because the
server had closed an old one.

Protocol: https://rspamd.com/doc/developers/protocol.html, Controller HTTP endpoints
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from stages.clients import http
from stages.clients.rspamd import Fields, Session
from trap.backend import Broken
from trap.envelope import printable

MAX_WORDS = 200
"""Characters of an answer that are kept."""
MAX_HASHES = 50
"""Fuzzy hashes that are counted of an answer."""

UNAUTHORIZED = (401, 403)

T = TypeVar("T")


class Answer(msgspec.Struct):
    """What the controller says.

    Attributes:
        status: as HTTP has it: 200 done, 208 known already, 404 nothing to do it with, 401 no.
        words: why it was not done.
        hashes: fuzzy hashes that were kept or forgotten.
    """

    status: int
    words: str = ""
    hashes: int = 0


class _Body(msgspec.Struct):
    error: str = ""
    hashes: list[str] = []


class _Rights(msgspec.Struct):
    read_only: bool = False


class Controller(Session):
    """A connection to rspamd's controller, good for one request."""

    reusable = False

    async def tell(
        self, command: str, message: bytes, fields: Fields, commit: Callable[[], None] = lambda: None
    ) -> Answer:
        """Give it a message and a command.

        Args:
            command: "fuzzyadd", "fuzzydel" or "learnspam".
            message: its bytes.
            fields: what belongs to the command ("Flag", "Weight"), and the password.
            commit: called right before anything is sent.

        Raises:
            OSError, Broken: the conversation broke.
        """
        commit()
        response = await self._exchange(f"/{command}", fields, message)
        body = _decoded(response, _Body) if response.body else _Body()
        words = printable(body.error or response.reason)[:MAX_WORDS]
        return Answer(response.status, words, len(body.hashes[:MAX_HASHES]))

    async def rights(self, fields: Fields) -> str:
        """Ask whether the password is good for commands; what the server calls itself ("rspamd/3.4").

        Raises:
            OSError, Broken: the conversation broke, or it is not.
        """
        response = await self._exchange("/auth", fields, b"")
        if response.status in UNAUTHORIZED:
            raise Broken("refuses the password")
        if response.status != 200:
            raise Broken(
                f"answers {response.status} {printable(response.reason)[:MAX_WORDS]}: no controller?"
            )
        if _decoded(response, _Rights).read_only:
            raise Broken("the password may only read: the one of enable_password is needed")
        return self.engine


def _decoded(response: http.Answer, kind: type[T]) -> T:
    """The answer's JSON.

    Raises:
        Broken: it is none.
    """
    try:
        return msgspec.json.decode(response.body.decode("utf-8", "replace"), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        reason = printable(str(error))[:80]
        raise Broken(f"answers {response.status} without sense: {reason}") from None
