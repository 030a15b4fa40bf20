"""Finds telephone numbers in a text: those that can be dialled, as the numbering plans have it.

A run of digits is mostly something else. Counted are numbers with their country's code, in a tel: or
WhatsApp link, those written as in North America, and those that a word such as "call" stands before;
and of these only what libphonenumber's plans know as a number.

>>> find("Call +44 20 7946 0958 or (212) 555-0123; order 4711-08-15, on 2003-10-12", "US")
['+442079460958', '+12125550123']
"""

import re

import phonenumbers

MAX_PHONES = 100
_DASHES = dict.fromkeys((*range(0x2010, 0x2016), 0x2212), "-")
MAX_CANDIDATES = 1000

_CANDIDATE = re.compile(
    r"(?<![\w.,:/=+-])(?:"
    r"(?P<plus>(?:\+|\(\+|\uff0b) ?\(?[1-9](?:[ \u00a0()./-]{0,3}\d){6,14})"
    r"|(?P<nanp>(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4})"
    r")(?!\w|[.,/-]\d|\.[a-z])"
)
_CALLED = re.compile(
    r"\b(?:tele(?:phone|fon)|phone|tel|call|fax|mobile|cell|whats ?app|viber|telegram|dial|hotline|sms)\b"
    r"(?: (?:us|me|now|number|no|line|office|free|toll|at|on|is))*[\s.:#()]{0,6}"
    r"(?P<called>(?:00|0|\()?\(?\d(?:[ \u00a0()./-]{0,2}\d){6,14})(?!\w|[.,/-]\d|\.[a-z])",
    re.IGNORECASE,
)
_CHAT = re.compile(
    r"(?:wa\.me/|(?:api|web)\.whatsapp\.com/send/?\?(?:[^\s#]{0,200}&)?phone=|\btel:|\bsms:|\bcallto:)"
    r"(?P<link>(?:\+|%2B|00)?\d(?:[ ()./-]{0,2}\d){6,14})(?!\d)",
    re.IGNORECASE,
)


def find(text: str, region: str) -> list[str]:
    """The distinct numbers in a text, as E.164 writes them (+12125550123), at most MAX_PHONES.

    Args:
        text: links included.
        region: two letters of the country that numbers without a code are taken for; "" for none.
    """
    if not text.isascii():
        text = text.translate(_DASHES)
    found: dict[str, None] = {}
    count = 0
    for pattern in (_CANDIDATE, _CALLED, _CHAT):
        for match in pattern.finditer(text):
            count += 1
            if count > MAX_CANDIDATES or len(found) >= MAX_PHONES:
                return list(found)
            said = match[match.lastgroup or 0]
            if number := _number(said, match.lastgroup or "", region):
                found[number] = None
    return list(found)


def _number(said: str, way: str, region: str) -> str:
    """A number in full; empty when no numbering plan has it."""
    said = said.replace("%2B", "+").replace("%2b", "+").lstrip("(") if way != "nanp" else said
    if way == "link" and not said.startswith(("+", "0")):
        said = f"+{said}"  # wa.me wants the country's code
    if said.startswith("00"):
        said = f"+{said[2:]}"
    if way == "nanp":
        region = region or "US"
    try:
        number = phonenumbers.parse(said, region or None)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(number):
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
