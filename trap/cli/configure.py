"""Commands about the configuration: check, show, schema."""

import pwd
import tempfile
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import msgspec
import yaml

from trap.cli.base import App, Group, pass_app
from trap.cli.output import json_line
from trap.config import (
    Accept,
    Base,
    Config,
    Duration,
    Listener,
    Room,
    Share,
    Size,
    Stage,
    Tagged,
    paths_below,
)
from trap.configfile import LMTP, Source
from trap.plugin import build, check_stages


@click.group("config", cls=Group)
def config() -> None:
    """Check the configuration file, show what is in force, describe its form."""


@config.command("check", example="spamtrap config check\nspamtrap --config new.yaml config check")
@pass_app
def check(app: App) -> None:
    """Check the file, every stage's settings included. Exit code 78: it holds a mistake."""
    config, source = app.config, app.text
    check_stages(config, source)
    _check_surroundings(config, source)
    app.become_user(at_work=False)  # a stage may make directories of its own
    with tempfile.TemporaryDirectory(prefix="spamtrap-check-") as apart:
        built = msgspec.structs.replace(config, paths=paths_below(Path(apart), config.paths.plugins))
        for name in config.queues:
            if config.stage(name).workers:
                stage = build(built, name, source)
                getattr(stage, "close", bool)()
    click.echo(f"{app.name}: good; queues: {', '.join(config.queues)}")


def _check_surroundings(config: Config, source: Source) -> None:
    """What the file names is there."""
    for key in ("cert", "key"):
        file = getattr(config.tls, key)
        if file and not file.is_file():
            raise source.error(("tls", key), f"no file {file}")
    if config.paths.plugins and not config.paths.plugins.is_dir():
        raise source.error(("paths", "plugins"), f"no folder {config.paths.plugins}")
    try:
        if config.user:
            pwd.getpwnam(config.user)
    except KeyError:
        raise source.error(("user",), f"there is no user {config.user!r}") from None


@config.command("show", example="spamtrap config show")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_app
def show(app: App, as_json: bool) -> None:
    """Print the effective configuration, defaults filled in."""
    made = msgspec.to_builtins(app.config, enc_hook=_plain)
    for name in app.config.queues:  # as in the file: the stage's own settings beside the worker's
        stage = made["stages"].setdefault(name, msgspec.to_builtins(app.config.stage(name), enc_hook=_plain))
        stage.update(stage.pop("settings", {}))
    if as_json:
        json_line(made)
    else:
        click.echo(yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=100), nl=False)


@config.command("schema", example="spamtrap config schema > spamtrap.schema.json")
def schema() -> None:
    """Print the JSON schema of the file, for editors."""
    json_line(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "spamtrap", **_schema(Config)}
    )


def _plain(thing: object) -> object:
    if isinstance(thing, Duration):
        return f"{thing:.12g}s"
    if isinstance(thing, Share):
        return f"{thing * 100:.12g}%"
    return int(thing) if isinstance(thing, Size) else str(thing)


_WRITTEN: dict[Any, dict[str, Any]] = {
    Duration: {"type": ["string", "number"], "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d|w)?$"},
    Size: {"type": ["string", "integer"]},
    Room: {"type": ["string", "integer"]},
    Share: {"type": ["string", "number"], "pattern": r"^\d+(\.\d+)?\s*%$"},
    Path: {"type": "string"},
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}


def _schema(kind: Any) -> dict[str, Any]:
    """The JSON schema of one of the types in trap.config."""
    if kind in _WRITTEN:
        return _WRITTEN[kind]
    if isinstance(kind, type) and issubclass(kind, Base):
        fields = msgspec.structs.fields(kind)
        made = {
            "type": ["object", "null"],
            "properties": {field.name: _schema(field.type) for field in fields if field.name != "settings"}
            | ({LMTP: {"type": "string"}} if kind is Listener else {}),
            "required": [field.name for field in fields if field.required],
            # A stage's own settings stand beside the worker's; everywhere else nothing may be added.
            "additionalProperties": kind is Stage,
        }
        bare = {"const": "everything"} if kind is Accept else None
        return {"anyOf": [made, bare]} if bare else made
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(args)}
    if origin is list:
        return {"type": "array", "items": _schema(args[0])}
    if origin is dict:
        made = {"type": "object", "additionalProperties": _schema(args[1])}
        return {"anyOf": [made, _schema(list[str])]} if args[1] is Tagged else made
    return {"anyOf": [_schema(each) for each in args]}
