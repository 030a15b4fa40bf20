"""What an act of a person leaves behind: a line among the acts, and a word on the next page."""

from starlette.requests import Request

from trap import acts
from trap.web.site import client, site, user

_SAID = "said"


def record(request: Request, act: str, **details: object) -> None:
    """Remember who did what.

    Raises:
        OSError: it can't be written down, so it is not to be done.
    """
    acts.record(site(request).config.paths.state, user(request), act, client=client(request), **details)


def say(request: Request, text: str) -> None:
    """Have the next page say something."""
    request.session[_SAID] = text


def said(request: Request) -> str:
    """What the page before wanted said, once."""
    return str(request.session.pop(_SAID, ""))
