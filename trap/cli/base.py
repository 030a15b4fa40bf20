"""What every command has: --config and --dir, lazy loading, and errors as one line and an exit code."""

import errno
import importlib
import os
import pwd
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from trap.config import Config, paths_below
from trap.configfile import ConfigError, Source, parse
from trap.listening import StartError, become, find_user, provide
from trap.queue import Spool

SYSTEM_CONFIG = Path("/etc/spamtrap/spamtrap.yaml")
_ERRNO_EXIT = {
    errno.ENOENT: os.EX_NOINPUT,
    errno.EACCES: os.EX_NOPERM,
    errno.EPERM: os.EX_NOPERM,
    errno.ENOSPC: os.EX_TEMPFAIL,
    errno.EADDRINUSE: os.EX_UNAVAILABLE,
}


class App:
    """What a command works with.

    Attributes:
        config_file: --config, if given.
        directory: --dir, if given.
    """

    def __init__(self) -> None:
        self.config_file: Path | None = None
        self.directory: Path | None = None

    @cached_property
    def source(self) -> Path | None:
        """The configuration file in force; None: embedded defaults."""
        if self.config_file:
            return self.config_file
        places = [self.directory / "spamtrap.yaml"] if self.directory else []
        return next((place for place in [*places, SYSTEM_CONFIG] if place.exists()), None)

    @cached_property
    def config(self) -> Config:
        """The effective configuration.

        Raises:
            ConfigError: it holds a mistake.
        """
        config = parse(self._read(), self.name)
        if self.directory:
            below = paths_below(self.directory, config.paths.plugins)
            config = msgspec.structs.replace(config, paths=below)
        return config

    @property
    def name(self) -> str:
        """How the configuration in force is called."""
        return str(self.source or "embedded defaults")

    @property
    def text(self) -> Source:
        """The configuration as it stands in its file, for errors that name a line."""
        return Source(self._read(), self.name)

    def _read(self) -> str:
        if not self.source:
            return ""
        try:
            return self.source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.source}: {getattr(error, 'strerror', None) or error}") from None

    @cached_property
    def spool(self) -> Spool:
        """The spool of the configuration, as the user it belongs to."""
        self.become_user()
        return Spool.open(self.config)

    def user(self) -> pwd.struct_passwd | None:
        """The user to become: the configured one, as root. Ends with one line when there is no such user."""
        try:
            return find_user(self.config.user)
        except StartError as error:
            fail(str(error), error.code)

    def become_user(self, *, at_work: bool = True) -> None:
        """As root, and with a user configured: become that user.

        Whoever only looks would otherwise leave files of root's that the trap can't write to.

        Args:
            at_work: make the places that are not there, for that user.
        """
        paths = self.config.paths
        if user := self.user():
            if at_work:
                provide([paths.spool, paths.archive, paths.state, paths.maillog], user)
            become(user)

    @property
    def arguments(self) -> list[str]:
        """Arguments that make another `spamtrap` see the same configuration."""
        made = []
        if self.config_file:
            made += ["--config", str(self.config_file.absolute())]
        if self.directory:
            made += ["--dir", str(self.directory.absolute())]
        return made


def _set(name: str) -> Callable[[click.Context, click.Parameter, Path | None], None]:
    def callback(context: click.Context, _: click.Parameter, value: Path | None) -> None:
        if value is not None:
            setattr(context.ensure_object(App), name, value)

    return callback


def _everywhere() -> list[click.Option]:
    """The two options that every command takes, wherever on the line they stand."""
    kind = click.Path(path_type=Path)
    return [
        click.Option(
            ["--config", "config_file"],
            type=kind,
            expose_value=False,
            callback=_set("config_file"),
            envvar="SPAMTRAP_CONFIG",
            metavar="FILE",
            help=f"Configuration file; else DIR/spamtrap.yaml, {SYSTEM_CONFIG}, or embedded defaults.",
        ),
        click.Option(
            ["--dir", "directory"],
            type=kind,
            expose_value=False,
            callback=_set("directory"),
            envvar="SPAMTRAP_DIR",
            metavar="DIR",
            help="Keep spool, archive and state below this directory.",
        ),
    ]


class Command(click.Command):
    """A command with --config, --dir and an example below its help."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _everywhere()
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the example as it is to be typed."""
        if self.example:
            with formatter.section("Example"):
                for line in self.example.splitlines():
                    formatter.write(f"{' ' * formatter.current_indent}{line}\n")


class Group(click.Group):
    """A group whose commands are imported only when they are needed."""

    command_class = Command

    def __init__(self, *args: Any, lazy: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _everywhere()
        self.lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order they were given."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return it."""
        if cmd_name in self.lazy:
            module, _, name = self.lazy[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        return super().get_command(ctx, cmd_name)


def command(name: str, example: str, **kwargs: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command; `example` is shown below its help."""
    return click.command(name, cls=Command, example=example, **kwargs)


pass_app = click.make_pass_decorator(App, ensure=True)


def fail(text: str, code: int) -> NoReturn:
    """End with one line on stderr and an exit code of sysexits.h."""
    click.echo(f"spamtrap: {text}", err=True)
    sys.exit(code)


def execute(group: click.Group) -> NoReturn:
    """Run the command line; every error becomes one line and an exit code."""
    try:
        code = group.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(os.EX_USAGE)
    except click.UsageError as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        fail(error.format_message() + hint, os.EX_USAGE)
    except click.ClickException as error:
        fail(error.format_message(), os.EX_USAGE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ConfigError as error:
        fail(str(error), os.EX_CONFIG)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does: nothing to say, nor to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror or error}", _ERRNO_EXIT.get(error.errno or 0, os.EX_IOERR))
