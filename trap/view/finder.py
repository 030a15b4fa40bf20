"""Finds names of the trap in a text: as they are, and in the forms mail hides them in.

An address is looked for whole, by its local part and by its domain; in base64, in hex, coded for a
URL, as a hash, backwards. What finds them is made once for a set of names.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from trap.traces import MIN_WORD, ROLES, registrable

MAX_HIDDEN = 40
"""Identities whose hidden forms are looked for; of more, only what is readable, which is quicker found."""
_TURNED = 6
"""Characters of a name that is looked for backwards, too: a shorter one makes words, as trap makes part."""
_FAR = 120
_LONG = 8
"""Characters from which a name is found inside other words too."""
SHORTEST = 3
"""Characters of a word that is looked for at all when it stands alone."""
_WORD = re.compile(r"[\w.+-]{3,64}")
_IN_FRONT = re.compile(r"(?:[.@\]]|04[%=])(?:[\w.+\[\]@-]|04[%=]){0,119}")
"""What belongs to the domain behind it, read backwards."""


def find(text: str, names: frozenset[str]) -> list[tuple[int, int]]:
    """Where identities are in a text, without overlaps, in order."""
    finder = _finder(names)
    merged: list[tuple[int, int]] = []
    for span in sorted(finder.spans(text)):
        if merged and span[0] <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], span[1]))
        else:
            merged.append(span)
    return merged


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
    hidden = {form.lower() for word in (name, local) if len(word) >= MIN_WORD for form in _hidden(word)}
    return tuple(word for word in _also_defanged(plain | hidden) if len(word) >= SHORTEST)


class _Finder:
    """Finds identities; made once for all the strings of a page."""

    def __init__(self, names: frozenset[str]) -> None:
        domains: set[str] = set()
        words: set[str] = set()
        forms: set[str] = set()
        for name in names:
            local, at, domain = name.rpartition("@")
            if len(name) < SHORTEST:
                continue
            if not at:
                (domains if registrable(domain) else words).update({name} - ROLES)
                continue
            domains.update(word for word in (domain, registrable(domain)) if len(word) >= SHORTEST)
            for word in {local, local.partition("+")[0]} - ROLES:
                if len(word) >= SHORTEST:
                    (words if len(word) < MIN_WORD else forms).add(word)
            (words if len(name) < MIN_WORD else forms).add(name)
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
    trie = _trie(_also_defanged(words)) if words else "(?!)"
    return re.compile(rf"(?<![a-z0-9]){trie}(?![a-z0-9])" if whole else trie, re.IGNORECASE)


def _also_defanged(words: set[str]) -> set[str]:
    """Words as they are, and as they stand in the host of a URL that was defanged."""
    return words | {word.replace(".", "[.]").replace("@", "[@]") for word in words}


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
