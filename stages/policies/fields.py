"""What policy's rules look at: the fields of envelope, header, text and notes, as short lists of texts.

All of it is bounded in number and length, and never raises, whatever the message.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.errors import HeaderParseError
from email.header import decode_header
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from stages.shared import plaintext
from stages.shared.suffixes import registrable
from trap.job import Job

MAX_VALUES = 100
"""Values of one field that are looked at."""
MAX_VALUE = 1000
"""Characters of each."""
MAX_BODY = 20_000
"""Characters of the text a reader sees that are looked at."""
MAX_DEPTH = 20
"""Lists and maps within each other that are looked into."""
MAX_PATH = 8
"""Names in the path to a note."""
TEXTS = ("mail_from", "rcpt", "helo", "client_ip", "tag", "listener", "protocol")
OTHERS = ("size", "subject", "from", "body", "alignment")

_BRACKETED = re.compile(r"<([^<>\s]+@[^<>\s]+)>")
_BARE = re.compile(r"""[^\s<>"'(),:;@]+@[^\s<>"'(),:;@]+""")

Look = Callable[["Message"], Sequence[str]]


class Message:
    """A job's fields. What several rules ask for is worked out once."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._known: dict[str, Sequence[str]] = {}

    def values(self, name: str, look: Look) -> Sequence[str]:
        """The values of a field.

        Args:
            name: the field's.
            look: finds them.
        """
        if name not in self._known:
            self._known[name] = look(self)
        return self._known[name]

    @cached_property
    def envelope(self) -> Mapping[str, list[str]]:
        """Fields of the envelope."""
        said = self.job.envelope
        return {
            "mail_from": [said.mail_from],
            "rcpt": said.rcpt_tos,
            "helo": [] if said.helo is None else [said.helo],
            "client_ip": [said.client_ip] if said.client_ip else [],
            "tag": said.tags,
            "listener": [said.listener],
            "protocol": [said.protocol],
        }

    def header(self, name: str) -> list[str]:
        """All header fields of a name, decoded."""
        return [_decoded(value) for value in self.job.headers.get_all(name)[:MAX_VALUES]]

    def addresses(self, name: str) -> list[str]:
        """The addresses in a header field."""
        said = [value[:MAX_VALUE] for value in self.job.headers.get_all(name)[:MAX_VALUES]]
        return [address for value in said for address in _BRACKETED.findall(value) or _BARE.findall(value)]

    @cached_property
    def alignment(self) -> str:
        """Whether the domain that a reader sees has answered for the message, by the notes of `auth`.

        "pass": SPF or a signature of that domain is right. "fail": neither. "unknown": nobody has looked, or
        that domain's DNS did not answer; that another's did not, as a forger can arrange, excuses nobody.
        """
        notes = self.job.notes.get("auth")
        dmarc = notes.get("dmarc") if isinstance(notes, Mapping) else None
        if not isinstance(notes, Mapping) or not isinstance(dmarc, Mapping):
            return "unknown"
        if dmarc.get("result") == "pass" or notes.get("aligned"):
            return "pass"
        shown = registrable(str(dmarc.get("domain", "")))
        silent = [
            registrable(str(check.get("domain", "")))
            for check in [notes.get("spf"), *_list(notes.get("dkim"))]
            if isinstance(check, Mapping) and check.get("result") == "temperror"
        ]
        return "unknown" if dmarc.get("result") == "temperror" or (shown and shown in silent) else "fail"


def field(name: str) -> Look:
    """How a field is found.

    Raises:
        ValueError: there is no such field.
    """
    if name in TEXTS:
        return lambda message: _short(message.envelope[name])
    if name.startswith("header.") and len(name) > len("header."):
        return lambda message: _short(message.header(name.removeprefix("header.")))
    if name.startswith("notes.") and len(name) > len("notes."):
        path = name.split(".")[1:]
        if len(path) > MAX_PATH:
            raise ValueError(f"{name}: a path into the notes has {MAX_PATH} names at most")
        return lambda message: _short(noted(message.job.notes, path))
    looks: dict[str, Look] = {
        "size": lambda message: [str(message.job.size)],
        "subject": lambda message: _short(message.header("subject")),
        "from": lambda message: _short(message.addresses("from")),
        "body": lambda message: [
            _safe(" ".join(plaintext.read(message.job.message).text[:MAX_BODY].split()))
        ],
        "alignment": lambda message: [message.alignment],
    }
    if name in looks:
        return looks[name]
    raise ValueError(
        f"there is no field {name!r}; there are {', '.join([*TEXTS, *OTHERS])}, header.NAME, notes.STAGE.…"
    )


def noted(thing: Any, path: Sequence[str], depth: int = 0) -> Iterator[str]:
    """What stands at a path of the notes. A name of the path may hold * and ?, a key of the notes dots.

    >>> list(noted({"dns": {"listed": {"zen.dnsbl.example": ["127.0.0.2"]}}}, ["dns", "listed", "zen*"]))
    ['127.0.0.2']
    """
    if depth > MAX_DEPTH:
        return
    if isinstance(thing, list | tuple):
        for each in thing[:MAX_VALUES]:
            yield from noted(each, path, depth + 1)
    elif isinstance(thing, Mapping):
        if not path:
            yield from (str(key) for key in thing)
        for length in range(1, len(path) + 1):
            wanted = ".".join(path[:length])
            for key, value in thing.items():
                if key == wanted or fnmatchcase(str(key), wanted):
                    yield from noted(value, path[length:], depth + 1)
    elif not path and thing is not None:
        yield str(thing).lower() if isinstance(thing, bool) else str(thing)


def _list(thing: Any) -> list[Any]:
    return thing if isinstance(thing, list) else [thing]


def _short(values: Any) -> list[str]:
    found: list[str] = []
    for value in values:
        if len(found) == MAX_VALUES:
            break
        found.append(_safe(value[:MAX_VALUE]))
    return found


def _safe(text: str) -> str:
    """Text that has a form in UTF-8, which RE2 asks for."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _decoded(raw: str) -> str:
    """A header's encoded words (RFC 2047) decoded, if that can be done."""
    raw = raw[:MAX_VALUE]
    if "=?" not in raw:
        return raw.strip()
    try:
        pieces = decode_header(raw)
    except (HeaderParseError, ValueError):
        return raw.strip()
    return "".join(
        piece if isinstance(piece, str) else plaintext.decode(piece, f"charset={charset}")
        for piece, charset in pieces
    ).strip()
