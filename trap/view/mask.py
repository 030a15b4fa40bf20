"""Keeps the trap's identities out of what is shown: its recipients, its hosts, its addresses.

Who lets others read what the trap got shows them, line by line, whom to leave out next time. So each
address is looked for as it is and in the forms mail hides it in: coded for a URL, in base64, in hex,
backwards, as a hash. Of a domain of the trap, what stands in front of it goes too.

    >>> mask_text("To: Joe.Trap@Trap.Example, seen by mx.trap.example", {"joe.trap@trap.example"})
    'To: •••, seen by •••'
"""

import base64
import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from trap.archive.record import Record
from trap.config import Config
from trap.job import Headers
from trap.traces import MIN_WORD, ROLES, registrable
from trap.view.hops import PRIVATE
from trap.view.view import View

MASK = "•••"
MAX_HIDDEN = 40
"""Identities whose hidden forms are looked for; of more, only what is readable, which is quicker found."""
_TURNED = 6
"""Characters of a name that is looked for backwards, too: a shorter one makes words, as trap makes part."""
_MAX_DELIVERED = 100
_FAR = 120
_LONG = 8
"""Characters from which a name is found inside other words too."""
_SHORTEST = 3
"""Characters of a word that is looked for at all when it stands alone."""

_DELIVERED = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-rcpt-to", "apparently-to")
_ADDRESS = re.compile(r"[\w.+=%&'*/~!#$^{|}-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,9}")
_WORD = re.compile(r"[\w.+-]{3,64}")
_PRIVATE_6 = ipaddress.ip_network("fc00::/7")
_WILD = frozenset("*?")
_FOR = re.compile(r"\bfor[ \t]+<?([^\s;<>]{1,320}@[^\s;<>]{1,255})", re.IGNORECASE)
_BY = re.compile(r"\bby[ \t]+([\w.-]{4,255})", re.IGNORECASE)
_IN_FRONT = re.compile(r"(?:[.@\]]|04[%=])(?:[\w.+\[\]@-]|04[%=]){0,119}")
"""What belongs to the domain behind it, read backwards."""
_TAG = re.compile(r"(<[a-zA-Z/!](?:[^\"'>]|\"[^\"]*\")*>)")
_TITLE = re.compile(r' (title|alt)="([^"]*)"')
_KEPT = frozenset(
    ("type", "charset", "encoding", "disposition", "sha256", "md5", "sniffed", "where", "missing", "protocol")
)
"""Fields of a view that name nobody."""


def identities(record: Record, config: Config) -> frozenset[str]:
    """What would tell who the trap is: addresses, domains, hosts and IP addresses, in lower case."""
    envelope, headers = record.envelope, Headers(record.message)
    found = {address.lower() for address in envelope.rcpt_tos}
    for name in _DELIVERED:
        for said in headers.get_all(name)[:_MAX_DELIVERED]:
            found.update(address.lower() for address in _ADDRESS.findall(said[:2000]))
    own = {registrable(address.rpartition("@")[2]) for address in found} - {""}
    received = [said[:2000] for said in headers.get_all("received")[:_MAX_DELIVERED]]
    for said in received:
        found.update(address.lower() for address in _FOR.findall(said))
    hosts = {host.lower().strip(".") for said in received for host in _BY.findall(said)}
    found.update(host for host in hosts if registrable(host) in own)
    if received and _is_relay(envelope.client_ip):
        found.update(host.lower() for host in _BY.findall(received[0]))
    found.update((envelope.server_ip, config.hostname.lower()))
    found.update(listener.host for listener in config.listen)
    for pattern in (*config.accept.domains, *config.accept.addresses):
        name = pattern.lower().lstrip(".")
        found.add(name.rpartition("@")[2] if _WILD.intersection(name) else name)
    names = (name for name in found if len(name) >= _SHORTEST and not _WILD.intersection(name))
    return frozenset(name for name in names if not _says_nothing(name))


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
    spans = _spans(text, frozenset(identities))
    return _without(text, spans) if spans else text


def mentions(text: str, identities: Iterable[str]) -> bool:
    """Whether a text may hold a trace of the identities.

    Cheaper to know than to mask it: what masks is made once for a set of identities, and a list has a
    set in every line.
    """
    said = text.lower()
    return any(form in said for name in identities for form in _traces(name))


@lru_cache(maxsize=4096)
def _traces(name: str) -> tuple[str, ...]:
    """What a text holds, in lower case, that holds a trace of a name; it may hold it without."""
    local, _, domain = name.lower().rpartition("@")
    plain = {name.lower(), domain, registrable(domain), local, local.partition("+")[0]} - ROLES - {""}
    plain.update([word.replace(".", "[.]") for word in plain])
    hidden = {form.lower() for word in (name, local) if len(word) >= MIN_WORD for form in _hidden(word)}
    return tuple(word for word in plain | hidden if len(word) >= _SHORTEST)


def mask_lines(lines: list[tuple[int, str]], identities: Iterable[str]) -> list[tuple[int, str]]:
    """The lines of `raw_lines`, masked; what a line's end cuts in two is found as well."""
    texts = [text.removesuffix("=") if text.endswith("=") else text for _, text in lines]
    spans = _spans("".join(texts), frozenset(identities))
    masked, start, at = [], 0, 0
    for (number, text), bare in zip(lines, texts, strict=True):
        end = start + len(bare)
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        here = []
        for left, right in spans[at:]:
            if left >= end:
                break
            here.append((max(left, start) - start, min(right, end) - start))
        masked.append((number, _without(bare, here) + text[len(bare) :]))
        start = end
    return masked


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
    if not _spans(rest, names):
        return document
    pieces = _TAG.split(rest)
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            pieces[number] = mask_text(piece, names)
        elif ' title="' in piece or ' alt="' in piece:
            pieces[number] = _TITLE.sub(lambda found: f' {found[1]}="{mask_text(found[2], names)}"', piece)
    return f"{head}{body}{''.join(pieces)}"


def _masked(thing: Any, names: frozenset[str]) -> Any:
    if isinstance(thing, str):
        return mask_text(thing, names)
    if isinstance(thing, list):
        return [_masked(item, names) for item in thing]
    if isinstance(thing, dict):
        return {
            key: value if key in _KEPT or key == "html" else _masked(value, names)
            for key, value in thing.items()
        }
    return thing


def _spans(text: str, names: frozenset[str]) -> list[tuple[int, int]]:
    """Where identities are, without overlaps, in order."""
    finder = _finder(names)
    merged: list[tuple[int, int]] = []
    for span in sorted(finder.spans(text)):
        if merged and span[0] <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], span[1]))
        else:
            merged.append(span)
    return merged


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept, at = [], 0
    for start, end in spans:
        kept += [text[at:start], MASK]
        at = end
    return "".join([*kept, text[at:]])


class _Finder:
    """Finds identities; made once for all the strings of a page."""

    def __init__(self, names: frozenset[str]) -> None:
        domains: set[str] = set()
        words: set[str] = set()
        forms: set[str] = set()
        for name in names:
            local, at, domain = name.rpartition("@")
            if len(name) < _SHORTEST:
                continue
            if not at:
                (domains if registrable(domain) else words).update({name, name.replace(".", "[.]")} - ROLES)
                continue
            domains.update(word for word in (domain, registrable(domain)) if len(word) >= _SHORTEST)
            for word in {local, local.partition("+")[0]} - ROLES:
                if len(word) >= _SHORTEST:
                    (words if len(word) < MIN_WORD else forms).add(word)
            (words if len(name) < MIN_WORD else forms).add(name)
        domains.update([domain.replace(".", "[.]") for domain in domains])
        few = len(names) <= MAX_HIDDEN
        hidden = {form for name in forms for form in _hidden(name)} if few else set()
        # What begins or ends another word by chance, as "part" ends "multipart", has to stand alone.
        alone = {form for form in hidden if len(form) < _LONG}
        self._domains = _expression(domains, whole=True)
        self._others = [
            _expression(words | alone if few else set(), whole=True),
            _expression(hidden - alone, whole=False),
        ]
        self._words = frozenset() if few else words | forms

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where they are, in no order."""
        for found in self._domains.finditer(text):
            # What stands in front of a domain is a host or an address there.
            before = _IN_FRONT.match(text[max(0, found.start() - _FAR) : found.start()][::-1])
            yield found.start() - (before.end() if before else 0), found.end()
        for expression in self._others:
            for found in expression.finditer(text):
                yield found.span()
        if self._words:
            yield from (found.span() for found in _WORD.finditer(text) if found[0].lower() in self._words)


_finder = lru_cache(maxsize=64)(_Finder)


def _expression(words: set[str], whole: bool) -> re.Pattern[str]:
    """Any of many words; what they begin with alike is tried once."""
    trie = _trie(words) if words else "(?!)"
    return re.compile(rf"(?<![a-z0-9]){trie}(?![a-z0-9])" if whole else trie, re.IGNORECASE)


def _hidden(form: str) -> Iterator[str]:
    """What a name is written as, and is where it should not be seen."""
    yield form
    raw = form.encode("utf-8", "surrogateescape")
    yield quote(raw, safe="")
    yield raw.hex()
    if len(form) >= _TURNED:
        yield form[::-1]
    yield from _in_base64(raw)
    for name in ("md5", "sha1", "sha256"):
        yield hashlib.new(name, raw, usedforsecurity=False).hexdigest()


def _in_base64(raw: bytes) -> Iterator[str]:
    """What is the same whatever stands around it, for each of the three places it may begin."""
    for pad, skip in enumerate((0, 2, 3)):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            core = encode(bytes(pad) + raw).decode("ascii")[skip : (pad + len(raw)) * 8 // 6]
            if len(core) > MIN_WORD:
                yield core


def _trie(words: Iterable[str]) -> str:
    """An expression that matches the longest of many words at a place, fast."""
    root: dict[str, Any] = {}
    for word in words:
        node = root
        for letter in word.lower():
            node = node.setdefault(letter, {})
        node[""] = {}
    return _branches(root)


def _branches(node: dict[str, Any]) -> str:
    text = ""
    while len(node) == 1:
        ((letter, node),) = node.items()
        if not letter:
            return text
        text += re.escape(letter)
    if not node:
        return text
    branches = "|".join(re.escape(letter) + _branches(after) for letter, after in node.items() if letter)
    return f"{text}(?:{branches}){'?' if '' in node else ''}"
