"""The command `spamtrap sink`, apart from the others because only it needs an event loop and TLS."""

import click

from trap import sink as receiver
from trap.cli.base import App, command, pass_app
from trap.cli.run import begin, listening_at


@command("sink", "spamtrap sink --listen 127.0.0.1:2525")
@click.option("--listen", metavar="HOST:PORT", help="Listen here instead of where the configuration says.")
@click.option(
    "--number", type=click.IntRange(1), default=1, help="Of this process, where several share the ports."
)
@pass_app
def sink(app: App, listen: str | None, number: int) -> int:
    """Receive mail by SMTP or LMTP and put it into the first queue."""
    begin("sink")
    return receiver.run(listening_at(app.config, listen), number)
