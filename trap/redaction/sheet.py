"""A message to be overwritten in place: its parts are read as they are coded, and keep their places.

What holds it together stays: lines that part, what the header says of types, charsets and encodings.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from trap.redaction import codings
from trap.redaction.layers import Scrubber
from trap.redaction.lenses import Base64, Lens
from trap.redaction.masks import blank
from trap.redaction.structure import HEADER, LEAF, MESSAGE, TEXT, Region, outline
from trap.redaction.vocabulary import common

MAX_NESTED = 8
"""Messages in base64 in messages in base64; what lies deeper is read as text."""
_APART = b"\r\n\r\n"
_FIELD = re.compile(rb"([!-9;-~]++):([^\r\n]*+(?:(?:\r\n|\r|\n)[ \t][^\r\n]*+){0,5000})")
_PARAMETER = re.compile(rb"(;\s*+([\w-]{1,40})[*\d]*+\s*+=)(\"[^\"]*+\"|[^;\"\s]++)")
_DATED = re.compile(rb"(?:resent-|delivery-|x-)?(?:date|received)|arc-.*")
_CLOCK = re.compile(rb"(?<![\w:.-])([0-9]{1,2}:[0-9]{2}):([0-9]{2})(?![\w:.])")
"""A time of day with its seconds: with them, the sender could find the recipient in his log."""
_KEPT = frozenset((b"boundary", b"charset", b"type", b"protocol", b"report-type", b"format", b"delsp"))
"""Parameters without which a part could not be read."""
_MIME = frozenset((b"content-type", b"content-disposition", b"content-transfer-encoding", b"mime-version"))
_VISIBLE = bytes(byte if byte in b"\r\n" else 120 for byte in range(256))


class Sheet:
    """One message.

    Args:
        data: the message; changed in place.
        depth: messages that it is coded in.
    """

    def __init__(self, data: bytearray, depth: int = 0) -> None:
        self._data, self._depth = data, depth
        self._outline = outline(bytes(data))

    def mask(self, scrubber: Scrubber) -> list[Region]:
        """Mask all names; return the regions in which some can't be overwritten in place."""
        self._boundaries(scrubber)
        self._headers(scrubber)
        self._clocks(scrubber)
        return [region for region in self._regions(TEXT, LEAF, MESSAGE) if not self._body(region, scrubber)]

    def within(self, part: tuple[int, ...]) -> list[Region]:
        """The bodies of a part, and of all in it."""
        return [region for region in self._regions(TEXT, LEAF, MESSAGE) if region.part[: len(part)] == part]

    def files(self) -> dict[bytes, Region]:
        """The bodies of parts that are no text, by the SHA-256 of what they decode to."""
        found: dict[bytes, Region] = {}
        for region in self._regions(LEAF):
            if not region.type.startswith("text/"):
                body = self._data[region.start : region.end]
                lens = _lens(body, region)
                said = bytes(lens.text if lens else body).strip()
                if said:
                    found[hashlib.sha256(said).digest()] = region
        return found

    def is_blank(self, region: Region) -> bool:
        """Whether nothing is left of a body to blank."""
        body = self._data[region.start : region.end]
        return body == _blank(body, region)

    def blank(self, region: Region) -> str:
        """Overwrite a body whole, so that it can still be decoded; return what it was, for people."""
        self._data[region.start : region.end] = _blank(self._data[region.start : region.end], region)
        number = ".".join(map(str, region.part))
        return f"part {number} ({_kind(region)})" if number else f"body ({_kind(region)})"

    def blank_field(self, part: tuple[int, ...], name: str) -> str:
        """Overwrite the values of a part's header fields of a name, lower case; return what it was."""
        for region in self._regions(HEADER):
            if region.part != part:
                continue
            header = bytes(self._data[region.start : region.end])
            for field in _FIELD.finditer(header):
                if field[1].lower() == name.encode("latin-1", "replace"):
                    start, end = field.span(2)
                    at = region.start
                    self._data[at + start : at + end] = _blanked(field[1].lower(), field[2])
        return f"header field {name}"

    def _regions(self, *kinds: str) -> Iterator[Region]:
        return (found for found in self._outline.regions if found.kind in kinds and found.start < found.end)

    def _boundaries(self, scrubber: Scrubber) -> None:
        """Mask names in boundaries, alike wherever they stand."""
        found = self._outline
        together = bytearray(_APART.join(found.boundaries))
        scrubber.scrub(together, "boundary")
        at = 0
        for number, boundary in enumerate(found.boundaries):
            found.boundaries[number] = bytes(together[at : at + len(boundary)])
            at += len(boundary) + len(_APART)
            if found.boundaries[number] != boundary:
                self._bind(number)

    def _bind(self, number: int) -> None:
        """Write a boundary to all its places."""
        boundary = self._outline.boundaries[number]
        for place in self._outline.places[number]:
            self._data[place : place + len(boundary)] = boundary

    def _headers(self, scrubber: Scrubber) -> None:
        """Mask names in the headers of all parts at once."""
        headers = list(self._regions(HEADER))
        together = bytearray(_APART.join(self._data[region.start : region.end] for region in headers))
        scrubber.scrub(together, "header", header=True)
        at = 0
        for region in headers:
            size = region.end - region.start
            self._data[region.start : region.end] = together[at : at + size]
            at += size + len(_APART)
        for number in range(len(self._outline.boundaries)):
            self._bind(number)

    def _clocks(self, scrubber: Scrubber) -> None:
        """Stop clocks at the full minute, in fields that say when and by whom a message was passed on."""
        for region in self._regions(HEADER):
            for field in _FIELD.finditer(bytes(self._data[region.start : region.end])):
                if not _DATED.fullmatch(field[1].lower()):
                    continue
                for clock in _CLOCK.finditer(field[2]):
                    if clock[2] != b"00":
                        at = region.start + field.start(2) + clock.start(2)
                        self._data[at : at + 2] = b"00"
                        scrubber.masked["header/seconds"] += 1

    def _body(self, region: Region, scrubber: Scrubber) -> bool:
        """Mask names in a body; False: some can't be overwritten."""
        body = self._data[region.start : region.end]
        lens = _lens(body, region)
        written = self._text(lens.text if lens else body, region, scrubber)
        if lens:
            written &= lens.back()
            # Letters of its code may by chance be a name, or how one is coded.
            coded = codings.squeezed(body)
            scrubber.mask(coded.text, "code")
            coded.back()
        self._data[region.start : region.end] = body
        return written

    def _text(self, text: bytearray, region: Region, scrubber: Scrubber) -> bool:
        """Mask names in what a body says."""
        if region.kind == MESSAGE and self._depth < MAX_NESTED:
            return not Sheet(text, self._depth + 1).mask(scrubber)
        if region.kind == TEXT or region.type.startswith(("text/", "message/")):
            return scrubber.scrub_in(text, _kind(region), region.charset)
        scrubber.scrub_data(text, _kind(region))
        return True


def _lens(body: bytearray, region: Region) -> Lens | None:
    """What a body is read through; None when it is not coded."""
    if region.encoding.startswith("base64"):
        return Base64(body)
    if region.encoding.startswith("quoted-printable"):
        return codings.quoted(body)
    if region.encoding in ("x-uuencode", "uuencode", "uue", "x-uue"):
        return codings.uuencoded(body)
    return None


def only_here(message: bytes, copies: Iterable[bytes]) -> frozenset[bytes]:
    """Files of a message that no other copy of it has: made for one recipient, or drawn for each copy.

    Args:
        message: the one that is to be told.
        copies: that others got; without any, nobody can tell.
    """
    others = [set(Sheet(bytearray(copy)).files()) for copy in copies]
    return frozenset(set(Sheet(bytearray(message)).files()).difference(*others)) if others else frozenset()


def _kind(region: Region) -> str:
    """The type of a body, for people, unless it is of the sender's invention: it may be a name."""
    return region.type if common(region.type) else "data"


def _blank(body: bytearray, region: Region) -> bytearray:
    """A body without anything to be read in it."""
    if not region.encoding.startswith("base64"):
        return body.translate(_VISIBLE)
    new = bytearray(body)
    lens = Base64(new)
    lens.text[:] = b"x" * len(lens.text)
    lens.back()
    return new


def _blanked(name: bytes, value: bytes) -> bytes:
    """A field's value without anything to be read in it; of fields that tell what a part is, less."""
    if name not in _MIME:
        return blank(value.decode("latin-1")).encode("latin-1", "replace")

    def parameter(found: re.Match[bytes]) -> bytes:
        return found[0] if found[2].lower() in _KEPT else found[1] + _blanked(b"", found[3])

    return _PARAMETER.sub(parameter, value)


def signatures(message: bytes) -> list[str]:
    """The signatures that a message has, for people: "dkim d=b.example", "arc d=...", "smime", "pgp"."""
    found: Counter[str] = Counter()
    for region in outline(message).regions:
        if region.kind != HEADER or region.part:
            continue
        for field in _FIELD.finditer(message, region.start, region.end):
            kind = _SIGNING.get(field[1].lower())
            if kind:
                domain = _DOMAIN.search(field[2])
                found[f"{kind} d={domain[1].decode('ascii')}" if domain else kind] += 1
    for sign, kind in _SIGNED:
        if sign.search(message):
            found[kind] += 1
    return list(found)


_SIGNING = {b"dkim-signature": "dkim", b"domainkey-signature": "domainkeys", b"arc-seal": "arc"}
_DOMAIN = re.compile(rb"(?:^|[;\s])d\s*+=\s*+([\w.-]{1,255})")
_SIGNED = (
    (re.compile(rb"application/(?:x-)?pkcs7-(?:signature|mime)", re.IGNORECASE), "smime"),
    (re.compile(rb"application/pgp-signature|-----BEGIN PGP SIGNED MESSAGE-----", re.IGNORECASE), "pgp"),
)
