"""Commands that look into queues and throw away or return what is in them."""

import os
import sys
import time

import click
import msgspec
from rich.text import Text

from trap import fsio, jobs
from trap.claim import BAD
from trap.cli.base import App, Group, fail, pass_app
from trap.cli.output import default_limit, json_line, limit_option, lines, show, table
from trap.config import Duration
from trap.configcheck import nearest
from trap.configfile import ConfigError
from trap.envelope import plain, printable
from trap.job import CorruptJob, Job
from trap.units import age, size


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> Duration:
    try:
        return Duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.group("queue", cls=Group)
def queue() -> None:
    """Look into the queues, return bad jobs, purge."""


def _known(app: App, name: str) -> str:
    if name != BAD and name not in app.spool:
        raise ConfigError(f"no queue {name!r}" + nearest(name, [*app.spool, BAD]))
    return name


@queue.command("ls", example="spamtrap queue ls dedup\nspamtrap queue ls bad")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON line a job.")
@limit_option
@pass_app
def ls(app: App, name: str | None, as_json: bool, limit: int | None) -> None:
    """List jobs, waiting or in hand, oldest first: of one queue, of all, or those put aside ("bad")."""
    rows: list[jobs.Row] = []
    most = default_limit(limit, as_json) or sys.maxsize
    for each in [_known(app, name)] if name else [*app.spool, BAD]:
        found = jobs.page(app.spool, each, most - len(rows)).entries
        rows += [jobs.row(entry) for entry in found]
    if as_json:
        for row in rows:
            json_line(row)
    else:
        cells = [
            (
                row.queue,
                row.id,
                row.attempt,
                age(row.age_s),
                size(row.size),
                row.mail_from,
                row.subject,
                row.reason,
            )
            for row in rows
        ]
        show(table(("queue", "id", ">attempt", ">age", ">size", "from", "subject", "reason"), cells))


@queue.command("show", example="spamtrap queue show 17636219631234569f3ac21b")
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, without the message.")
@click.option("--raw", is_flag=True, help="The message, byte for byte.")
@pass_app
def show_job(app: App, job_id: str, as_json: bool, raw: bool) -> None:
    """Show a job: its envelope, what the stages noted, why it is bad, the beginning of the message."""
    for name in app.spool:
        path = app.spool[name].find(job_id)
        if path is None:
            continue
        try:
            job = Job.decode(job_id, fsio.read(path))
        except CorruptJob as error:
            fail(f"{path} is unreadable: {printable(str(error))}", os.EX_DATAERR)
        if raw:
            sys.stdout.buffer.write(job.message)
        elif as_json:
            notes = {stage: plain(note) for stage, note in job.notes.items()}
            json_line({"id": job.id, "path": path, "envelope": plain(job.envelope.to_map()), "notes": notes})
        else:
            _show_job(job, path)
        return
    fail(f"no job {job_id} in any queue; is it archived? try `spamtrap archive show {job_id}`", os.EX_NOINPUT)


def _show_job(job: Job, path: str) -> None:
    rows = [("file", path), ("age", age(time.time() - job.received_at)), ("size", size(job.size))]
    rows += [(key, _text(value)) for key, value in job.envelope.to_map().items()]
    for stage, note in job.notes.items():
        for key, value in note.items() if isinstance(note, dict) else [("", note)]:
            rows.append((f"{stage}: {key}", str(value) if key == "traceback" else _text(value)))
    show(table(("", ""), rows))
    show(Text(lines(job.message[:2000].decode("utf-8", "surrogateescape"))))


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(plain(value)).decode()


@queue.command(
    "requeue", example="spamtrap queue requeue --all\nspamtrap queue requeue 17636219631234569f3ac21b"
)
@click.argument("job_ids", metavar="ID...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every bad job.")
@pass_app
def requeue(app: App, job_ids: tuple[str, ...], every: bool) -> None:
    """Give bad jobs another three attempts, in the queue where they failed."""
    if not job_ids and not every:
        raise click.UsageError("name job ids, or --all")
    bad = [entry for entry in jobs.page(app.spool, BAD, sys.maxsize).entries if every or entry.id in job_ids]
    for unknown in set(job_ids) - {entry.id for entry in bad}:
        fail(f"no bad job {unknown}; `spamtrap queue ls bad` lists them", os.EX_NOINPUT)
    try:
        done = jobs.requeue(app.spool, bad)
    except LookupError as error:
        fail(str(error.args[0]), os.EX_CONFIG)
    click.echo(f"{done} requeued")


@queue.command("purge", example="spamtrap queue purge --older-than 2h --dry-run\nspamtrap queue purge report")
@click.argument("name", metavar="[STAGE]", required=False)
@click.option("--older-than", callback=_duration, default="0", help="Only jobs older than this (2h, 30m).")
@click.option(
    "--keep-newest", type=click.IntRange(0), default=0, help="Leave this many of the newest in each queue."
)
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_app
def purge(
    app: App, name: str | None, older_than: Duration, keep_newest: int, dry_run: bool, as_json: bool
) -> None:
    """Throw away waiting jobs, of one queue or of all; each is in the mail log. `bad` purges bad jobs."""
    before = time.time() - older_than
    if name and _known(app, name) == BAD:
        purged = {BAD: jobs.purge_bad(app.spool, "by command", before=before, dry_run=dry_run)}
    else:
        names = [name] if name else list(app.spool)
        purged = dict(
            jobs.purge(
                app.spool,
                names,
                "by command",
                before=before,
                keep_newest=keep_newest,
                dry_run=dry_run,
            )
        )
    if as_json:
        json_line({"purged": purged, "dry_run": dry_run})
    else:
        show(table(("queue", ">would purge" if dry_run else ">purged"), list(purged.items())))
