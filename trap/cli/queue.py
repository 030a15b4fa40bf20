"""Commands that look into queues and throw away or return what is in them."""

import os
import sys
import time

import click
import msgspec
from rich.text import Text

from trap import fsio
from trap.claim import BAD
from trap.cli.base import App, Group, fail, pass_app
from trap.cli.output import default_limit, json_line, limit_option, lines, show, table
from trap.config import Duration
from trap.configcheck import nearest
from trap.configfile import ConfigError
from trap.envelope import plain, printable
from trap.job import CorruptJob, Job, id_time, split_name
from trap.reaper import purge as do_purge
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
    """List waiting jobs, oldest first: of one queue, of all, or those put aside ("bad")."""
    rows: list[_Row] = []
    most = default_limit(limit, as_json) or sys.maxsize
    names = [_known(app, name)] if name else [*app.spool, BAD]
    for each in names:
        if each == BAD:
            jobs = [(f"{BAD}/{at}", job_id, attempt) for at, job_id, attempt in app.spool.bad()]
        else:
            jobs = [(each, *split) for entry in app.spool[each].waiting() if (split := split_name(entry))]
        rows += [_row(app, *job) for job in jobs[: most - len(rows)]]
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


class _Row(msgspec.Struct):
    """One job of a listing."""

    queue: str
    id: str
    attempt: int
    age_s: float
    size: int = 0
    mail_from: str = ""
    subject: str = ""
    reason: str = ""


def _row(app: App, at: str, job_id: str, attempt: int) -> _Row:
    row = _Row(at, job_id, attempt, round(time.time() - id_time(job_id), 3))
    job = _read(app, at, f"{job_id}.{attempt}")
    if job is None:
        row.reason = "unreadable, or gone by now"
        return row
    row.size, row.mail_from = job.size, printable(job.envelope.mail_from)
    row.subject = printable(job.headers.get("subject") or "")[:60]
    why = job.notes.get(BAD)
    row.reason = printable(str(why.get("reason", ""))) if isinstance(why, dict) else ""
    return row


def _read(app: App, at: str, file: str) -> Job | None:
    place = at if at.startswith(f"{BAD}/") else f"{at}/new"
    try:
        return Job.decode(file.partition(".")[0], fsio.read(f"{app.spool.root}/{place}/{file}"))
    except (CorruptJob, FileNotFoundError):
        return None


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
    bad = [entry for entry in app.spool.bad() if every or entry[1] in job_ids]
    for unknown in set(job_ids) - {job_id for _, job_id, _ in bad}:
        fail(f"no bad job {unknown}; `spamtrap queue ls bad` lists them", os.EX_NOINPUT)
    for name, job_id, attempt in bad:
        if name not in app.spool.configured:
            fail(
                f"job {job_id} was put aside by {name!r}, a queue that is no longer configured", os.EX_CONFIG
            )
        app.spool[name].requeue(job_id, attempt)
    click.echo(f"{len(bad)} requeued")


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
    if name and _known(app, name) == BAD:
        purged = {BAD: _purge_bad(app, older_than, dry_run)}
    else:
        names = [name] if name else list(app.spool)
        purged = dict(
            do_purge(
                app.spool,
                names,
                "by command",
                older_than=older_than,
                keep_newest=keep_newest,
                dry_run=dry_run,
            )
        )
    if as_json:
        json_line({"purged": purged, "dry_run": dry_run})
    else:
        show(table(("queue", ">would purge" if dry_run else ">purged"), list(purged.items())))


def _purge_bad(app: App, older_than: Duration, dry_run: bool) -> int:
    before = time.time() - older_than
    old = [entry for entry in app.spool.bad() if id_time(entry[1]) <= before and entry[0] in app.spool]
    if not dry_run:
        for name, job_id, attempt in old:
            app.spool[name].discard_bad(job_id, attempt, "by command")
    return len(old)
