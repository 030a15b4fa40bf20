"""The command `spamtrap replay`."""

import ipaddress
import os
import socket
from pathlib import Path

import click
import msgspec
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trap.cli.base import command, fail
from trap.replay import Outcome, Plan
from trap.replay import replay as send
from trap.sources import Letter, letters

SHOWN = 20
"""Failures listed one by one."""


class Server(click.ParamType[tuple[str, int]]):
    """HOST:PORT, with an IPv6 address in brackets."""

    name = "HOST:PORT"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Split it."""
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not (host and port.isdigit() and 0 < int(port) < 1 << 16):
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


@command("replay", "spamtrap replay ~/Maildir old.mbox corpus/ --to 127.0.0.1:2525 --connections 20")
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(exists=True, path_type=Path)
)
@click.option("--to", "server", type=Server(), required=True, help="The trap's address.")
@click.option("--connections", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--rate", type=click.FloatRange(0), default=0, help="Messages a second at most.")
@click.option("--from", "sender", help="MAIL FROM of all; else each one's Return-Path or From.")
@click.option("--rcpt", "rcpts", multiple=True, help="RCPT TO of all; else each one's Delivered-To or To.")
@click.option("--any-host", is_flag=True, help="Allow another host than this one.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON document.")
def replay(
    paths: tuple[Path, ...],
    server: tuple[str, int],
    connections: int,
    rate: float,
    sender: str | None,
    rcpts: tuple[str, ...],
    any_host: bool,
    as_json: bool,
) -> int:
    """Send old mail over SMTP: every message of Maildirs, mboxes and folders of .eml files.

    Each arrives byte for byte as it lies there. If the server goes away, what it did not
    acknowledge is sent again once it is back.

    This is for one's own trap: mail sent to another host would reach real people, so --to has to
    be this machine, unless --any-host says that you know what you do.
    """
    if not any_host and not _is_loopback(*server):
        raise click.UsageError(f"{server[0]} is not this machine; --any-host allows it")
    found = [letter for path in paths for letter in letters(path)]
    if not found:
        fail("no messages there: neither .eml files, nor mboxes, nor Maildirs", os.EX_NOINPUT)
    outcome = _with_bar(Plan(*server, connections, rate, sender, rcpts), found)
    if as_json:
        click.echo(msgspec.json.encode({**msgspec.to_builtins(outcome), "rate": _rate(outcome)}))
    else:
        _tell(outcome)
    return os.EX_TEMPFAIL if outcome.failed else os.EX_OK


def _with_bar(plan: Plan, found: list[Letter]) -> Outcome:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("sending", total=len(found))
        return uvloop.run(send(plan, found, lambda done: bar.update(task, completed=done)))


def _tell(outcome: Outcome) -> None:
    for name, reason in outcome.failed[:SHOWN]:
        click.echo(f"{name}: {reason}", err=True)
    if len(outcome.failed) > SHOWN:
        click.echo(f"... and {len(outcome.failed) - SHOWN} more", err=True)
    altered = f" ({outcome.altered} with other line ends)" if outcome.altered else ""
    click.echo(
        f"{outcome.sent} sent{altered}, {len(outcome.failed)} failed, "
        f"{outcome.seconds:.1f} s, {_rate(outcome):.0f} messages/s"
    )


def _rate(outcome: Outcome) -> float:
    return round(outcome.sent / outcome.seconds, 1) if outcome.seconds else 0.0


def _is_loopback(host: str, port: int) -> bool:
    """Whether every address of the host is this machine's own."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        fail(f"{host}: {error.strerror}", os.EX_NOHOST)
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)
