"""SPF records: their grammar, and their macros (RFC 7208, sections 4.6.1, 5, 6, 7 and 12)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import quote

MAX_RECORD = 16 << 10
"""Characters of a record; RFC 7208 asks for 450. Some list all their networks, and need four thousand."""
MAX_NAME = 253
"""Characters of a domain name (RFC 1035)."""

Network = IPv4Network | IPv6Network

_QUALIFIERS = {"": "pass", "+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_DIRECTIVE = re.compile(r"([+~?-]?)([a-z][a-z0-9_.-]*)((?:[:/].*)?)", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE)
_ARGUMENT = re.compile(r"(?::(.*?))?(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?")
_EXPAND = re.compile(r"%(?:[%_-]|\{([slodiphv])([0-9]{0,3})(r?)([.\-+,/_=]*)\})", re.IGNORECASE)
_EXPAND_ALL = re.compile(_EXPAND.pattern.replace("slodiphv", "slodiphvcrt"), re.IGNORECASE)
_TOP = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_ESCAPES = {"%%": "%", "%_": " ", "%-": "%20"}


class BadRecord(ValueError):
    """A record that breaks the grammar; as text, where."""


@dataclass(frozen=True, slots=True)
class Directive:
    """One mechanism with its qualifier.

    Attributes:
        text: as it is written.
        result: what the check says when it matches: pass, fail, softfail or neutral.
        mechanism: all, include, a, mx, ptr, ip4, ip6 or exists.
        domain: what it is about, macros and all; "" is the domain of the record.
        bits: the prefix lengths for IPv4 and IPv6, of a and mx.
        network: of ip4 and ip6.
    """

    text: str
    result: str
    mechanism: str
    domain: str = ""
    bits: tuple[int, int] = (32, 128)
    network: Network | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What a domain says about who sends its mail."""

    directives: list[Directive]
    redirect: str = ""
    explanation: str = ""


def is_record(text: bytes) -> bool:
    """Whether a TXT record is one of SPF (RFC 7208, section 4.5)."""
    version, space, _ = text[:7].partition(b" ")
    return version.lower() == b"v=spf1" and (bool(space) or len(text) == 6)


def parse(text: bytes) -> Record:
    """Read a record.

    Raises:
        BadRecord: it breaks the grammar, anywhere.
    """
    if len(text) > MAX_RECORD:
        raise BadRecord(f"a record of {len(text)} bytes")
    if not text.isascii():
        raise BadRecord("a record that is not ASCII")
    directives: list[Directive] = []
    modifiers: dict[str, str] = {}
    for term in filter(None, text.decode("ascii").split(" ")[1:]):
        if modifier := _MODIFIER.fullmatch(term):
            name = modifier[1].lower()
            if name in ("redirect", "exp"):
                if name in modifiers:
                    raise BadRecord(f"{name}= stands there twice")
                modifiers[name] = _domain_spec(modifier[2], term)
            elif not is_macro_string(modifier[2]):
                raise _bad(term)
        else:
            directives.append(_directive(term))
    return Record(directives, modifiers.get("redirect", ""), modifiers.get("exp", ""))


def _bad(term: str) -> BadRecord:
    return BadRecord(f"not understood: {term}")


def _directive(term: str) -> Directive:
    found = _DIRECTIVE.fullmatch(term)
    if not found:
        raise _bad(term)
    result, mechanism, rest = _QUALIFIERS[found[1]], found[2].lower(), found[3]
    match mechanism:
        case "all" if not rest:
            return Directive(term, result, mechanism)
        case "ip4" | "ip6" if rest.startswith(":"):
            return Directive(term, result, mechanism, network=_network(mechanism, rest[1:], term))
        case "include" | "exists" if rest.startswith(":"):
            return Directive(term, result, mechanism, _domain_spec(rest[1:], term))
        case "ptr" if not rest or rest.startswith(":"):
            return Directive(term, result, mechanism, _domain_spec(rest[1:], term) if rest else "")
        case "a" | "mx":
            argument = _ARGUMENT.fullmatch(rest)
            if not argument:
                raise _bad(term)
            bits = int(argument[2] or 32), int(argument[3] or 128)
            if bits[0] > 32 or bits[1] > 128:
                raise _bad(term)
            domain = "" if argument[1] is None else _domain_spec(argument[1], term)
            return Directive(term, result, mechanism, domain, bits)
    raise _bad(term)


def _network(mechanism: str, text: str, term: str) -> Network:
    address, slash, bits = text.partition("/")
    if slash and not re.fullmatch(r"0|[1-9][0-9]{0,2}", bits):
        raise _bad(term)
    try:
        if mechanism == "ip4":
            return IPv4Network((IPv4Address(address), int(bits or 32)), strict=False)
        if "%" in address:  # a scope: ipaddress takes it, SPF does not
            raise _bad(term)
        return IPv6Network((IPv6Address(address), int(bits or 128)), strict=False)
    except (AddressValueError, ValueError) as error:
        raise _bad(term) from error


def is_macro_string(text: str, *, explaining: bool = False) -> bool:
    """Whether every % in a text begins a macro; an explanation may have three letters more."""
    pattern = _EXPAND_ALL if explaining else _EXPAND
    plain = pattern.sub(lambda found: "?" if found[2] is None or _fits(found[2]) else "%", text)
    printable = plain.isprintable() and plain.isascii()
    return "%" not in plain and printable and (explaining or " " not in plain)


def _fits(digits: str) -> bool:
    return not digits or int(digits) > 0


def _domain_spec(text: str, term: str) -> str:
    """A domain with macros: it ends in a macro or in a label that can be a top level domain."""
    if not is_macro_string(text):
        raise _bad(term)
    rest = _EXPAND.sub("%", text)
    label = rest.removesuffix(".").rpartition(".")
    ends_well = label[1] and _TOP.fullmatch(label[2]) and not label[2].isdigit()
    if not (rest.endswith("%") or ends_well):
        raise _bad(term)
    return text


def expand(text: str, macros: Mapping[str, str], *, explaining: bool = False) -> str:
    """Replace the macros of a text that `is_macro_string` has seen.

    Args:
        text: with macros.
        macros: what each of the letters means.
        explaining: it is an explanation, else a domain: what is too long for one loses labels in front.
    """

    def one(found: re.Match[str]) -> str:
        if found[1] is None:
            return _ESCAPES[found[0]]
        value = macros[found[1].lower()]
        delimiters = found[4] or "."
        parts = re.split(f"[{re.escape(delimiters)}]", value)
        if found[3]:
            parts.reverse()
        value = ".".join(parts[-int(found[2] or len(parts)) :])
        return quote(value, safe="~") if found[1].isupper() else value

    whole = (_EXPAND_ALL if explaining else _EXPAND).sub(one, text)
    if explaining:
        return whole
    whole = whole.removesuffix(".")
    return whole if len(whole) <= MAX_NAME else whole[-MAX_NAME - 1 :].partition(".")[2]
