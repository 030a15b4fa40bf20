"""What changes something: a POST, from a form of ours, with the token of the session."""

import hmac
import secrets
from collections.abc import Awaitable, Callable

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FIELD = "csrf"
_MAX_FIELD = 8192
_MAX_FIELDS = 1200
"""A page of ticked boxes, and more."""


def token(request: Request) -> str:
    """The session's token against forged requests; made with the first form that is shown."""
    if FIELD not in request.session:
        request.session[FIELD] = secrets.token_urlsafe(24)
    return str(request.session[FIELD])


def action(path: str, handle: Callable[[Request, FormData], Awaitable[Response]], name: str) -> Route:
    """A route that changes something. The only way to make one that takes a POST.

    Args:
        handle: given the request and its form, once the form's token was found to be the session's.
    """

    async def endpoint(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD) as form:
            said, known = form.get(FIELD), request.session.get(FIELD)
            if not (isinstance(said, str) and known and hmac.compare_digest(said.encode(), known.encode())):
                raise HTTPException(403, "This form is too old. Go back, reload the page, and try again.")
            return await handle(request, form)

    endpoint.is_action = True  # type: ignore[attr-defined]  # a test looks that nothing else takes a POST
    return Route(path, endpoint, methods=["POST"], name=name)
