"""Domain names as mail writes them, for checks that ask the DNS about them."""

import re

from stages.shared.suffixes import registrable

MAX_NAME, MAX_LABEL = 253, 63
"""Characters of a domain name and of one of its labels (RFC 1035)."""
_LABEL = re.compile(r"[!-\-/-~]{1,63}")


def domain_of(text: str) -> str:
    """A fully qualified domain name in lower case and ASCII; empty when the text is none.

    >>> domain_of("Mail.Example.COM."), domain_of("bücher.example"), domain_of("[192.0.2.1]")
    ('mail.example.com', 'xn--bcher-kva.example', '')
    """
    text = text.strip().removesuffix(".").lower()
    if not 0 < len(text) <= MAX_NAME or text.startswith("["):
        return ""
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return ""
    labels = text.split(".")
    fits = len(text) <= MAX_NAME and len(labels) > 1 and not labels[-1].isdigit()
    return text if fits and all(_LABEL.fullmatch(label) for label in labels) else ""


def organisation(domain: str) -> str:
    """The organisational domain (RFC 7489, section 3.2): one label more than the public suffix.

    >>> organisation("a.mail.example.co.uk"), organisation("co.uk"), organisation("example.com")
    ('example.co.uk', 'co.uk', 'example.com')

    Args:
        domain: as `domain_of` returns it.
    """
    return registrable(domain) or domain


def is_below(domain: str, parent: str) -> bool:
    """Whether a domain is another one or one of its subdomains; both in lower case."""
    return domain == parent or domain.endswith("." + parent)
