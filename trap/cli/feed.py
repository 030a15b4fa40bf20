"""Commands that take messages from files: try and inject."""

import asyncio
import inspect
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from trap.cli.base import App, command, fail, pass_app
from trap.cli.output import json_line, show, table
from trap.config import paths_below
from trap.configcheck import nearest
from trap.configfile import ConfigError
from trap.envelope import Envelope, Rcpt, plain
from trap.intake import Intake
from trap.job import Headers, Job
from trap.plugin import build
from trap.stage import Drop, Unavailable, Verdict

ERROR = "error"


@command("try", "spamtrap try backscatter bounce.eml\nspamtrap try dedup *.eml --json")
@click.argument("stage")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True)
)
@click.option(
    "-f", "--from", "sender", default=None, help="MAIL FROM; the Return-Path of the message when not given."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line a file.")
@pass_app
def try_(app: App, stage: str, files: tuple[Path, ...], sender: str | None, as_json: bool) -> int:
    """Show what one stage says of message files ("-" is stdin). Needs no spool and no running trap.

    The stage keeps its state in a directory of its own, so nothing of the running trap's is touched.
    """
    with tempfile.TemporaryDirectory(prefix="spamtrap-try-") as apart:
        below = paths_below(Path(apart), app.config.paths.plugins)
        judge = build(msgspec.structs.replace(app.config, paths=below), stage)
        rows = [{"file": str(file), **_ask(judge, _job(_read(file), sender))} for file in files]
        if closing := getattr(judge, "close", None):
            closing()
    if as_json:
        for row in rows:
            json_line(row)
    else:
        show(table(("file", "verdict", "reason", "to", "notes"), [_cells(row) for row in rows]))
    return os.EX_TEMPFAIL if any(row["verdict"] == ERROR for row in rows) else os.EX_OK


def _read(file: Path) -> bytes:
    return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    notes = msgspec.json.encode(row["notes"]).decode() if row["notes"] else ""
    return row["file"], row["verdict"], row["reason"] or "", row["to"] or "", notes


def _job(message: bytes, sender: str | None) -> Job:
    if sender is None:
        sender = (Headers(message).get("return-path") or "").strip().strip("<>")
    return Job.from_message(message, Envelope(protocol="inject", mail_from=sender))


def _ask(judge: Any, job: Job) -> dict[str, Any]:
    """The stage's answer as a row: verdict, reason, to, notes."""
    try:
        if hasattr(judge, "process_batch"):
            verdict: Verdict = judge.process_batch([job])[0]
        elif inspect.iscoroutinefunction(judge.process):
            verdict = asyncio.run(judge.process(job))
        else:
            verdict = judge.process(job)
    except Unavailable as error:
        return {"verdict": ERROR, "reason": f"unavailable: {error}", "to": None, "notes": {}}
    except Exception as error:  # a stage may raise anything; that is what one tries it for
        return {"verdict": ERROR, "reason": f"{type(error).__name__}: {error}", "to": None, "notes": {}}
    if isinstance(verdict, Drop):
        return {"verdict": "drop", "reason": verdict.reason, "to": None, "notes": plain(verdict.notes)}
    return {"verdict": "pass", "reason": None, "to": verdict.to, "notes": plain(verdict.notes)}


@command("inject", "spamtrap inject -f sender@example.org trap@trap.example < message.eml")
@click.argument("rcpts", metavar="RCPT...", nargs=-1)
@click.option("-f", "--from", "sender", default="", help="MAIL FROM; empty is the null sender.")
@click.option("--client-ip", default="", help="Address of the client that sent it.")
@click.option("--helo", default=None, help="What the client said in HELO.")
@click.option(
    "--queue", "name", default=None, help="Put it there instead of into the queue of its first recipient."
)
@pass_app
def inject(
    app: App, rcpts: tuple[str, ...], sender: str, client_ip: str, helo: str | None, name: str | None
) -> None:
    """Read one message on stdin and put it into the first queue; for Postfix pipe(8) and .forward.

    Every recipient is taken, so nothing bounces for its address. Exit code 75, try again later, when
    there is no room; 65 when the message is larger than smtp.max_size; 66 when there is none.
    """
    if name and name not in app.config.queues:
        raise ConfigError(f"no queue {name!r}" + nearest(name, app.config.queues))
    intake = Intake(app.config, app.spool)
    message = sys.stdin.buffer.read(intake.max_size + 1) if sys.stdin else b""
    if not message:
        fail("no message on standard input", os.EX_NOINPUT)
    if len(message) > intake.max_size:
        fail(f"larger than smtp.max_size, {intake.max_size} bytes", os.EX_DATAERR)
    if not intake.has_room():
        fail("not taken, try again later: the spool has less than its reserve free", os.EX_TEMPFAIL)
    found = [intake.recipients.lookup(rcpt, "inject") for rcpt in rcpts]
    first = name or next((one.queue for one in found if one), app.config.first)
    envelope = Envelope(
        protocol="inject",
        listener="inject",
        client_ip=client_ip,
        helo=helo,
        mail_from=sender,
        rcpts=[
            Rcpt(address=rcpt, tag=one.tag if one else "") for rcpt, one in zip(rcpts, found, strict=True)
        ],
        received_at=time.time(),
    )
    try:
        job_id = app.spool.put(first, envelope, message)
    except OSError as error:
        fail(f"not taken, try again later: {error}", os.EX_TEMPFAIL)
    app.spool.close()
    click.echo(job_id)
