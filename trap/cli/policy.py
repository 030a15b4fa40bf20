"""The command policy: what rules there are, and how often each was hit."""

import os
import time
from typing import Any

import click
import msgspec

from trap.cli.base import App, command, fail, pass_app
from trap.cli.output import json_line, show, table
from trap.plugin import build, find
from trap.units import age


@command("policy", "spamtrap policy\nspamtrap policy --json | jq 'select(.hits == 0).rule'")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a rule.")
@pass_app
def policy(app: App, as_json: bool) -> None:
    """Show the rules of the stage policy: what each does, how often it was hit, and when last.

    Rules that were never hit are shown, too, and counts of rules that are gone. All are a second old at most.
    """
    app.become_user()
    stages = [name for name in app.config.queues if _has_rules(app, name)]
    if not stages:
        fail("no stage has rules; put policy into the pipeline", os.EX_CONFIG)
    now = time.time()
    rows: list[tuple[Any, ...]] = []
    for stage in stages:
        for row in build(app.config, stage).rows():
            if as_json:
                json_line({"stage": stage, **msgspec.to_builtins(row)})
            last = f"{age(max(0.0, now - row.last_at))} ago" if row.last_at else "never"
            share = f"{row.share:.2%}" if row.hits else "-"
            rows.append((stage, row.rule, row.action, f"{row.hits:,}", share, last, row.last_job))
    if not as_json:
        several = len(stages) > 1
        columns = ("stage", "rule", "action", ">hits", ">share", ">last", "last job")
        show(table(columns[not several :], [row[not several :] for row in rows]))


def _has_rules(app: App, name: str) -> bool:
    stage = app.config.stage(name)
    held = stage.workers == 0 and not stage.use
    return not held and hasattr(find(stage.use or name, app.config.paths.plugins), "rows")
