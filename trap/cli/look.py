"""Commands that look: status and audit."""

import os
import sys
import time
from collections.abc import Mapping
from typing import get_args

import click
from rich.console import Group as Rows
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from trap.audit import Account, Ends
from trap.audit import audit as do_audit
from trap.cli.backends import backends
from trap.cli.base import App, command, pass_app
from trap.cli.output import console, json_line, show, table
from trap.cli.sinks import sinks
from trap.reports.report import State
from trap.status import Status, collect
from trap.units import age, size

REASONS = 12
"""Reasons for drops that `status` shows apart."""


@command("status", "spamtrap status --watch")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--watch", is_flag=True, help="Keep looking until Ctrl-C.")
@pass_app
def status(app: App, as_json: bool, watch: bool) -> None:
    """Show the queues in pipeline order, and what became of the mail so far."""
    if watch and not as_json and sys.stdout.isatty():
        with Live(_status(collect(app.config, app.spool)), console=console(), screen=True) as live:
            while True:
                time.sleep(1)
                live.update(_status(collect(app.config, app.spool)))
    while True:
        now = collect(app.config, app.spool)
        json_line(now) if as_json else show(_status(now))
        if not watch:
            return
        sys.stdout.flush()
        time.sleep(1)


def _status(now: Status) -> Rows:
    queues = table(
        ("queue", ">waiting", ">claimed", ">oldest", ">rate/s", ">workers", ">bad"),
        [
            (
                queue.name if queue.configured else f"{queue.name} (not configured)",
                queue.waiting,
                queue.claimed,
                age(queue.oldest_age_s) if queue.waiting or queue.claimed else "-",
                f"{queue.rate:g}",
                Text(str(queue.workers), style="" if queue.workers else "bold red"),
                Text(str(queue.bad), style="bold red" if queue.bad else ""),
            )
            for queue in now.queues
        ],
    )
    ends = [
        ("archived", now.archived),
        *((f"dropped: {why}", n) for why, n in _top(now.drops)),
    ]
    ends += [("shed", now.shed), ("purged", now.purged), ("bad", now.bad), ("in flight", now.in_flight)]
    room = now.spool
    where = "tmpfs" if room.tmpfs else "disk"
    line = Text(
        f"spool {room.path} ({where}): {size(room.bytes_free)} free ({room.bytes_used_share:.0%} used), "
        f"{room.inodes_free:,} inodes free"
    )
    so_far = table(
        ("so far", ">messages"), [("accepted", f"{now.accepted:,}"), *((a, f"{n:,}") for a, n in ends if n)]
    )
    return Rows(
        queues,
        so_far,
        line,
        Text(f"accepting {now.accept_rate:g} messages a second"),
        *sinks(now.sink, now.sinks),
        *backends(now.backends, now.unjudged),
        *_reports(now.reports),
    )


def _reports(books: Mapping[str, Mapping[str, int]]) -> list[RenderableType]:
    """How many reports each reporter has sent, and how many wait for whom."""
    if not books:
        return []
    states = get_args(State)
    rows = [(name, *(f"{counts.get(state, 0):,}" for state in states)) for name, counts in books.items()]
    return [table(("reporter", *(f">{state}" for state in states)), rows)]


def _top(drops: dict[str, int]) -> list[tuple[str, int]]:
    """The most frequent reasons, and the others in one."""
    ordered = sorted(drops.items(), key=_most)
    others = sum(number for _, number in ordered[REASONS:])
    return ordered[:REASONS] + ([("other reasons", others)] if others else [])


def _most(entry: tuple[str, int]) -> int:
    return -entry[1]


@command("audit", "spamtrap audit --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_app
def audit(app: App, as_json: bool) -> int:
    """Prove that every accepted message is somewhere, or name those that are not.

    Exit code 0: it balances. 1: messages are missing.
    """
    account = do_audit(app.config, app.spool)
    if as_json:
        json_line(account)
    else:
        show(_audit(account))
    return os.EX_OK if account.balanced else 1


def _audit(account: Account) -> Rows:
    parts: list[Rows | Text] = [_equation("accepted", account.accepted, account)]
    parts += [
        _equation(f"{name}: entered", branch.entered, branch) for name, branch in account.branches.items()
    ]
    if account.torn_lines:
        parts.append(Text(f"{account.torn_lines} half lines in the log: a disk was full"))
    verdict = (
        Text("balanced", style="bold green") if account.balanced else Text("NOT balanced", style="bold red")
    )
    return Rows(*parts, verdict)


def _equation(left: str, number: int, ends: Ends) -> Rows:
    rows = [(left, f"{number:,}")]
    rows += [("= archived", f"{ends.archived:,}")] if isinstance(ends, Account) else []
    rows += [("+ done", f"{ends.done:,}")] if ends.done or not isinstance(ends, Account) else []
    rows += [(f"+ dropped: {why}", f"{n:,}") for why, n in sorted(ends.dropped.items(), key=_most)]
    rows += [("+ shed", f"{ends.shed:,}"), ("+ purged", f"{ends.purged:,}"), ("+ bad", f"{ends.bad:,}")]
    rows += [("+ in flight", f"{ends.in_flight:,}")]
    missing = [Text(f"missing: {job_id}", style="bold red") for job_id in ends.missing]
    return Rows(table((left.partition(":")[0] if ":" in left else "trunk", ">messages"), rows), *missing)
