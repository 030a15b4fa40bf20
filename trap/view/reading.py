"""Reads one message, section by section: the cheap and important first, so that a time-out costs the rest."""

from collections.abc import Callable, Iterator
from typing import Any

from trap import magic
from trap.view import body, headers, markup, parts
from trap.view.defang import defang_text
from trap.view.hops import hops
from trap.view.names import made_up, safe
from trap.view.urls import urls
from trap.view.view import Part, PartInfo
from trap.view.wire import NoPart, Source

MAX_DEFECTS = 100
MAX_HTML_PARTS = 10
"""HTML parts that URLs are looked for in; the first is shown."""

Section = tuple[str, Callable[[], dict[str, Any]]]


class _Reading:
    """What the sections of one message share."""

    def __init__(self, source: Source, said: bytes, images: bool) -> None:
        self._source = source
        self._message = message = headers.lined(said)
        self._images = images
        self._scan = headers.scan(message)
        self._defects = list(self._scan.defects)
        if message is not said:
            self._defects.append("its lines end with nothing but a CR")
        self._parts: list[parts.Part] = []
        self._infos: list[PartInfo] = []
        self._text = ""

    def headers(self) -> dict[str, Any]:
        fields = list(headers.shown(self._scan))
        for field in fields:
            field.value = defang_text(field.value)
        return {
            "headers": fields,
            "addresses": headers.addresses(self._scan),
            "defects": self._defects,
        }

    def hops(self) -> dict[str, Any]:
        return {"hops": hops(self._scan.fields, self._source)}

    def parts(self) -> dict[str, Any]:
        self._parts = parts.tree(self._message)
        self._infos = [part.info(self._message) for part in self._parts]
        for info in self._infos:
            where = f"part {info.number}: " if info.number else ""
            self._defects += [f"{where}{defect}" for defect in info.defects]
        self._defects = list(dict.fromkeys(self._defects))[:MAX_DEFECTS]
        return {"parts": self._infos, "defects": self._defects}

    def text(self) -> dict[str, Any]:
        self._text, from_html, defects = body.text(self._parts, self._message)
        self._defects += defects
        shown = defang_text(self._text)
        return {"text": shown, "text_from_html": from_html, "defects": self._defects}

    def html(self) -> dict[str, Any]:
        found = body.html_parts(self._parts)
        if not found:
            return {"html": ""}
        shown = markup.pictures(self._parts, self._message) if self._images else None
        return {"html": markup.document(body.source(found[0], self._message), shown)}

    def urls(self) -> dict[str, Any]:
        found = body.html_parts(self._parts)[:MAX_HTML_PARTS]
        return {"urls": urls(self._text, (body.source(part, self._message) for part in found))}

    def hashes(self) -> dict[str, Any]:
        for part, info in zip(self._parts, self._infos, strict=True):
            if not part.is_multipart:
                data = part.decode(self._message)
                info.size = len(data)
                info.sha256, info.md5 = parts.digests(data)
                info.sniffed = magic.belied(data, part.type)
        return {"parts": self._infos}


def sections(source: Source, message: bytes, images: bool) -> Iterator[Section]:
    """What is done for a view, in this order: the name of each section, and how to get it."""
    reading = _Reading(source, message, images)
    yield "headers", reading.headers
    yield "hops", reading.hops
    yield "parts", reading.parts
    yield "text", reading.text
    yield "html", reading.html
    yield "urls", reading.urls
    yield "hashes", reading.hashes


def part(message: bytes, number: int) -> Part:
    """One part, decoded.

    Raises:
        NoPart: there is none of that number.
    """
    message = headers.lined(message)
    found = parts.tree(message)
    if not 0 <= number < len(found):
        raise NoPart
    one = found[number]
    data = message[one.start : one.end] if one.is_multipart else one.decode(message)
    name = safe(one.said_name) or made_up(number, one.type)
    return Part(name, one.type, data, parts.digests(data)[0])
