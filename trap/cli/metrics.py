"""The command `spamtrap metrics`, apart from the others because only it needs Prometheus's library."""

import click

from trap.cli.base import App, command, pass_app
from trap.metrics import exposition
from trap.status import collect


@command("metrics", "spamtrap metrics > /var/lib/node_exporter/spamtrap.prom")
@pass_app
def metrics(app: App) -> None:
    """Print what `status` knows for Prometheus: queues, ends, spool, and each sink with its stress."""
    click.echo(exposition(collect(app.config, app.spool)), nl=False)
