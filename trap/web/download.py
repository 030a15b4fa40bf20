"""Downloads: what came with a message, as bytes that no browser shows, runs or believes.

Names and types are the sender's words. The type is always ours; the name is made safe, and can end
neither the header nor its quotation marks (RFC 6266, with the encoding of RFC 5987).
"""

import re
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trap.view.mask import MASK
from trap.view.names import safe
from trap.view.veil import Veil
from trap.view.view import Part
from trap.web.lookup import Archived, Trouble, of_message
from trap.web.site import site

BYTES = "application/octet-stream"
ZIP = "application/zip"
_NUMBER = re.compile(r"[0-9]{1,6}")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._ ()-]")
_ATTR_CHARS = "!#$&+-.^_`|~"
"""What RFC 5987 leaves as it is, besides letters and digits."""
_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
_NAMING = ("text/", "message/", "multipart/")
"""Parts of these types may name a recipient; pictures and programs hardly do."""


def disposition(name: str) -> str:
    """The value of Content-Disposition that has a file saved under a name, whatever the name is.

    >>> disposition('../Überweisung".pdf')
    'attachment; filename="_berweisung_.pdf"; filename*=UTF-8\\'\\'%C3%9Cberweisung_.pdf'
    """
    name = safe(name) or "unnamed"
    plain = _NOT_PLAIN.sub("_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"


def is_naming(type_: str, name: str) -> bool:
    """Whether a part may name trap identities, so that it is for those who may see them.

    Args:
        type_: as declared.
        name: of the file, masked.
    """
    return type_.startswith(_NAMING) or MASK in name


async def original(request: Request, found: Archived) -> Response:
    """The whole message as it was received; shown identities are needed."""
    _only_if_revealed(request)
    return _file(found.record.message, f"{found.record.id}.eml", BYTES)


async def original_zip(request: Request, found: Archived) -> Response:
    """The whole message in a zip with a password; shown identities are needed."""
    _only_if_revealed(request)
    packed = await site(request).viewer.packed(found.record, None)
    return _file(packed, f"{found.record.id}.eml.zip", ZIP)


async def part(request: Request, found: Archived) -> Response:
    """One part, decoded."""
    wanted = await _part(request, found)
    return _file(wanted.data, wanted.name, BYTES)


async def part_zip(request: Request, found: Archived) -> Response:
    """One part in a zip with a password."""
    wanted = await _part(request, found)
    packed = await site(request).viewer.packed(found.record, int(request.path_params["number"]))
    return _file(packed, f"{wanted.name}.zip", ZIP)


async def _part(request: Request, found: Archived) -> Part:
    number = request.path_params["number"]
    if not _NUMBER.fullmatch(number):
        raise Trouble(404, "No part is called this", "Parts have numbers, from 0.")
    try:
        wanted = await site(request).viewer.part(found.record, int(number))
    except LookupError:
        raise Trouble(404, f"This message has no part {number}") from None
    veil = Veil(found.record, site(request).config, shown=False)
    if is_naming(wanted.type, veil.told(wanted.name)):
        _only_if_revealed(request)
    return wanted


def _only_if_revealed(request: Request) -> None:
    """Raises Trouble unless trap identities are shown: nothing is masked in what is as it came."""
    if not site(request).revealed(request):
        raise Trouble(
            403,
            "Identities are masked",
            "This is part of the message as it came, and may name our recipients and hosts."
            " “Identities masked”, above, shows them for half an hour; that is logged.",
        )


def _file(data: bytes, name: str, type_: str) -> Response:
    answer = Response(data, headers={**_HEADERS, "Content-Disposition": disposition(name)})
    answer.headers["Content-Type"] = type_
    return answer


_ONE = "/messages/{id}"
routes: list[BaseRoute] = [
    Route(f"{_ONE}.eml", of_message(original)),
    Route(f"{_ONE}.zip", of_message(original_zip)),
    Route(f"{_ONE}/parts/{{number}}.zip", of_message(part_zip)),
    Route(f"{_ONE}/parts/{{number}}", of_message(part)),
]
