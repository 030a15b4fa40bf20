"""Logging in and out, and showing trap identities, all of which is remembered (trap/acts.py)."""

import asyncio
import logging
import secrets

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from trap import acts
from trap.envelope import printable
from trap.web import passwords
from trap.web.forms import action
from trap.web.site import client, site, user

log = logging.getLogger("spamtrap.web")

_UNKNOWN = "scrypt:15:" + "0" * 32 + ":" + "0" * 64
"""Compared with when there is no such user, so that the time of an answer does not tell."""


async def login_page(request: Request) -> Response:
    """The form."""
    return site(request).render(
        request, "login.html", next=_local(request.query_params.get("next")), wrong=False
    )


async def log_in(request: Request, form: FormData) -> Response:
    """Name and password are right, or the form comes back."""
    here = site(request)
    tries = here.tries
    if not tries.may(client(request)):
        raise HTTPException(429, "Too many wrong passwords. Wait a minute.")
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    known = here.config.web.users.get(name, _UNKNOWN)
    async with tries.at_once:
        right = await asyncio.to_thread(passwords.is_right, password, known)
    to = _local(str(form.get("next", "")))
    state = here.config.paths.state
    if not right or name not in here.config.web.users:
        # Not among the acts: strangers could rub those out.
        log.warning("wrong password for %s from %s", printable(name[:100]), client(request))
        return here.render(request, "login.html", 401, next=to, wrong=True)
    tries.right(client(request))
    acts.record(state, name, "logged in", client=client(request))
    request.session.clear()  # a session that somebody else planted ends here
    request.session.update(user=name, id=secrets.token_hex(8), **{"as": known[-16:]})
    return RedirectResponse(to, 303)


async def log_out(request: Request, form: FormData) -> Response:
    """End the session: its cookie is worth nothing any more."""
    here = site(request)
    if name := user(request):
        acts.record(here.config.paths.state, name, "logged out", client=client(request))
        here.end(str(request.session.get("id", "")))
    request.session.clear()
    return RedirectResponse("/login", 303)


async def reveal(request: Request, form: FormData) -> Response:
    """Show trap identities for half an hour, or mask them again."""
    site(request).reveal(request, form.get("show") == "1")
    return RedirectResponse(_local(str(form.get("next", ""))), 303)


def _local(path: str | None) -> str:
    """A path of ours to go on to; never another site."""
    good = path and path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if path and good and "\\" not in path else "/"


routes: list[BaseRoute] = [
    Route("/login", login_page, name="login"),
    action("/login", log_in, name="log_in"),
    action("/logout", log_out, name="log_out"),
    action("/identities", reveal, name="reveal"),
]
