"""Finds what identifies the recipient of a message to its sender without naming him.

A sender who wants to know which address is a trap writes a number into each copy, and waits for it to come
back in a report. There are two ways to find it, and both are taken:

* Some places hold such keys in all mail: addresses for bounces (VERP), links to unsubscribe, parameters of
  links and pixels, ids of messages, servers and campaigns, signatures. There all that is opaque counts
  (`trap.redaction.marks`), from one message alone.
* What varies between copies of one campaign does so for a reason (`trap.redaction.alignment`).

What makes the message evidence stays readable: what somebody registered of domains, the words, names of
files, wallets, dates. Somebody who registers a domain for every recipient is not found out.

    >>> sorted(tokens(b"Message-ID: <a1.8f3c@x.example>\\n\\nhttps://www.x.example/u/9QxZ7kLp2?id=48291&lang=en"))
    ['48291', '9QxZ7kLp2', 'a1.8f3c']
"""

import html
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from trap.redaction import marks
from trap.redaction.alignment import varying
from trap.redaction.opaque import SHORTEST, is_wallet, runs
from trap.view.glyphs import decoded
from trap.view.headers import Field, words
from trap.view.parts import Part, tree

MAX_TOKENS = 20_000
"""Strings found in one message."""
MAX_TOKEN = 4000
"""Characters of one; what is longer is found in pieces."""
MAX_TEXT = 4 << 20
"""Characters of a message's text that are searched."""
MAX_COMPARED = 1 << 19
"""Characters of it that are compared with those of a copy."""
MAX_HEADER = 1 << 19
"""Characters of header fields that are looked at, of all parts together."""
MAX_URLS = 20_000
_MAX_FIELD = 16 << 10

_ENDLESS = re.compile(r"&#[0-9a-fA-Fx]{9,};?")
"""html.unescape raises on numbers too long for int()."""
_PROSE = re.compile(r"(?<![\w/+=.#-])[A-Za-z0-9][A-Za-z0-9_-]{13,58}[A-Za-z0-9](?![\w/+=-])")
"""What may be a key in a text; longer words are lines of a file."""
_TEXTS = re.compile(r"text/.*|message/delivery-status|application/xhtml.*|image/svg.*")
_PAGES = re.compile(r"\.(?:html?|shtml|xhtml|svg|txt|xml|ics|js)$", re.IGNORECASE)
_WORDS = re.compile(
    r"subject|thread-topic|comments|keywords|organi[sz]ation|user-agent|x-mailer|from|reply-to"
)
"""Fields that are for reading, as the text is."""
_ROUTE = re.compile(
    r"(?:x-)?received.*|date|arc-.*|.*dkim.*|domainkey.*|authentication-results|from|sender|reply-to|x-spam.*"
    r"|x-virus.*|x-mailer|user-agent|x-originating-ip|message-id|mime-version|x-.*-ip|received-spf"
    r"|delivered-to|x-original-to|envelope-to|content-transfer-encoding"
)
"""Fields that vary with the way a copy took, or with who was made up as its sender: evidence."""


def tokens(
    message: bytes,
    copies: Sequence[bytes] = (),
    *,
    twins: Sequence[bytes] = (),
    mail_from: str = "",
    helo: str = "",
) -> frozenset[str]:
    """Strings of a message, decoded, that identify its recipient or the copy. Never raises; all is bounded.

    Args:
        message: to be told.
        copies: of the same campaign, to others.
        twins: copies that went to the same recipient: what differs between these varies by the copy.
        mail_from: the envelope's sender.
        helo: what the client called itself.
    """
    read = _Reading(message, MAX_TEXT)
    found: dict[str, None] = {}
    for token in chain(marks.in_host(helo), _all(read, copies, twins, mail_from)):
        for start in range(0, len(token), MAX_TOKEN):
            piece = token[start : start + MAX_TOKEN].strip(" .<>\"'")
            if len(piece) >= SHORTEST or _is_name(piece):
                found[piece] = None
        if len(found) >= MAX_TOKENS:
            break
    return frozenset(token for token in found if token.lower() not in read.readable)


def _all(read: "_Reading", copies: Sequence[bytes], twins: Sequence[bytes], mail_from: str) -> Iterator[str]:
    yield from marks.in_sender(mail_from)
    for name, value in read.fields:
        yield from marks.in_field(name, value)
    if copies or twins:
        others = [_Reading(copy, MAX_COMPARED).places() for copy in copies]
        same = [_Reading(copy, MAX_COMPARED).places() for copy in twins]
        yield from varying(read.places(), others, same)
    for url in read.urls:
        yield from marks.in_url(url)
    said = [value for name, value in read.fields if _WORDS.fullmatch(name)]
    for found in _PROSE.finditer("\n".join([marks.URL.sub(" ", read.text), *said, *read.names])):
        if not is_wallet(found[0]) and found[0] in runs(found[0]):
            yield found[0]


def _is_name(text: str) -> bool:
    """Two characters of scripts that need no more for a name."""
    return len(text) > 1 and text.isalpha() and all(each > "\u2fff" for each in text)


class _Reading:
    """A message, as far as it is read for this.

    Attributes:
        fields: of all parts, decoded, names in lower case.
        text: of all text parts, entities undone, tags left in.
        urls: in the text.
        names: of files.
        readable: what was registered of hosts in URLs and addresses, and the name in it; the sender.
    """

    def __init__(self, message: bytes, most: int) -> None:
        self.fields: list[tuple[str, str]] = []
        self._top: list[tuple[str, str]] = []
        self.names: list[str] = []
        room, header, texts = most, MAX_HEADER, []
        for part in tree(message):
            self.names.append(part.said_name)
            for field in part.fields:
                if header <= 0:
                    break
                self.fields.append(_field(field))
                header -= len(self.fields[-1][1]) + 10
            self._top = self._top or list(self.fields)
            if room > 0 and _is_text(part):
                texts.append(decoded(part.decode(message, 4 * room), part.charset)[:room])
                room -= len(texts[-1])
        text = "\n".join(texts)
        self.text = html.unescape(_ENDLESS.sub(" ", text)) if "&" in text else text
        found = islice(marks.URL.finditer(self.text), MAX_URLS)
        self.urls = list(dict.fromkeys(url[0] for url in found))
        said = {marks.registered(host) for host in self._hosts()} - {""}
        shown = [value for name, value in self._top if marks.SHOWN.fullmatch(name)]
        senders = {address.lower() for value in shown for address in marks.addresses(value)}
        self.readable = said | {domain.partition(".")[0] for domain in said} | senders

    def _hosts(self) -> Iterator[str]:
        yield from map(marks.host, self.urls)
        for _, value in self._top:
            yield from (address.rpartition("@")[2].lower() for address in marks.addresses(value))

    def places(self) -> dict[str, str]:
        """What is compared with copies, by where it stands."""
        text = marks.URL.sub(" ", self.text)[:MAX_COMPARED]
        found = {
            "text": text,
            "field of names": "\n".join(filter(None, self.names))[:MAX_HEADER],
            "url": " \n ".join(map(marks.without_domain, self.urls))[:MAX_COMPARED],
        }
        for name, value in self._top:
            if not _ROUTE.fullmatch(name):
                place = name if marks.SAID.fullmatch(name) else f"field {name}"
                found[place] = f"{found.get(place, '')}{marks.without_domains(value)}\n"
        return found


def _field(field: Field) -> tuple[str, str]:
    return field.name.decode("ascii").lower(), words(decoded(field.unfolded[:_MAX_FIELD]))


def _is_text(part: Part) -> bool:
    """Whether a part is for reading, or a page that is sent as a file."""
    if part.is_multipart:
        return False
    return bool(_TEXTS.fullmatch(part.type) or _PAGES.search(part.said_name))
