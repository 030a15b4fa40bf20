"""Reads the configuration file: every mistake is one line with file, line and what would be right."""

import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import yaml

from trap.config import (
    Base,
    Config,
    Duration,
    Listener,
    Room,
    Share,
    Size,
    Stage,
    Tagged,
    WhenFull,
    default_paths,
)
from trap.configcheck import Where, mistakes, nearest

_OWN_TYPES: dict[type, tuple[type, ...]] = {
    Duration: (str, int, float),
    Size: (str, int),
    Room: (str, int),
    Share: (str, int, float),
    Path: (str,),
}
"""Types that are written in ways of their own, and what YAML may give for them."""


LMTP = "lmtp"
"""A listener's protocol, and the setting that says protocol and address in one."""
_UNHEARD_OF = "is more than any machine has"


class ConfigError(Exception):
    """A mistake in the configuration, told in one line, whatever the names and values in it hold."""

    def __init__(self, text: str) -> None:
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def decode_own(kind: type, value: Any) -> Any:
    """msgspec's hook for the types of trap.config and for paths."""
    if kind not in _OWN_TYPES:
        raise NotImplementedError
    if isinstance(value, bool) or not isinstance(value, _OWN_TYPES[kind]):
        raise ValueError(f"expected a {kind.__name__.lower()}, got {value!r}")
    if kind is Path and "\0" in str(value):
        raise ValueError("can't be the name of a file: there is a zero byte in it")
    try:
        return kind(value)
    except OverflowError:
        raise ValueError(_UNHEARD_OF) from None


if yaml.__with_libyaml__:

    class _Loader(yaml.composer.Composer, yaml.CSafeLoader):
        """Reads by libyaml, which takes a tenth of the time; its nodes are made here: libyaml's own way to
        make them ends the process where they are nested too deep."""

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            yaml.composer.Composer.__init__(self)


def _composed(text: str) -> yaml.Node | None:
    """The nodes of a YAML text. What libyaml refuses is read again by PyYAML, whose errors tell more."""
    if yaml.__with_libyaml__:
        with suppress(yaml.YAMLError):
            return _Loader(text).get_single_node()
    return yaml.compose(text, Loader=yaml.SafeLoader)


class Source:
    """A YAML text with the line of each of its keys.

    Args:
        text: the file's content.
        name: how errors call it.

    Raises:
        ConfigError: it is not YAML, or a key stands twice.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines: dict[Where, int] = {(): 1}
        self._scalars = yaml.constructor.SafeConstructor()
        try:
            node = _composed(text)
            self.data = self._plain(node, ()) if node else {}
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.lines[()] = mark.line + 1 if mark else 1
            raise self.error((), f"not YAML: {error.problem or error.context}") from None
        except yaml.reader.ReaderError as error:
            self.lines[()] = text.count("\n", 0, error.position) + 1
            raise self.error((), f"not YAML: a character #x{error.character:04x} is not allowed") from None
        except RecursionError:
            raise self.error((), "not YAML: nested too deep") from None

    def error(self, where: Where, text: str) -> ConfigError:
        """An error at a place of the file, or at the nearest place above it that is in the file."""
        place = where
        while place not in self.lines:
            place = place[:-1]
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
        return ConfigError(f"{self.name}:{self.lines[place]}: {dotted + ': ' if dotted else ''}{text}")

    def _plain(self, node: yaml.Node, where: Where) -> Any:
        self.lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            made: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                key = self._plain(key_node, (*where, "")) if isinstance(key_node, yaml.ScalarNode) else None
                if not isinstance(key, str):
                    self.lines[where] = key_node.start_mark.line + 1
                    raise self.error(where, "a name should be text; write it in quotes")
                at = (*where, key)
                self.lines[at] = key_node.start_mark.line + 1
                if key in made:
                    raise self.error(at, "stands here twice")
                made[key] = self._plain(value_node, at)
            return made
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*where, at)) for at, item in enumerate(node.value)]
        try:
            value = self._scalars.construct_object(node, deep=True)
        except ValueError as error:
            raise self.error(where, f"not YAML: {error}") from None
        if isinstance(value, int) and abs(value) > sys.maxsize:
            raise self.error(where, _UNHEARD_OF)
        return value


class _Binder:
    """Turns plain data into the structures of trap.config, remembering where it is."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def bind(self, value: Any, kind: Any, where: Where) -> Any:
        if kind is Stage:
            return self._stage(value, where)
        if isinstance(kind, type) and issubclass(kind, Base):
            return self._struct(value, kind, where)
        origin, args = get_origin(kind), get_args(kind)
        if origin is dict and isinstance(value, list) and args[1] is Tagged:
            # a bare list of domains or addresses, none tagged
            value = dict.fromkeys(self.bind(value, list[str], where))
        if kind == dict[str, WhenFull] and isinstance(value, str):
            value = {"default": value}  # one word for all tags
        if origin is dict and isinstance(value, dict):
            return {key: self.bind(entry, args[1], (*where, key)) for key, entry in value.items()}
        if (
            origin is list
            and isinstance(value, list)
            and isinstance(args[0], type)
            and issubclass(args[0], Base)
        ):
            return [self.bind(entry, args[0], (*where, at)) for at, entry in enumerate(value)]
        choices = [word for one in (kind, *args) if get_origin(one) is Literal for word in get_args(one)]
        if value is False and "off" in choices:  # YAML takes the bare word for a truth value
            value = "off"
        if choices and value is not None and value not in choices:
            raise self.source.error(where, f"{value!r} is none of the choices" + nearest(value, choices))
        try:
            return msgspec.convert(value, kind, dec_hook=decode_own)
        except (msgspec.ValidationError, ValueError) as error:
            raise self.source.error(where, plainly(error)) from None

    def _struct(self, value: Any, kind: type[Base], where: Where) -> Any:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.source.error(where, f"should be a map with {', '.join(kind.__struct_fields__)}")
        if kind is Listener and LMTP in value:
            value = self._lmtp(value, where)
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for key in value:
            if key not in fields:
                raise self.source.error((*where, key), "no such setting" + nearest(key, list(fields)))
        for name, field in fields.items():
            if field.required and name not in value:
                raise self.source.error(where, f"{name} is missing")
        return kind(
            **{key: self.bind(entry, fields[key].type, (*where, key)) for key, entry in value.items()}
        )

    def _lmtp(self, value: dict[str, Any], where: Where) -> dict[str, Any]:
        """A listener that says `lmtp: PATH` or `lmtp: HOST:PORT`, written out."""
        rest = {key: entry for key, entry in value.items() if key != LMTP}
        for key in ("host", "port", "unix", "protocol"):
            if key in rest:
                raise self.source.error((*where, key), "lmtp already says it; leave one of them out")
        said = value[LMTP]
        path = isinstance(said, str) and said.startswith("/")
        host, colon, port = said.rpartition(":") if isinstance(said, str) else ("", "", "")
        if path:
            return {**rest, "protocol": LMTP, "unix": said}
        if not (host and colon and port.isascii() and port.isdigit()):
            raise self.source.error(
                (*where, LMTP),
                f"{said!r} is neither the path of a socket nor HOST:PORT; write it like 127.0.0.1:24",
            )
        return {**rest, "protocol": LMTP, "host": host.removeprefix("[").removesuffix("]"), "port": int(port)}

    def _stage(self, value: Any, where: Where) -> Stage:
        own = set(Stage.__struct_fields__) - {"settings"}
        value = value if value is not None else {}
        if not isinstance(value, dict):
            raise self.source.error(where, "should be a map of settings")
        known = {key: entry for key, entry in value.items() if key in own}
        rest = {str(key): entry for key, entry in value.items() if key not in own}
        return msgspec.structs.replace(self._struct(known, Stage, where), settings=rest)  # type: ignore[no-any-return]


_WORDS = {"array": "list", "object": "map", "str": "text", "int": "whole number", "null": "nothing"}


def plainly(error: Exception) -> str:
    """What msgspec says of a bad value, in the words of the file's reader."""
    text = str(error).replace("Expected", "expected", 1).split(" - at `$")[0]
    return re.sub(r"`(\w+)`", lambda match: _WORDS.get(match[1], match[1]), text)


def load(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: it can't be read or holds a mistake; the text is one line for a person.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return parse(text, str(path))


def parse(
    text: str, name: str = "<defaults>", check: Callable[[Config, Source], None] | None = None
) -> Config:
    """Read a configuration from text.

    Args:
        text: YAML.
        name: what errors call it.
        check: looks further; trap.plugin.check_stages is one that does.

    Raises:
        ConfigError: it holds a mistake.
    """
    source = Source(text, name)
    data = source.data
    if isinstance(data, dict) and data.get("accept") == "everything":
        data["accept"] = {}
    config: Config = _Binder(source)._struct(data, Config, ())
    given = data.get("paths") or {} if isinstance(data, dict) else {}
    ours = msgspec.structs.asdict(default_paths())
    not_given = {key: ours[key] for key in ("spool", "archive", "state") if key not in given}
    config = msgspec.structs.replace(config, paths=msgspec.structs.replace(config.paths, **not_given))
    for where, mistake in mistakes(config):
        raise source.error(where, mistake)
    if check:
        check(config, source)
    return config
