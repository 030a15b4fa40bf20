"""The patterns of policy's rules: what is written in YAML, made into something that looks at values.

* `"*@shop.example"`: the whole value, * and ? stand for any characters;
* `"/reset your (pass)?word/"`: a regular expression (RE2) that is found somewhere in it;
* `">= 15"`, `"< 2kB"`, `15`: the value as a number;
* `"192.0.2.0/24"`, for addresses of clients: a network;
* `true`: there is a value, and it is not false; `false`: there is none;
* a list: any of these; `{not: …}`: none of these.

Upper and lower case are the same everywhere. No pattern takes longer than a value is long.
"""

import ipaddress
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.shared.expressions import expression
from trap.config import Size

_COMPARISON = re.compile(r"(>=|<=|==|>|<)\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b)?", re.IGNORECASE)
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
TOGETHER = 50
"""Texts in one expression."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass
class Pattern:
    """Looks at the values that a message has for one field."""

    turned: bool = False
    """None of these must fit."""
    exists: set[bool] = field(default_factory=set)
    numbers: list[Callable[[float], bool]] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    exact: set[str] = field(default_factory=set)
    """Whole values, in lower case."""
    texts: list[str] = field(default_factory=list)
    """Regular expressions."""
    _found: list[Any] = field(default_factory=list)

    def fits(self, values: Sequence[str]) -> bool:
        """Whether any of the values fits; with {not: …}, whether none does."""
        return self._any(values) != self.turned

    def _any(self, values: Sequence[str]) -> bool:
        if self.exists and any(value != "false" for value in values) in self.exists:
            return True
        return any(self._fits(value) for value in values)

    def _fits(self, value: str) -> bool:
        if value.lower() in self.exact or any(found.search(value) for found in self._found):
            return True
        if self.numbers and (number := _number(value)) is not None:
            return any(test(number) for test in self.numbers)
        return bool(self.networks) and _is_in(value, self.networks)

    def finish(self) -> "Pattern":
        """Make few expressions of all texts: looking for many at once takes hardly longer than for one."""
        for at in range(0, len(self.texts), TOGETHER):
            together = self.texts[at : at + TOGETHER]
            self._found.append(expression("|".join(f"(?:{text})" for text in together)))
        return self


def pattern(said: Any, *, address: bool = False) -> Pattern:
    """Read a pattern.

    Args:
        said: as YAML gives it.
        address: it is about addresses of clients.

    Raises:
        ValueError: it is none; as text, what is wrong.
    """
    made = Pattern()
    if isinstance(said, dict):
        if said.keys() != {"not"}:
            raise ValueError(f"a map here has one key, not: …; got {', '.join(map(str, said)) or 'none'}")
        made.turned, said = True, said["not"]
    listed = said if isinstance(said, list) else [said]
    if not listed:
        raise ValueError("the list is empty: it would never fit")
    for each in listed:
        _add(made, each, address)
    return made.finish()


def _add(made: Pattern, said: Any, address: bool) -> None:
    if isinstance(said, bool):
        made.exists.add(said)
    elif isinstance(said, int | float):
        made.numbers.append(_comparison("==", float(said)))
    elif not isinstance(said, str):
        raise ValueError(f"a pattern is text, a number, true or false, not {said!r}")
    elif address:
        made.networks.append(_network(said))
    elif compared := _COMPARISON.fullmatch(said.strip()):
        sign, number, unit = compared.groups()
        made.numbers.append(_comparison(sign, float(Size(number + unit)) if unit else float(number)))
    elif len(said) > 2 and said.startswith("/") and said.endswith("/"):
        expression(said[1:-1])  # by itself, so that what is wrong is told of it alone
        made.texts.append(said[1:-1])
    elif "*" in said or "?" in said:
        made.texts.append(_wild(said))
    else:
        made.exact.add(said.lower())


def _comparison(sign: str, limit: float) -> Callable[[float], bool]:
    compare = _OPERATORS[sign]
    return lambda number: compare(number, limit)


def _network(said: str) -> Network:
    try:
        return ipaddress.ip_network(said.strip())
    except ValueError as error:
        raise ValueError(f"{said!r} is no network: {error}; write 192.0.2.0/24 or 2001:db8::/32") from None


def _wild(said: str) -> str:
    parts = re.split(r"([*?])", said)
    inner = "".join({"*": "(?s:.*)", "?": "(?s:.)"}.get(part) or re.escape(part) for part in parts)
    return rf"\A{inner}\z"


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _is_in(value: str, networks: list[Network]) -> bool:
    try:
        address = ipaddress.ip_address(value.partition("%")[0])
    except ValueError:  # the name of a UNIX socket, which may be anything
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
