"""Finds mail addresses in a text.

>>> list(find("joe@spam.example, <mailto:ann+x@b.example?subject=hi>; not@aword, a.b@img.png"))
['joe@spam.example', 'ann+x@b.example']
"""

import re
from collections.abc import Iterator

from stages.extraction.links import host_of
from stages.shared.suffixes import registrable

MAX_FOUND = 5000
"""At signs in one text that are looked at."""
MAX_LOCAL = 64
"""RFC 5321, section 4.5.3.1.1."""

_LOCAL_BACKWARDS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}", re.ASCII)
_DOMAIN = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}", re.IGNORECASE)
_LEADING = ".'*+/=?^`{|}~-!#$%&"
_ENCODED = re.compile(r"^(?:(?:%[0-9a-f]{2})+|3D|x3d)", re.IGNORECASE)


def find(text: str) -> Iterator[str]:
    """The mail addresses in a text, domains in lower case. Linear."""
    at = text.find("@")
    for _ in range(MAX_FOUND):
        if at < 0:
            return
        # Backwards from the sign, as a pattern that began with the local part would try it at every letter.
        local = _LOCAL_BACKWARDS.match(text[max(0, at - MAX_LOCAL) : at][::-1])
        domain = _DOMAIN.match(text, at + 1)
        if local and domain:
            name = local[0][::-1].rpartition("=")[2].lstrip(_LEADING)
            host = host_of(domain[0])
            if name and registrable(host):
                yield f"{_ENCODED.sub('', name) or name}@{host}"
        at = text.find("@", at + 1)
