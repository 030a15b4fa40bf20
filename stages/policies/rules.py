"""Policy's rules, read from YAML: from the stage's settings, from a file, and the sets that come with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.policies.fields import Look, Message, field
from stages.policies.patterns import Pattern, pattern
from trap.configcheck import nearest
from trap.configfile import ConfigError, Source

OUR_SETS = Path(__file__).with_name("policy.yaml")
MAX_FILE = 10 << 20
"""Bytes of a file of rules."""
_KEYS = ("name", "when", "drop", "to", "never_report")
_ACTIONS = ("drop", "to", "never_report")

Where = tuple[str | int, ...]
Mistake = Callable[[Where, str], Exception]
"""Makes an error of a place and of what is wrong there."""


@dataclass(frozen=True)
class Rule:
    """One rule: when all tests fit, its action is taken."""

    name: str
    tests: tuple[tuple[str, Look, Pattern], ...]
    drop: str | None = None
    to: str | None = None
    never_report: bool = False
    origin: str = ""
    """The set of ours that it belongs to."""

    def fits(self, message: Message) -> bool:
        """Whether a message is meant by it."""
        return all(pattern.fits(message.values(name, look)) for name, look, pattern in self.tests)

    @property
    def stages(self) -> set[str]:
        """Stages whose notes it asks for. Our sets do without scanners, but not without auth."""
        names = [name for name, _, _ in self.tests]
        known = {"auth"} if "alignment" in names else set()
        if self.origin:
            return known
        noted = {name.split(".")[1] for name in names if name.startswith("notes.")}
        return known | {name for name in noted if not set("*?") & set(name)}

    @property
    def action(self) -> str:
        """What it does, for people."""
        if self.drop is not None:
            return f"drop: {self.drop}"
        return f"to: {self.to}" if self.to else "never report" if self.never_report else "count"


def read(data: Any, mistake: Mistake, at: Where = ()) -> list[Rule]:
    """Rules from plain data.

    Args:
        data: a list of maps.
        mistake: makes errors.
        at: where in its file the list stands.

    Raises:
        Exception: what `mistake` makes.
    """
    if not isinstance(data, list):
        raise mistake(at, "rules are a list; each begins with - name:")
    rules = [_rule(each, mistake, (*at, number)) for number, each in enumerate(data)]
    names: set[str] = set()
    for number, rule in enumerate(rules):
        if rule.name in names:
            raise mistake((*at, number, "name"), f"there is a rule {rule.name!r} already")
        names.add(rule.name)
    return rules


def from_file(path: Path) -> list[Rule]:
    """Rules from a file of their own: a list, or a map with rules:.

    Raises:
        ValueError: it can't be read or holds a mistake; as text, the file, the line and what is wrong.
    """
    source = _source(path)
    within: Where = ("rules",) if isinstance(source.data, dict) and "rules" in source.data else ()
    try:
        return read(source.data["rules"] if within else source.data, source.error, within)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def ours(chosen: Sequence[str] | Mapping[str, str | None]) -> Iterator[Rule]:
    """Rules of the sets that come with the stage.

    Args:
        chosen: their names; with a queue for each, or None, mail goes there instead of being marked.

    Raises:
        ValueError: there is no such set.
    """
    source = _source(OUR_SETS)
    for name in chosen:
        if name not in source.data:
            there = ", ".join(source.data)
            raise ValueError(f"builtin: no set {name!r}{nearest(name, list(source.data))}; there are {there}")
        to = chosen[name] if isinstance(chosen, Mapping) else None
        for rule in read(source.data[name], source.error, (name,)):
            yield Rule(f"{name}/{rule.name}", rule.tests, to=to, never_report=to is None, origin=name)


def _source(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ValueError(f"{path}: larger than {MAX_FILE} bytes: no file of rules")
        return Source(data.decode("utf-8"), str(path))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}: name a file with rules, or remove the setting") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not UTF-8") from None
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _rule(data: Any, mistake: Mistake, at: Where) -> Rule:
    if not isinstance(data, dict):
        raise mistake(at, "a rule is a map with name:, when: and what is done")
    for key in data:
        if key not in _KEYS:
            raise mistake((*at, key), "no such key" + nearest(str(key), list(_KEYS)))
    name = data.get("name")
    if not isinstance(name, str) or not name.strip():
        raise mistake((*at, "name"), "a rule needs a name")
    given = [key for key in _ACTIONS if data.get(key) not in (None, False)]
    if len(given) > 1:
        raise mistake(
            (*at, given[1]), f"{name!r} has {given[0]}: already; a rule does one thing, or only counts"
        )
    for key, kind in (("drop", str), ("to", str), ("never_report", bool)):
        value = data.get(key)
        if value is not None and (not isinstance(value, kind) or value == ""):
            meant = {"drop": "a reason", "to": "a queue", "never_report": "true"}[key]
            raise mistake((*at, key), f"should be {meant}, not {value!r}")
    tests = tuple(_tests(data.get("when"), mistake, (*at, "when")))
    return Rule(name, tests, data.get("drop"), data.get("to"), bool(data.get("never_report")))


def _tests(data: Any, mistake: Mistake, at: Where) -> Iterator[tuple[str, Look, Pattern]]:
    if not isinstance(data, dict) or not data:
        raise mistake(at, "should be a map with at least one field: pattern")
    for name, said in data.items():
        try:
            yield name, field(name), pattern(said, address=name == "client_ip")
        except ValueError as error:
            raise mistake((*at, name), str(error)) from None
