"""The command `spamtrap`."""

from typing import NoReturn

import click

from trap import __version__
from trap.cli.base import Group, execute

COMMANDS = {
    "up": "trap.cli.run:up",
    "sink": "trap.cli.sink:sink",
    "work": "trap.cli.run:work",
    "reap": "trap.cli.run:reap",
    "web": "trap.cli.web:web",
    "web-password": "trap.cli.web:web_password",
    "web-token": "trap.cli.web:web_token",
    "status": "trap.cli.look:status",
    "metrics": "trap.cli.metrics:metrics",
    "audit": "trap.cli.look:audit",
    "doctor": "trap.cli.doctor:doctor",
    "queue": "trap.cli.queue:queue",
    "archive": "trap.cli.archive:archive",
    "try": "trap.cli.feed:try_",
    "inject": "trap.cli.feed:inject",
    "replay": "trap.cli.replay:replay",
    "config": "trap.cli.configure:config",
    "new-stage": "trap.cli.newstage:new_stage",
}


@click.group(cls=Group, lazy=COMMANDS)
@click.version_option(__version__, prog_name="spamtrap")
def spamtrap() -> None:
    """Run a spamtrap: an MX that only receives, and the workers that judge, archive and report.

    Begin with `spamtrap up`; look with `spamtrap status`.
    """


def main() -> NoReturn:
    """Entry point."""
    execute(spamtrap)
