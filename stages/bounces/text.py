"""Reads header values and bodies as text, as far as that goes in a bounded way. Nothing here raises."""

import binascii
import quopri
import re

_WORD = re.compile(r"=\?([\w.:-]{1,40})(?:\*[\w-]{0,10})?\?([bBqQ])\?([^?\s]{0,500})\?=(?:\s+(?==\?))?")
_BASE64_PART = re.compile(
    rb"(?i)(\ncontent-transfer-encoding:[ \t]*base64[ \t]*\r?\n(?:[^\r\n]{1,998}\r?\n){0,20}\r?\n)"
    rb"([a-z0-9+/=\r\n]+)"
)


def decoded_words(value: str) -> str:
    """`value` with its RFC 2047 encoded words decoded; a word that cannot be stays as it is."""
    return _WORD.sub(_decoded_word, value) if "=?" in value else value


def _decoded_word(match: re.Match[str]) -> str:
    charset, encoding, text = match.groups()
    raw = text.encode("ascii", "replace")
    data = from_base64(raw + b"===") if encoding in "bB" else quopri.decodestring(raw, header=True)
    try:
        return data.decode(charset, "replace")
    except (LookupError, ValueError):  # an unknown charset, or one that is no text encoding
        return match[0]


def from_base64(text: bytes) -> bytes:
    """The bytes behind `text`, or `text` itself when it is not base64."""
    try:
        return binascii.a2b_base64(text)
    except binascii.Error:
        return text


def body_text(body: bytes, encoding: str) -> str:
    """`body` in lower case, line ends as LF, with what stands in base64 decoded in its place.

    Args:
        body: the beginning of a message's body, as bounded as the caller wants the work to be.
        encoding: the message's own Content-Transfer-Encoding, or "".
    """
    if "base64" in encoding.lower():
        body = from_base64(body[: len(body) // 4 * 4])
    elif b"base64" in body:
        body = _BASE64_PART.sub(lambda part: part[1] + from_base64(part[2]), body)
    return "\n" + body.decode("utf-8", "replace").lower().replace("\r", "")
