"""Commands that run the trap: up, work, reap."""

import logging
import os
import sys

import click
import msgspec

from trap import reaper, worker
from trap.cli.base import App, command, pass_app
from trap.config import Config, Listener
from trap.configcheck import nearest
from trap.configfile import ConfigError
from trap.plugin import check_stages
from trap.supervisor import Child, Supervisor, die_with_parent


def begin(name: str) -> None:
    """What every process of the trap does first.

    Log to stderr, one plain line an event (under systemd the journal adds the time); keep what is
    written from everybody but user and group; end with the supervisor.
    """
    os.umask(0o027)
    form = f"%(asctime)s {name}: %(message)s" if sys.stderr.isatty() else f"{name}: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, datefmt="%H:%M:%S")
    die_with_parent()


def listening_at(config: Config, listen: str | None) -> Config:
    """The configuration with its listeners replaced by one at HOST:PORT."""
    if listen is None:
        return config
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{listen!r} is not HOST:PORT", param_hint="--listen")
    return msgspec.structs.replace(config, listen=[Listener(host=host.strip("[]"), port=int(port))])


def _workers(app: App, config: Config, names: list[str], number: int | None = None) -> list[Child]:
    children = []
    for name in names:
        count = config.stage(name).workers if number is None else number
        for at in range(count):
            label = name if count == 1 else f"{name}/{at + 1}"
            children.append(Child(label, [*app.arguments, "work", name, "--workers", "1"]))
    return children


def _sinks(app: App, count: int, at: list[str]) -> list[Child]:
    if count == 1:
        return [Child("sink", [*app.arguments, "sink", *at])]
    numbers = [str(number) for number in range(1, count + 1)]
    return [Child(f"sink/{n}", [*app.arguments, "sink", "--number", n, *at]) for n in numbers]


@command("up", "spamtrap up --dir /srv/trap --listen 127.0.0.1:2525")
@click.option("--listen", metavar="HOST:PORT", help="Listen here instead of where the configuration says.")
@pass_app
def up(app: App, listen: str | None) -> int:
    """Run everything in this terminal: sink, workers, reaper and web interface.

    What dies is started again. Ctrl-C stops all of it: what is in hand is finished first.
    """
    begin("up")
    config = app.config
    check_stages(config, app.text)  # before the first message is taken
    listening_at(config, listen)
    app.user()
    at = ["--listen", listen] if listen else []
    children = _sinks(app, config.smtp.processes, at)
    children += _workers(app, config, config.queues)
    children.append(Child("reaper", [*app.arguments, "reap"]))
    if config.web.enabled:
        children.append(Child("web", [*app.arguments, "web"], vital=False))
    return Supervisor(children).run()


@command("work", "spamtrap work dedup --workers 2")
@click.argument("stage")
@click.option("--workers", type=click.IntRange(1, 64), help="How many; as configured when not given.")
@pass_app
def work(app: App, stage: str, workers: int | None) -> int:
    """Empty one queue through its stage."""
    begin(stage)
    config = app.config
    if stage not in config.queues:
        raise ConfigError(f"no stage {stage!r}" + nearest(stage, config.queues))
    number = config.stage(stage).workers if workers is None else workers
    if not number:
        raise ConfigError(f"{stage} has `workers: 0`: it only holds what is put there")
    app.become_user()
    if number == 1:
        return worker.run(config, stage, app.text)
    return Supervisor(_workers(app, config, [stage], number)).run()


@command("reap", "spamtrap reap --once")
@click.option("--once", is_flag=True, help="Do one round and exit.")
@pass_app
def reap(app: App, once: bool) -> int:
    """Return orphans, shed what is stale, purge by the clock, rotate the mail log."""
    begin("reaper")
    app.become_user()
    return reaper.run(app.config, once=once)
