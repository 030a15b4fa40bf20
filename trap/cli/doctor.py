"""The command `spamtrap doctor`: why does no mail arrive?"""

import asyncio
import os
import re
import resource
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import click
from rich.text import Text

from trap import fsio, live
from trap.audit import audit
from trap.backend import Finding as Check
from trap.cli.base import App, command, pass_app
from trap.cli.output import json_line, show, table
from trap.config import Config
from trap.configfile import ConfigError
from trap.plugin import apart, check_stages, end, find, settings
from trap.status import collect
from trap.units import size

GOOD, WARN, BAD = "good", "warning", "bad"
_TIMEOUT = 2.0
_FILES_WANTED = 12_000
_ADDRESS = re.compile(r"/(?:var/)?run/.+|/.+\.(?:sock|socket|ctl)|(?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")
"""A UNIX socket or HOST:PORT."""
_STYLE = {GOOD: "green", WARN: "yellow", BAD: "bold red"}


class Finding(NamedTuple):
    """One thing that was looked at."""

    state: str
    what: str
    text: str


@command("doctor", "spamtrap doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a finding.")
@pass_app
def doctor(app: App, as_json: bool) -> int:
    """Look for the reason why no mail arrives: configuration, spool, ports, workers, backends, DNS.

    Nothing is asked of the outside world. Exit code 1: something is bad.
    """
    findings = list(_look(app))
    if as_json:
        for finding in findings:
            json_line(finding._asdict())
    else:
        show(
            table(
                ("", "what", "finding"), [(Text(f.state, _STYLE[f.state]), f.what, f.text) for f in findings]
            )
        )
    return 1 if any(finding.state == BAD for finding in findings) else os.EX_OK


def _look(app: App) -> Iterator[Finding]:
    try:
        config = app.config
        check_stages(config, app.text)
    except ConfigError as error:
        yield Finding(BAD, "configuration", str(error))
        return
    yield Finding(GOOD, "configuration", str(app.source or "embedded defaults: accepts everything"))
    yield from _places(config)
    try:
        sinks = live.read(config)
    except OSError as error:
        sinks = []
        yield Finding(BAD, "state", f"{error.filename}: {error.strerror}")
    for address in live.addresses(config, sinks):
        yield _listener(address)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = GOOD if files >= _FILES_WANTED else WARN
    yield Finding(
        enough, "open files", f"{files} allowed, {_FILES_WANTED} serve 10,000 connections (ulimit -n)"
    )
    try:
        yield from _running(app)
    except OSError as error:
        yield Finding(BAD, "spool", f"{error.filename}: {error.strerror}")
    yield from _backends(config)
    yield from _dns(config)


def _places(config: Config) -> Iterator[Finding]:
    for what, path in (
        ("spool", config.paths.spool),
        ("archive", config.paths.archive),
        ("state", config.paths.state),
    ):
        above = next(place for place in (path, *path.parents) if place.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            yield Finding(BAD, what, f"{above}: not writable for uid {os.geteuid()}")
        elif above != path:
            yield Finding(WARN, what, f"{path} is not there yet; `spamtrap up` makes it")
        else:
            yield Finding(GOOD, what, str(path))
    spool = config.paths.spool
    if not spool.exists():
        return
    space = fsio.space(spool)
    full = space.bytes_free < config.spool.reserve.of(space.bytes_total)
    full |= space.inodes_total > 0 and space.inodes_free < config.spool.reserve.of(space.inodes_total)
    room = f"{size(space.bytes_free)} and {space.inodes_free:,} inodes free"
    yield Finding(
        BAD if full else GOOD,
        "spool room",
        room + (": below the reserve, mail is answered 452" if full else ""),
    )
    if not fsio.is_tmpfs(spool) and not config.spool.fsync:
        yield Finding(
            WARN,
            "spool",
            f"{spool} is on a disk: mount a tmpfs (tmpfs-setup.sh), or set spool: {{fsync: true}}",
        )


def _listener(address: str) -> Finding:
    what, port = f"port {address}", address.rpartition(":")[2]
    try:
        greeting = _greeting(address)
    except OSError as error:
        hint = "is the sink running?"
        if port.isdigit() and int(port) < 1024 and os.geteuid() != 0:
            hint += " ports below 1024 need root, a socket from systemd, or a redirect"
        return Finding(BAD, what, f"{error.strerror or error}; {hint}")
    if not greeting.startswith("220"):
        return Finding(BAD, what, f"somebody else answers there: {greeting!r}")
    return Finding(GOOD, what, greeting)


def _greeting(address: str) -> str:
    with _connect(address) as connection:
        return connection.recv(512).decode("ascii", "replace").strip()


def _running(app: App) -> Iterator[Finding]:
    now = collect(app.config, app.spool)
    for queue in now.queues:
        if queue.workers == 0 and app.config.stage(queue.name).workers:
            yield Finding(BAD, f"worker {queue.name}", f"none is running; {queue.waiting} jobs wait")
        else:
            yield Finding(GOOD, f"worker {queue.name}", f"{queue.workers} running, {queue.waiting} jobs wait")
    if now.bad:
        yield Finding(WARN, "bad jobs", f"{now.bad}; `spamtrap queue ls bad` says why")
    account = audit(app.config, app.spool)
    lost = len(account.missing) + sum(len(branch.missing) for branch in account.branches.values())
    missing = "" if account.balanced else f"; {lost} missing, see `spamtrap audit`"
    yield Finding(GOOD if account.balanced else BAD, "audit", f"{account.accepted:,} accepted{missing}")
    if not account.accepted:
        yield Finding(
            WARN, "mail", "none was accepted so far; try `spamtrap replay` with a message of your own"
        )


def _backends(config: Config) -> Iterator[Finding]:
    """Ask every program that a stage asks; connect to every setting of others that reads like an address."""
    for name in config.queues:
        stage = config.stage(name)
        if not stage.workers:
            continue
        kind = find(stage.use or name, config.paths.plugins)
        waits = (stage.when_unavailable or getattr(kind, "when_unavailable", "wait")) == "wait"
        effect = "its jobs wait" if waits else "its jobs pass unjudged"
        try:
            with apart(config, name) as judge:
                asked, beside = asyncio.run(_checked(judge))
        except ConfigError as error:
            yield Finding(BAD, f"stage {name}", str(error))
            continue
        asked = asked or list(_addressed(kind, stage.settings))
        all_away = not any(what.good for what in asked)
        for what in asked:
            text = f"{what.text}; {effect if all_away else 'the next one is asked'}"
            state = (BAD if waits and all_away else WARN) if not what.good else GOOD
            yield Finding(state, f"{name}: {what.address}", what.text if what.good else text)
        for what in beside:
            yield Finding(GOOD if what.good else WARN, f"{name}: {what.address}", what.text)


async def _checked(judge: Any) -> tuple[list[Check], list[Check]]:
    """What a stage's backends say of themselves, and what it looks at besides."""
    backends = getattr(judge, "backends", None)
    check = getattr(judge, "check", None)
    asked = await backends.check() if backends else []
    beside = await check() if check else []
    await end(judge)
    return asked, beside


def _addressed(kind: type, given: dict[str, Any]) -> Iterator[Check]:
    """Settings of a stage without backends that read like the address of a server."""
    for value in ({key: parameter.default for key, parameter in settings(kind).items()} | given).values():
        if isinstance(value, str) and _ADDRESS.fullmatch(value):
            try:
                _connect(value).close()
            except OSError as error:
                yield Check(value, good=False, text=f"{error.strerror or error}")
            else:
                yield Check(value, good=True, text="takes connections")


def _connect(address: str) -> socket.socket:
    if not address.startswith("/"):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_TIMEOUT)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _dns(config: Config) -> Iterator[Finding]:
    host = config.hostname
    for domain in config.accept.domains:
        name = domain.lstrip(".")
        yield Finding(
            GOOD, f"DNS {domain}", f"needs: {'*.' if domain.startswith('.') else ''}{name}. IN MX 10 {host}."
        )
    yield Finding(
        GOOD, "DNS host", f"needs: {host}. IN A <this host's public address>, and a reverse name for it"
    )
