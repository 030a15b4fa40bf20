"""The API as a table of endpoints, and the OpenAPI document (3.1) that is made of the same table.

What a request may say is a msgspec structure, and so is what an answer holds: both are checked by it,
and described by its schema.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trap import __version__
from trap.archive.index import TooSlow

ROOT = "/api/v1"
_PATTERNS = {"id": r"^[0-9]{16}[0-9a-f]{8}$"}
"""Of what stands in a path."""
_PLACE = re.compile(r"\{(\w+)\}")
_COMPONENTS = "#/components/schemas/{name}"
_MISTAKES = {
    400: "The request is not one; the query has a mistake between start and end.",
    401: "A token is needed.",
    403: "That shows trap identities: ask for identities=true.",
    404: "It is not there.",
    503: "The index or the spool can't be read at the moment, or the query takes too long.",
}


class Mistake(msgspec.Struct, omit_defaults=True):
    """What is wrong with a request."""

    error: str
    start: int | None = None
    """Of the wrong place in `q`, in characters."""
    end: int | None = None


class Endpoint(NamedTuple):
    """One thing that can be asked."""

    path: str
    """Below ROOT."""
    summary: str
    asks: type[msgspec.Struct]
    """What the query string may hold."""
    gives: Any
    """The type of what is answered as JSON, or the media types of something else."""
    handle: Callable[[Request, Any], Awaitable[Response]]
    fails: tuple[int, ...] = ()
    """Statuses besides 400, 401 and 503."""


class Wrong(Exception):
    """Ends a request with a mistake."""

    def __init__(self, status: int, mistake: Mistake) -> None:
        super().__init__(mistake.error)
        self.status = status
        self.mistake = mistake


def answer(thing: Any, status: int = 200) -> Response:
    """Something as JSON."""
    return Response(msgspec.json.encode(thing), status, media_type="application/json")


def route(endpoint: Endpoint) -> BaseRoute:
    """The route that serves an endpoint."""

    async def serve(request: Request) -> Response:
        try:
            asked = dict(request.query_params)
            try:
                wants = msgspec.convert(asked, endpoint.asks, strict=False)
            except msgspec.ValidationError as error:
                raise Wrong(400, Mistake(str(error))) from None
            return await endpoint.handle(request, wants)
        except Wrong as error:
            return answer(error.mistake, error.status)
        except TooSlow as error:
            return answer(Mistake(str(error)), 503)

    return Route(ROOT + endpoint.path, serve, methods=["GET"])


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The OpenAPI document."""
    given = [endpoint.gives for endpoint in endpoints if not isinstance(endpoint.gives, tuple)]
    kinds = [Mistake, *given]
    (mistake, *shapes), components = msgspec.json.schema_components(kinds, ref_template=_COMPONENTS)
    known = iter(shapes)
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        media = endpoint.gives if isinstance(endpoint.gives, tuple) else ("application/json",)
        schema = {} if isinstance(endpoint.gives, tuple) else next(known)
        wrong = {"content": {"application/json": {"schema": mistake}}}
        paths[ROOT + endpoint.path] = {
            "get": {
                "summary": endpoint.summary,
                "operationId": re.sub(r"\W+", "_", endpoint.path.strip("/")),
                "parameters": [*_places(endpoint.path), *_parameters(endpoint.asks)],
                "responses": {
                    "200": {
                        "description": endpoint.summary,
                        "content": {kind: {"schema": schema} for kind in media},
                    },
                    **{
                        str(status): {"description": _MISTAKES[status], **wrong}
                        for status in sorted({400, 401, 503, *endpoint.fails})
                    },
                },
            }
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "spamtrap",
            "version": __version__,
            "description": "Reads a spamtrap's archive and pipeline. Nothing can be changed by it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _places(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1, **_pattern(name)},
        }
        for name in _PLACE.findall(path)
    ]


def _pattern(name: str) -> dict[str, str]:
    return {"pattern": _PATTERNS[name]} if name in _PATTERNS else {}


def _parameters(asks: type[msgspec.Struct]) -> list[dict[str, Any]]:
    schema = msgspec.json.schema(asks)["$defs"][asks.__name__]
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": kind.get("description", ""),
            "schema": {key: value for key, value in kind.items() if key != "description"},
        }
        for name, kind in schema["properties"].items()
    ]
