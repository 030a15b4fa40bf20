"""Keeps the trap's identities out of what is shown: its recipients, its hosts, its addresses.

Who lets others read what the trap got shows them, line by line, whom to leave out next time. So each
address is looked for as it is and in the forms mail hides it in: coded for a URL, in base64, in hex,
backwards, as a hash. Of a domain of the trap, what stands in front of it goes too.

    >>> mask_text("To: Joe.Trap@Trap.Example, seen by mx.trap.example", {"joe.trap@trap.example"})
    'To: •••, seen by •••'
"""

import html
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import unquote

import msgspec

from trap.archive.record import Record
from trap.config import Config
from trap.job import Headers
from trap.traces import registrable
from trap.view.finder import SHORTEST, find
from trap.view.hops import PRIVATE
from trap.view.view import View

MASK = "•••"
_MAX_FIELDS = 100
_MAX_SAID = 40
"""Names of one kind that are taken from header fields: what is looked for is not the sender's to choose."""

_DELIVERED = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-rcpt-to", "apparently-to")
_ADDRESS = re.compile(r"[\w.+=%&'*/~!#$^{|}-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,9}")
_PRIVATE_6 = ipaddress.ip_network("fc00::/7")
_WILD = frozenset("*?")
_FOR = re.compile(r"\bfor[ \t]+<?([^\s;<>]{1,320}@[^\s;<>]{1,255})", re.IGNORECASE)
_BY = re.compile(r"\bby[ \t]+([\w.-]{4,255})", re.IGNORECASE)
_TAG = re.compile(r"(<[a-zA-Z/!](?:[^\"'>]|\"[^\"]*\")*>)")
_TITLE = re.compile(r' (title|alt)="([^"]*)"')
_KEPT = frozenset(
    ("type", "charset", "encoding", "disposition", "sha256", "md5", "sniffed", "where", "missing", "protocol")
)
"""Fields of a view that name nobody."""


def identities(record: Record, config: Config) -> frozenset[str]:
    """What would tell who the trap is: addresses, domains, hosts and IP addresses, in lower case.

    What header fields say of recipients is believed where we know the domain, or the client is a server
    of ours: else a sender could have his own domain masked.
    """
    envelope, headers = record.envelope, Headers(record.message)
    delivered = [said for name in _DELIVERED for said in headers.get_all(name)[:_MAX_FIELDS]]
    received = headers.get_all("received")[:_MAX_FIELDS]
    found = {address.lower() for address in (*envelope.rcpt_tos, *_given_to(record.notes))}
    for pattern in (*config.accept.domains, *config.accept.addresses):
        name = pattern.lower().lstrip(".")
        found.add(name.rpartition("@")[2] if _WILD.intersection(name) else name)
    relayed = _is_relay(envelope.client_ip)
    said = _said(_ADDRESS, delivered) | _said(_FOR, received)
    own = {_registered(name) for name in (found | said if relayed else found)} - {""}
    found.update(name for name in said | _said(_BY, received) if _registered(name) in own)
    if received and relayed:
        found.update(_said(_BY, received[:1]))
    found.update((envelope.server_ip, config.hostname.lower()))
    found.update(listener.host for listener in config.listen)
    names = (name for name in found if len(name) >= SHORTEST and not _WILD.intersection(name))
    return frozenset(name for name in names if not _says_nothing(name))


def _given_to(notes: Mapping[str, Any]) -> Iterator[str]:
    """Recipients of the mail in which a donor sent this one: addresses of ours that the envelope has lost."""
    for note in notes.values():
        donor = note.get("donor") if isinstance(note, dict) else None
        said = donor.get("rcpts") if isinstance(donor, dict) else None
        yield from (address for address in said or () if isinstance(address, str))


def _registered(name: str) -> str:
    """What somebody registered, of the domain of an address or host."""
    return registrable(name.rpartition("@")[2])


def _said(pattern: re.Pattern[str], fields: list[str]) -> frozenset[str]:
    """What a pattern finds in some header fields, in lower case, and no more than anybody needs to say."""
    found = (text.lower().strip(".") for field in fields for text in pattern.findall(field[:2000]))
    return frozenset(islice(found, _MAX_SAID))


def _says_nothing(name: str) -> bool:
    """Loopback and "any" are everybody's."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return address.is_loopback or address.is_unspecified


def _is_relay(client_ip: str) -> bool:
    """Whether the client is a server of ours in front of the trap, or a replay: its Received is ours too."""
    try:
        address = ipaddress.ip_address(client_ip)
    except ValueError:
        return True  # it came by no network at all
    if address.is_loopback or address.is_link_local:
        return True
    return any(address in network for network in (*PRIVATE, _PRIVATE_6))


def mask_text(text: str, identities: Iterable[str]) -> str:
    """A text with every trace of the identities replaced by "•••"."""
    spans = find(text, frozenset(identities))
    return _without(text, spans) if spans else text


def mask_lines(lines: list[tuple[int, str]], identities: Iterable[str]) -> list[tuple[int, str]]:
    """The lines of `raw_lines`, masked; what a line's end cuts in two is found as well."""
    texts = [text.removesuffix("=") if text.endswith("=") else text for _, text in lines]
    spans = find("".join(texts), frozenset(identities))
    shown = _cut(texts, spans)
    return [
        (number, text if new == bare else new + text[len(bare) :])
        for (number, text), bare, new in zip(lines, texts, shown, strict=True)
    ]


def masked(view: View, identities: Iterable[str]) -> View:
    """A view in which no identity is left."""
    names = frozenset(identities)
    found = _masked(msgspec.to_builtins(view), names)
    found["html"] = mask_html(view.html, names)
    return msgspec.convert(found, View)


def mask_html(document: str, identities: Iterable[str]) -> str:
    """The document of a view, masked in its text and titles; its tags stay what they are."""
    names = frozenset(identities)
    head, body, rest = document.partition("<body>")
    pieces = _TAG.split(rest)
    # A name may be cut in two by tags that change nothing to the eye.
    pieces[::2] = _cut(pieces[::2], find("".join(pieces[::2]), names))
    pieces[1::2] = [_TITLE.sub(partial(_titled, names), tag) for tag in pieces[1::2]]
    return f"{head}{body}{''.join(pieces)}"


def _titled(names: frozenset[str], found: re.Match[str]) -> str:
    """A tag's title or alt, masked."""
    text = html.unescape(found[2])
    shown = _read(text, names)
    return found[0] if shown == text else f' {found[1]}="{html.escape(shown)}"'


def _read(text: str, names: frozenset[str]) -> str:
    """A text masked, also where it holds names with some letters coded as in URLs."""
    shown = mask_text(text, names)
    if "%" in shown:
        plain = unquote(shown)
        if (again := mask_text(plain, names)) != plain:
            return again
    return shown


def _masked(thing: Any, names: frozenset[str]) -> Any:
    if isinstance(thing, str):
        return _read(thing, names)
    if isinstance(thing, list):
        return [_masked(item, names) for item in thing]
    if isinstance(thing, dict):
        return {
            key: value if key in _KEPT or key == "html" else _masked(value, names)
            for key, value in thing.items()
        }
    return thing


def _cut(texts: list[str], spans: list[tuple[int, int]]) -> list[str]:
    """Some texts without the spans of all of them together."""
    cut, start, at = [], 0, 0
    for text in texts:
        end = start + len(text)
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        here, next_ = [], at
        while next_ < len(spans) and spans[next_][0] < end:
            left, right = spans[next_]
            here.append((max(left, start) - start, min(right, end) - start))
            next_ += 1
        cut.append(_without(text, here))
        start = end
    return cut


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept, at = [], 0
    for start, end in spans:
        kept += [text[at:start], MASK]
        at = end
    return "".join([*kept, text[at:]])
