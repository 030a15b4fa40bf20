"""What every command has: --config and --dir, lazy loading, and errors as one line and an exit code."""

import errno
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from trap.cli.app import CONFIG_VARIABLE, DIR_VARIABLE, SYSTEM_CONFIG, App
from trap.configfile import ConfigError
from trap.listening import StartError

__all__ = ["App", "Command", "Group", "command", "execute", "fail", "pass_app"]

_ERRNO_EXIT = {
    errno.ENOENT: os.EX_NOINPUT,
    errno.EACCES: os.EX_NOPERM,
    errno.EPERM: os.EX_NOPERM,
    errno.ENOSPC: os.EX_TEMPFAIL,
    errno.EDQUOT: os.EX_TEMPFAIL,
    errno.EBUSY: os.EX_TEMPFAIL,
    errno.EADDRINUSE: os.EX_UNAVAILABLE,
}


def _set(name: str) -> Callable[[click.Context, click.Parameter, Path | None], None]:
    def callback(context: click.Context, _: click.Parameter, value: Path | None) -> None:
        app = context.ensure_object(App)
        # What stood before the command's name counts more than what the environment says behind it.
        given = context.get_parameter_source(name) is not ParameterSource.ENVIRONMENT
        if value is not None and (given or getattr(app, name) is None):
            setattr(app, name, value)

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
            envvar=CONFIG_VARIABLE,
            metavar="FILE",
            help=f"Configuration file; else DIR/spamtrap.yaml, {SYSTEM_CONFIG}, or embedded defaults.",
        ),
        click.Option(
            ["--dir", "directory"],
            type=kind,
            expose_value=False,
            callback=_set("directory"),
            envvar=DIR_VARIABLE,
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
    except StartError as error:
        fail(str(error), error.code)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does: nothing to say, nor to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror or error}", _ERRNO_EXIT.get(error.errno or 0, os.EX_IOERR))
