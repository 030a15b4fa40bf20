"""Finds a stage by the name the configuration gives it, and builds it with its settings."""

import errno
import importlib
import importlib.util
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import msgspec

from trap.config import Config, paths_below
from trap.configcheck import Where, nearest
from trap.configfile import ConfigError, Source, decode_own, plainly
from trap.place import Place

GROUP = "spamtrap.stages"
PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EBUSY, errno.EAGAIN, errno.EMFILE, errno.ENFILE})
"""Errors that end without anybody changing a setting."""


def find(use: str, plugins: Path | None) -> type:
    """Find a stage class.

    Args:
        use: a dotted path "package.module:Class", a file "name.py" in the plugin folder, the bare
            name of such a file, or the name of an entry point in the group "spamtrap.stages".
        plugins: the plugin folder, if there is one.

    Raises:
        ConfigError: there is no such stage, or it can't be imported.
    """
    try:
        if ":" in use:
            module, _, name = use.partition(":")
            found = getattr(importlib.import_module(module), name)
        elif plugins and (file := plugins / f"{use.removesuffix('.py')}.py").is_file():
            found = _only_stage(_import_file(file))
        else:
            named = {entry.name: entry for entry in entry_points(group=GROUP)}
            if use not in named:
                own = sorted(path.stem for path in plugins.glob("*.py")) if plugins else []
                raise ConfigError(f"no stage {use!r}" + nearest(use, [*named, *own]))
            found = named[use].load()
    except ConfigError:
        raise
    except Exception as error:  # a plugin is anybody's code: whatever it raises is told, not thrown
        raise ConfigError(f"stage {use!r} can't be imported: {type(error).__name__}: {error}") from error
    if not (inspect.isclass(found) and _judges(found)):
        raise ConfigError(f"stage {use!r} is not a class with a process method")
    return found


def _judges(kind: type) -> bool:
    return hasattr(kind, "process") or hasattr(kind, "process_batch")


def _import_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"spamtrap_plugin_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _only_stage(module: ModuleType) -> type:
    classes = [
        thing
        for thing in vars(module).values()
        if inspect.isclass(thing) and thing.__module__ == module.__name__ and _judges(thing)
    ]
    if len(classes) != 1:
        raise ConfigError(
            f"{module.__file__} should hold one class with a process method, not {len(classes)}"
        )
    return classes[0]


def settings(kind: type) -> dict[str, inspect.Parameter]:
    """The settings a stage takes: its constructor's keywords."""
    signature = inspect.signature(kind)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: parameter for name, parameter in signature.parameters.items() if parameter.kind in named}


def check(kind: type, given: dict[str, Any], error: Callable[[str, str], ConfigError]) -> dict[str, Any]:
    """Convert settings to what the constructor's annotations ask for.

    Args:
        kind: the stage's class.
        given: settings as read from YAML.
        error: makes the error to raise, from a setting's name and what is wrong with it.

    Raises:
        ConfigError: an unknown setting, a bad value.
    """
    known = settings(kind)
    constructor: Any = kind.__init__  # type: ignore[misc]  # only its annotations are read
    try:
        hints = get_type_hints(constructor) if inspect.isfunction(constructor) else {}
    except Exception as bad:  # annotations are anybody's code too
        raise ConfigError(f"{kind.__name__}'s settings can't be read: {bad}") from bad
    made = {}
    for name, value in given.items():
        if name not in known:
            raise error(name, "no such setting" + nearest(name, list(known)))
        try:
            made[name] = msgspec.convert(value, hints.get(name, Any), dec_hook=decode_own)
        except (msgspec.ValidationError, ValueError) as bad:
            raise error(name, plainly(bad)) from None
        except (TypeError, NotImplementedError):
            raise error(name, f"the stage asks for {hints[name]}, which YAML can't give") from None
    return made


def build(config: Config, name: str, source: Source | None = None) -> Any:
    """Build the stage called `name`, ready to be asked.

    Args:
        config: the whole configuration.
        name: the stage's.
        source: where it was read; errors then tell file and line.

    Keywords that the configuration does not set and that are called `state_dir`, `archive_dir`,
    `maillog_dir`, `trap_domains`, `targets`, `before` or `place` get the stage's own directory for state, the
    archive's, the mail log's, the domains that the trap accepts mail for, the queues that it may pass jobs
    to, those that jobs come through before, or what a reporter needs to know of its trap.

    Raises:
        ConfigError: it can't be found or built with its settings.
        OSError: there is no room for what it keeps, or somebody else has it locked.
    """

    def error(where: Where, text: str) -> ConfigError:
        if source:
            return source.error(("stages", name, *where), text)
        return ConfigError(f"{'.'.join(map(str, ('stages', name, *where)))}: {text}")

    kind, made = _settled(config, name, lambda key, text: error((key,), text))
    known = settings(kind)
    for key, value in _given(config, name).items():
        if key in known and key not in made:
            if isinstance(value, Path):
                value.mkdir(mode=0o750, parents=True, exist_ok=True)
            made[key] = value
    try:
        stage = kind(**made)
    except Exception as bad:  # a constructor is anybody's code too
        if isinstance(bad, OSError) and bad.errno in PASSING:
            raise  # it is no mistake in the configuration, and the next start may find it gone
        kind_of = "" if isinstance(bad, ValueError | OSError) else f"{type(bad).__name__}: "
        raise error(*_meant(f"{kind_of}{bad}", made)) from bad
    backends, deadline = getattr(stage, "backends", None), config.stage(name).deadline
    if backends and backends.timeout >= deadline:
        raise error(
            ("timeout",),
            f"{backends.timeout:g} s is not below the stage's deadline, {deadline:g} s: "
            "jobs would be charged with the backend's silence",
        )
    return stage


def _meant(text: str, given: Mapping[str, Any]) -> tuple[Where, str]:
    """The setting that a stage complains of, whose name it tells first or whose value it quotes; the rest."""
    key, _, rest = text.partition(": ")
    if rest and key in given:
        return (key,), rest
    for key, value in given.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and repr(item) in text:
                return (key,), text
    return (), text


@contextmanager
def apart(config: Config, name: str) -> Iterator[Any]:
    """The stage called `name`, with state of its own, so that nothing of a running trap's is touched.

    Raises:
        ConfigError: it can't be found or built with its settings.
    """
    with tempfile.TemporaryDirectory(prefix="spamtrap-apart-") as directory:
        below = paths_below(Path(directory), config.paths.plugins)
        yield build(msgspec.structs.replace(config, paths=below), name)


async def end(stage: Any) -> None:
    """Have a stage that was asked outside a worker hang up, and put things away."""
    if backends := getattr(stage, "backends", None):
        backends.close()
    if close := getattr(stage, "close", None):
        close()


def targets(config: Config, name: str) -> set[str]:
    """Queues that a stage may pass a job to: a way that turns back would never end."""
    return set(config.queues) - {name, *before(config, name)}


def before(config: Config, name: str) -> list[str]:
    """Queues of the pipeline that a job has come through when it comes to a stage."""
    trunk = config.trunk
    if name in config.branches:
        return trunk
    return trunk[: trunk.index(name)] if name in trunk else []


def check_stages(config: Config, source: Source) -> None:
    """Check every stage of a configuration against its class, without building any.

    Raises:
        ConfigError: with the line of the mistake.
    """
    for name in config.queues:
        stage = config.stage(name)
        if stage.workers == 0 and not stage.use:
            if stage.settings:
                key = next(iter(stage.settings))
                raise source.error(("stages", name, key), "a queue without workers has no such setting")
            continue

        def error(key: str, text: str, name: str = name) -> ConfigError:
            return source.error(("stages", name, key), text)

        try:
            _settled(config, name, error)
        except _NotFound as bad:
            where = ("stages", name) if name in config.stages else ("pipeline",)
            raise source.error(where, str(bad)) from None


class _NotFound(ConfigError):
    """There is no such stage."""


def _settled(
    config: Config, name: str, error: Callable[[str, str], ConfigError]
) -> tuple[type, dict[str, Any]]:
    """A stage's class and its configured settings, checked."""
    stage = config.stage(name)
    try:
        kind = find(stage.use or name, config.paths.plugins)
    except ConfigError as bad:
        raise _NotFound(str(bad)) from bad
    made = check(kind, stage.settings, error)
    for key, parameter in settings(kind).items():
        if parameter.default is parameter.empty and key not in made and key not in _given(config, name):
            raise error(key, "is missing: this stage can't do without it")
    return kind, made


def _given(config: Config, name: str) -> dict[str, Any]:
    """What a stage gets without being configured, by the keyword it asks for it with."""
    accept = config.accept
    hosts = {address.rpartition("@")[2] for address in accept.addresses if "@" in address}
    return {
        "state_dir": config.paths.state / name,
        "archive_dir": config.paths.archive,
        "maillog_dir": config.paths.maillog,
        "targets": sorted(targets(config, name)),
        "before": before(config, name),
        "place": Place(config, name),
        "trap_domains": sorted({domain.lstrip(".").lower() for domain in [*accept.domains, *hosts]}),
    }
