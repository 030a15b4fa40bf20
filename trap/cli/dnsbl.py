"""The command group `spamtrap dnsbl`: who is listed, why, and how he gets off the list."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from trap.cli.base import App, Group, fail, pass_app
from trap.cli.output import default_limit, json_line, limit_option, show, table
from trap.plugin import build, find
from trap.units import age

_LISTS = ("addresses", "domains", "files", "backscatter")
_COLUMNS = ("list", "entry", ">score", ">hits", ">traps", ">networks", ">first", ">last", ">until")
_list = click.argument("name", metavar="[LIST]", type=click.Choice(_LISTS), required=False)
_json = click.option("--json", "as_json", is_flag=True, help="JSON, one line an entry.")


@click.group("dnsbl", cls=Group)
def dnsbl() -> None:
    """Show what the stage dnsbl lists, remove and allow, and release what is held."""


@contextmanager
def _desks(app: App) -> Iterator[list[tuple[str, Any]]]:
    """The stages that list, by name, each with its desk."""
    app.become_user()
    found = [(name, build(app.config, name).desk) for name in app.config.queues if _lists(app, name)]
    if not found:
        fail("no stage publishes lists; put dnsbl into the pipeline", os.EX_CONFIG)
    try:
        yield found
    finally:
        for _, desk in found:
            desk.close()


def _lists(app: App, name: str) -> bool:
    stage = app.config.stage(name)
    held = stage.workers == 0 and not stage.use
    return not held and hasattr(find(stage.use or name, app.config.paths.plugins), "desk")


@dnsbl.command("ls", example="spamtrap dnsbl ls addresses --limit 20\nspamtrap dnsbl ls --json | jq .key")
@_list
@limit_option
@_json
@pass_app
def ls(app: App, name: str | None, limit: int | None, as_json: bool) -> None:
    """List what is published now."""
    most, now = default_limit(limit, as_json), time.time()
    rows: list[tuple[str, ...]] = []
    with _desks(app) as desks:
        for row in (row for _, desk in desks for row in desk.listed(name or "")):
            if as_json:
                json_line(row)
            else:
                rows.append(_cells(row, now))
            most -= 1
            if most == 0:
                break
    if not as_json:
        show(table(_COLUMNS, rows))


@dnsbl.command("show", example="spamtrap dnsbl show 192.0.2.7\nspamtrap dnsbl show bad.example --json")
@click.argument("what", metavar="ADDRESS|DOMAIN|HASH")
@_json
@pass_app
def show_(app: App, what: str, as_json: bool) -> None:
    """Show all that is known of an address, a domain or a file, listed or not."""
    now = time.time()
    with _desks(app) as desks:
        for stage, desk in desks:
            about = _understood(desk.about, what)
            if as_json:
                json_line({"stage": stage, **about})
                continue
            click.echo(
                f"{about['key']}: "
                + (f"on {', '.join(about['listed'])}" if about["listed"] else "not listed")
            )
            if about["never"]:
                click.echo(f"never listed: {about['never']}")
            if removed := about["removed"]:
                times, last = f"removed {removed['times']} times", _ago(removed["at"], now)
                click.echo(f"{times}, last {last}; counts again in {age(max(0.0, removed['until'] - now))}")
            if about["evidence"]:
                show(table(_COLUMNS, [_cells(row, now) for row in about["evidence"]]))


@dnsbl.command("remove", example="spamtrap dnsbl remove 192.0.2.7\nspamtrap dnsbl remove bad.example")
@click.argument("what", metavar="ADDRESS|DOMAIN|HASH...", nargs=-1, required=True)
@pass_app
def remove(app: App, what: tuple[str, ...]) -> None:
    """Take something off all lists, and forget what was known of it.

    What it does counts again after the cool-down. Use `allow` for what is never to be listed.
    """
    with _desks(app) as desks:
        for said in what:
            for _, desk in desks:
                click.echo(f"{said} {_understood(desk.remove, said)}")


@dnsbl.command(
    "allow",
    example="spamtrap dnsbl allow 192.0.2.0/24 --why 'our customer'\nspamtrap dnsbl allow\n"
    "spamtrap dnsbl allow --undo 192.0.2.0/24",
)
@click.argument("what", metavar="[ADDRESS|NETWORK|DOMAIN|HASH]...", nargs=-1)
@click.option("--why", default="", help="Kept with it.")
@click.option("--undo", is_flag=True, help="Take it back.")
@_json
@pass_app
def allow(app: App, what: tuple[str, ...], why: str, undo: bool, as_json: bool) -> None:
    """Never list something; without arguments, show what was allowed so.

    What the configuration allows, and what never is listed anyway, is not among that.
    """
    with _desks(app) as desks:
        if not what:
            now, rows = time.time(), [row for _, desk in desks for row in desk.allowances()]
            for row in rows if as_json else ():
                json_line(row)
            if not as_json:
                show(
                    table(
                        ("allowed", ">when", "why"), [(r["key"], _ago(r["at"], now), r["why"]) for r in rows]
                    )
                )
        for said in what:
            for _, desk in desks:
                if not undo:
                    click.echo(f"{_understood(lambda it, to=desk: to.allow(it, why), said)} is never listed")
                elif _understood(desk.disallow, said):
                    click.echo(f"{said} may be listed again")
                else:
                    fail(f"{said} was not allowed by this command", os.EX_NOINPUT)


@dnsbl.command("status", example="spamtrap dnsbl status\nspamtrap dnsbl status --json | jq .held")
@_json
@pass_app
def status(app: App, as_json: bool) -> None:
    """Show each list: how much is on it, until when it is good, what is held as too much at once."""
    now = time.time()
    with _desks(app) as desks:
        rows = [(stage, row) for stage, desk in desks for row in desk.status()]
    if as_json:
        for stage, row in rows:
            json_line({"stage": stage, **row})
        return
    show(
        table(
            ("stage", "list", ">listed", ">published", ">good for", "directory"),
            [
                (
                    stage,
                    row["list"],
                    f"{row['listed']:,}",
                    _ago(row["written"], now) if row["written"] else "never",
                    age(max(0.0, row["good_until"] - now)),
                    row["directory"],
                )
                for stage, row in rows
            ],
        )
    )
    for _, row in rows:
        for hold in row["held"]:
            out = (
                "when you release them"
                if hold["until"] is None
                else f"in {age(max(0.0, hold['until'] - now))}"
            )
            out = "at once: released" if hold["released"] else out
            click.echo(
                f"{row['list']}: {hold['number']:,} entries to {hold['way']} are held "
                f"for {age(max(0.0, now - hold['since']))}, and go out {out}"
            )


@dnsbl.command("release", example="spamtrap dnsbl release domains")
@_list
@pass_app
def release(app: App, name: str | None) -> None:
    """Let out what is held: of one list, or of all."""
    with _desks(app) as desks:
        click.echo(f"{sum(desk.release(name or '') for _, desk in desks):,} released")


def _understood(ask: Any, said: str) -> Any:
    try:
        return ask(said)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _cells(row: dict[str, Any], now: float) -> tuple[str, ...]:
    if "score" not in row:  # held: its evidence is gone already
        return (row["list"], row["key"], *[""] * 7)
    until = age(row["until"] - now) if row["until"] > now else "now"
    counts = (f"{row['score']:g}", f"{row['hits']:,}", str(row["traps"]), str(row["networks"]))
    return (row["list"], row["key"], *counts, _ago(row["first"], now), _ago(row["last"], now), until)


def _ago(moment: float, now: float) -> str:
    return f"{age(max(0.0, now - moment))} ago"
