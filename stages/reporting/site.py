"""A web server that reports go to: how it is reached, and what its answers mean for a report.

An answer that speaks of the report (400, 413, 422, …) refuses it for good. One that speaks of the way there
(a key that is not known any more, a page that has moved, a limit, a fault) says nothing of it: the report is
told again later, so nobody loses what came while a key was being changed.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from stages.clients.http import Answer, Endpoint, Fields, Session, trust
from trap.address import Address
from trap.backend import Backends, Broken, Dialect
from trap.config import Duration
from trap.reports import Later, Refused
from trap.units import Base

_LATER = frozenset(
    (
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.PAYMENT_REQUIRED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.LOCKED,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
)
"""What is no fault of the report's."""


class Web(Base, frozen=True):
    """How a web server is reached."""

    ca: Path | None = None
    """File of the certificates that are trusted, instead of the system's."""
    allow_http: bool = False
    """Whether "http://" may be spoken to other hosts."""
    timeout: Duration = Duration("20s")
    """For one request, whatever happens."""


class Site:
    """One web server.

    Args:
        name: what it is, for people.
        url: where reports go.
        web: how it is reached.
        probe: asks something small, and returns what it calls itself.
        hint: what a person does when it is away.

    Raises:
        ValueError: the URL is none, or the file of certificates is none.
    """

    def __init__(
        self, name: str, url: str, web: Web, probe: Callable[[Session], Awaitable[str]], hint: str
    ) -> None:
        self.endpoint = Endpoint.parse(url, plain=web.allow_http)
        self._context = trust(web.ca) if self.endpoint.address.tls else None
        self.backends: Backends[Session] = Backends(
            Dialect(name, self._open, probe, hint), str(self.endpoint.address), web.timeout
        )

    @property
    def host(self) -> str:
        """Its name: whom reports are told. What follows it in the URL may be a secret."""
        return self.endpoint.host

    async def post(
        self, key: str, target: str, fields: Fields, body: bytes, commit: Callable[[], object]
    ) -> Answer:
        """Send JSON.

        Args:
            key: the report's id.
            target: path and query.
            fields: of the header, besides what HTTP needs.
            body: the JSON.
            commit: called right before the first byte goes.

        Raises:
            Unavailable, Unscannable: see Backends.ask.
        """
        sent = [("Content-Type", "application/json"), ("Accept", "application/json"), *fields]

        async def question(session: Session) -> Answer:
            return await session.ask("POST", target, sent, body, commit=commit)

        return await self.backends.ask(question, key)

    async def _open(self, address: Address) -> Session:
        return await Session.open(address, self.endpoint.host, self._context)


def accepted(answer: Answer) -> str:
    """What was answered to a report that was taken.

    Raises:
        Later: it was not, and that is no fault of its.
        Refused: it was not.
    """
    status = answer.status
    if status < 300:
        return answer.said
    if status < 400:
        told = f"answers {status}: redirects are not followed, the new URL belongs into the configuration"
        raise Later(f"{told} ({answer.field('location')[:100]})")
    if status >= 500 or status in _LATER:
        raise Later(f"answers {answer.said}", answer.pause)
    raise Refused(f"answers {answer.said}")


def there(answer: Answer) -> str:
    """What a server calls itself that answered a probe, whatever it answered.

    Raises:
        Broken: it has a fault.
    """
    if answer.status >= 500:
        raise Broken(f"answers {answer.said}")
    return " ".join(
        filter(None, (answer.field("server"), f"answers {answer.status} {answer.reason}".strip()))
    )


def secrets(path: Path) -> list[str]:
    """The lines of a file that its owner only may read.

    Raises:
        ValueError: others may, too, or there is nothing in it.
        OSError: it can't be read.
    """
    mode = path.stat().st_mode
    if mode & 0o077:
        raise ValueError(f"{path} may be read by others than its owner; chmod 600 {path}")
    lines = [line.strip() for line in path.read_text("ascii", "replace").splitlines()]
    if not (found := [line for line in lines if line and not line.startswith("#")]):
        raise ValueError(f"{path} is empty")
    return found
