"""Keeps the trap's identities out of what is shown: its recipients, its hosts, its addresses.

Who lets others read what the trap got shows them, line by line, whom to leave out next time. So each
address is looked for as it is and in the forms mail hides it in: coded for a URL, in base64, in hex,
backwards, as a hash. Of a domain of the trap, what stands in front of it goes too.

    >>> mask_text("To: Joe.Trap@Trap.Example, seen by mx.trap.example", {"joe.trap@trap.example"})
    'To: •••, seen by •••'
"""

import html
import re
from collections.abc import Iterable
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec

from trap.archive.record import Record
from trap.config import Config
from trap.redaction.identities import Identities
from trap.view.finder import find
from trap.view.view import View

MASK = "•••"
_TAG = re.compile(r"(<[a-zA-Z/!](?:[^\"'>]|\"[^\"]*\")*>)")
_TITLE = re.compile(r' (title|alt)="([^"]*)"')
_KEPT = frozenset(
    ("type", "charset", "encoding", "disposition", "sha256", "md5", "sniffed", "where", "missing", "protocol")
)
"""Fields of a view that name nobody."""


def identities(record: Record, config: Config) -> frozenset[str]:
    """What would tell who the trap is: addresses, domains, hosts and IP addresses, in lower case."""
    ours = Identities.of(config)
    return ours.with_message(record.envelope, record.notes, record.message).names()


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
