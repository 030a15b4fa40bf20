"""Lists of tag=value, as DKIM, ARC and DMARC write them (RFC 6376, section 3.2)."""

import re

_NAME = re.compile(r"[a-z][a-z0-9_]*", re.IGNORECASE)
_FWS = " \t\r\n"


class BadTags(ValueError):
    """A list that is none; as text, why."""


def parse(text: str) -> dict[str, str]:
    r"""Read a list of tags.

    >>> parse("v=1; d=example.com;\r\n b=ab=;")
    {'v': '1', 'd': 'example.com', 'b': 'ab='}

    Args:
        text: the list, folded or not. What it means, and how long it may be, is the caller's business.

    Raises:
        BadTags: it is none, or says something twice.
    """
    tags: dict[str, str] = {}
    specs = text.split(";")
    if not specs[-1].strip(_FWS):
        specs.pop()  # the last one may end in a semicolon
    for spec in specs:
        name, equals, value = spec.partition("=")
        name = name.strip(_FWS)
        if not equals or not _NAME.fullmatch(name):
            raise BadTags("it is no list of tags")
        if name in tags:
            raise BadTags(f"it says {name[:20]}= twice")
        tags[name] = value.strip(_FWS)
    return tags


def words(value: str) -> list[str]:
    """The parts of a value that colons part, in lower case."""
    return [word.strip(_FWS).lower() for word in value.split(":")]


def joined(value: str) -> str:
    """A value, as of base64, without the white space in it."""
    return "".join(value.split())
