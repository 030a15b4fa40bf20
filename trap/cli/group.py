"""All commands but `inject` begin here: the group that click runs."""

import click

from trap import __version__
from trap.cli import COMMANDS
from trap.cli.base import Group


@click.group(cls=Group, lazy=COMMANDS)
@click.version_option(__version__, prog_name="spamtrap")
def spamtrap() -> None:
    """Run a spamtrap: an MX that only receives, and the workers that judge, archive and report.

    Begin with `spamtrap up`; look with `spamtrap status`.
    """
