"""Commands for what left the trap: what was reported where, what is held, and what is to be done with it."""

import os
import sys
import time
from typing import Any, get_args

import click
import msgspec
from rich.text import Text

from trap.cli.base import App, Group, fail, pass_app
from trap.cli.output import default_limit, json_line, limit_option, lines, show, table
from trap.envelope import plain
from trap.reports.desk import MOST, Desk, Entry, Unknown
from trap.reports.report import State
from trap.units import age

_SHORT = 10
"""Digits of an id in lists; any beginning that is one report's alone will do."""
_COLUMNS = ("id", "reporter", "to", "campaign", "state", ">weight", ">age", "what they said")


@click.group("reports", cls=Group)
def reports() -> None:
    """Look at what was reported, and decide about what is held."""


@reports.command("ls", example="spamtrap reports ls --state sent --reporter arf --json")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(get_args(State)), help="Only those in it."
)
@click.option("--reporter", "reporters", multiple=True, help="Only those of this stage.")
@click.option("--campaign", default="", help="Only those of one campaign, by dedup's name.")
@click.option("--to", "recipient", default="", help="Only those to one recipient.")
@limit_option
@click.option("--json", "as_json", is_flag=True, help="One JSON line a report.")
@pass_app
def ls(
    app: App,
    states: tuple[State, ...],
    reporters: tuple[str, ...],
    campaign: str,
    recipient: str,
    limit: int | None,
    as_json: bool,
) -> None:
    """List reports, those to which something happened last first."""
    desk = Desk(app.config)
    for name in reporters:
        if name not in desk.reporters():
            fail(f"{name} has reported nothing; there is a book of {_and(desk.reporters())}", os.EX_NOINPUT)
    most = default_limit(limit, as_json) or MOST
    found = desk.entries(reporters, states, campaign, recipient, most)
    if as_json:
        for entry in found:
            json_line(_map(entry))
        return
    show(table(_COLUMNS, [_row(entry) for entry in found]))
    counts, trouble = desk.counts()
    show(table(("reporter", "reports"), [(name, _counted(states)) for name, states in counts.items()]))
    if trouble:
        fail("; ".join(trouble.values()), os.EX_IOERR)


@reports.command("show", example="spamtrap reports show 3f09c2 --raw")
@click.argument("report", metavar="ID")
@click.option("--raw", is_flag=True, help="The text as it was sent, byte for byte.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with the text.")
@pass_app
def show_report(app: App, report: str, raw: bool, as_json: bool) -> None:
    """Show one report, with the text as it was sent; why it is held, when it is."""
    desk = Desk(app.config)
    entry = _find(desk, report)
    text, evidence = desk.text(entry), desk.evidence(entry)
    if raw:
        sys.stdout.buffer.write(text)
        return
    if as_json:
        json_line({**_map(entry), "evidence": msgspec.to_builtins(evidence), "text": plain(text)})
        return
    facts = [(key, value) for key, value in _facts(entry) if value]
    facts += [("held for", f"{each.kind} in {each.where}: {each.name} {each.excerpt}") for each in evidence]
    show(table(("", ""), facts))
    if text:
        show(Text(lines(text.decode("utf-8", "surrogateescape"))))
    elif entry.report.sent:
        show(Text("No text left: check sums of the message were told."))


@reports.command("held", example="spamtrap reports held")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a report.")
@pass_app
def held(app: App, as_json: bool) -> None:
    """List what waits for a person, and what was found in it."""
    desk = Desk(app.config)
    found = [(entry, desk.evidence(entry)) for entry in desk.entries(states=["held"])]
    if as_json:
        for entry, evidence in found:
            json_line({**_map(entry), "evidence": msgspec.to_builtins(evidence)})
        return
    rows = [(*_row(entry)[:4], entry.report.word, _and(each.where for each in why)) for entry, why in found]
    show(table(("id", "reporter", "to", "campaign", "why", "where"), rows))


@reports.command("release", example="spamtrap reports release 3f09c2")
@click.argument("names", metavar="ID...", nargs=-1, required=True)
@pass_app
def release(app: App, names: tuple[str, ...]) -> None:
    """Let go what is held, failed, or may not have arrived. Past the gate it has to go all the same."""
    desk = Desk(app.config)
    for entry in [_find(desk, name) for name in names]:  # all of them are known before the first one goes
        if not desk.release(entry):
            fail(f"{entry.report.id} is {entry.report.state}: there is nothing to release", os.EX_DATAERR)
        click.echo(f"{entry.report.id} will be sent by {entry.reporter}, if the gate lets it pass")


@reports.command("retract", example="spamtrap reports retract 3f09c2")
@click.argument("names", metavar="ID...", nargs=-1, required=True)
@pass_app
def retract(app: App, names: tuple[str, ...]) -> None:
    """Take back what was sent, where that is possible; what was not sent yet never will be."""
    desk = Desk(app.config)
    for entry in [_find(desk, name) for name in names]:
        try:
            done = desk.retract(entry)
        except Unknown as error:
            fail(str(error), os.EX_UNAVAILABLE)
        if not done:
            fail(f"{entry.report.id} is {entry.report.state}: there is nothing to take back", os.EX_DATAERR)
        sent = entry.report.state in ("sent", "unsure")
        click.echo(f"{entry.report.id} {'will be taken back' if sent else 'will not be sent'}")


def _find(desk: Desk, begin: str) -> Entry:
    try:
        return desk.entry(begin)
    except Unknown as error:
        fail(str(error), os.EX_NOINPUT)


def _row(entry: Entry) -> tuple[str | Text, ...]:
    report = entry.report
    style = {"held": "bold yellow", "failed": "bold red", "unsure": "bold red"}.get(report.state, "")
    return (
        report.id[:_SHORT],
        entry.reporter,
        report.recipient,
        report.campaign,
        Text(report.state, style=style),
        f"{report.weight:,}",
        age(max(0.0, time.time() - report.changed)),
        report.word,
    )


def _facts(entry: Entry) -> list[tuple[str, str]]:
    report = entry.report
    return [
        ("id", report.id),
        ("reporter", entry.reporter),
        ("to", report.recipient),
        ("campaign", report.campaign),
        ("state", f"{report.state}, released by a person" if report.released else report.state),
        ("weight", f"{report.weight:,} copies"),
        ("received", f"{_date(report.first)} to {_date(report.last)}"),
        ("sent", _date(report.sent) if report.sent else ""),
        ("next try", _date(report.due) if report.state in ("gathering", "retracting") else ""),
        ("tries", str(report.attempts) if report.attempts else ""),
        ("they said", report.word),
    ]


def _map(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = plain({"reporter": entry.reporter, **msgspec.to_builtins(entry.report)})
    return found


def _counted(counts: dict[str, int]) -> str:
    return _and(f"{number:,} {state}" for state, number in sorted(counts.items()))


def _and(words: Any) -> str:
    return ", ".join(words) or "none"


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(moment))
