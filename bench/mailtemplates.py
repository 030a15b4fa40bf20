"""What generated mail is made of: texts and files of the corpus, parsed once. Not a bench itself."""

import codecs
import html
import random
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import NamedTuple

from trap.archive.text import read_html

KINDS = ("spam", "spam", "phish", "phish", "ham", "bounce")
"""Of which directories, and how often."""
MAX_FILE = 200_000
MAX_PLAIN, MAX_HTML = 4_000, 8_000
"""Characters of a text that are kept; a million messages are to fit on a disk."""
MAX_ATTACHED = 57 * 24
"""Bytes of a file that are kept."""
MAX_PARTS = 4
_SEEN = " seen"


class Part(NamedTuple):
    """A leaf of a message: a text, or the first bytes of a file."""

    type: str
    charset: str
    encoding: str
    """7bit, 8bit, quoted-printable or base64."""
    name: str
    text: str
    data: bytes


class Template(NamedTuple):
    """A message without what varies."""

    kind: str
    """Its directory."""
    subject: str
    multipart: str
    """Like multipart/mixed; empty for a message of one part."""
    parts: list[Part]


def templates(corpus: Path, count: int, seed: int = 1) -> list[Template]:
    """Some templates, the same ones each time.

    Args:
        corpus: its directories are named in KINDS.
        count: how many.
        seed: another one is another choice.
    """
    dice = random.Random(seed)
    paths = {kind: sorted((corpus / kind).glob("*.eml")) for kind in sorted(set(KINDS))}
    for found in paths.values():
        dice.shuffle(found)
    made: list[Template] = []
    while len(made) < count and any(paths.values()):
        found = paths[KINDS[len(made) % len(KINDS)]] or max(paths.values(), key=len)
        path = found.pop()
        if path.stat().st_size <= MAX_FILE and (one := template(path)):
            made.append(one)
    return made


def template(path: Path) -> Template | None:
    """The template in a file; None when there is no text in it."""
    message = message_from_bytes(path.read_bytes())
    parts = [part for _, part in zip(range(MAX_PARTS), _parts(message), strict=False)]
    if not any(part.text for part in parts):
        return None
    multipart = message.get_content_type() if message.is_multipart() else ""
    if len(parts) > 1 and not multipart.startswith("multipart/"):
        multipart = "multipart/mixed"
    return Template(path.parent.name, _decoded(message["subject"]), multipart if parts[1:] else "", parts)


def _parts(message: Message) -> Iterator[Part]:
    for part in message.walk():
        if part.is_multipart():
            continue
        data = part.get_payload(decode=True)
        if not isinstance(data, bytes) or not data:
            continue
        kind, name = part.get_content_type(), part.get_filename("")
        if kind in ("text/plain", "text/html") and not name:
            charset = _charset(part)
            text = data.decode(charset, "replace").replace("\r\n", "\n")
            encoding = str(part.get("content-transfer-encoding", "8bit")).strip().lower()
            if encoding not in ("quoted-printable", "base64"):
                encoding = "8bit"
            text = _open(text[:MAX_HTML]) if kind == "text/html" else text[:MAX_PLAIN]
            yield Part(kind, charset, encoding, "", text, b"")
        else:
            plain = "".join(letter for letter in _decoded(name) if letter.isprintable() and letter.isascii())
            yield Part(kind, "", "base64", plain.replace('"', "")[:60], "", data[:MAX_ATTACHED])


def _open(source: str) -> str:
    """HTML such that what is put behind it is seen; cut off within a comment it would not be."""
    text, _ = read_html(source + _SEEN)
    return source if text.rstrip().endswith(_SEEN.strip()) else f"<p>{html.escape(text)}</p>\n"


def _charset(part: Message) -> str:
    """The charset of a part, if words in ASCII are ASCII in it; UTF-8 instead of others."""
    said = part.get_content_charset("us-ascii")
    try:
        if "word".encode(said) == b"word" and codecs.lookup(said).name != "ascii":
            return said
    except (LookupError, UnicodeError):
        pass
    return "utf-8"


def _decoded(header: object) -> str:
    """A header with its encoded words decoded if that can be done, in one line."""
    raw = str(header or "")
    with suppress(LookupError, ValueError):  # it is not quite an encoded word
        raw = str(make_header(decode_header(raw)))
    return " ".join("".join(c if c.isprintable() and c != "\ufffd" else " " for c in raw).split())[:120]
