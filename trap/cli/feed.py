"""Commands that take messages from files: try, and what inject shows as its help."""

import asyncio
import inspect
import os
import sys
from email.utils import getaddresses
from pathlib import Path
from typing import Any

import click
import msgspec

from trap.cli.base import App, Command, command, pass_app
from trap.cli.inject import EXAMPLE, HELP, OPTIONS
from trap.cli.output import json_line, show, table
from trap.envelope import Envelope, Rcpt, plain, printable
from trap.job import Headers, Job
from trap.plugin import apart, end
from trap.stage import Drop, Preview, Unavailable, Verdict

ERROR = "error"
_TOLD_RCPT = ("delivered-to", "x-original-to", "envelope-to", "to", "cc")
"""Header fields that may say to whom a message came."""
_MAX_RCPTS = 100


@command("try", "spamtrap try backscatter bounce.eml\nspamtrap try arf spam.eml --to joe@trap.example")
@click.argument("stage")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True)
)
@click.option(
    "-f", "--from", "sender", default=None, help="MAIL FROM; the Return-Path of the message when not given."
)
@click.option("-t", "--to", "rcpts", multiple=True, help="RCPT TO; as the message says when not given.")
@click.option("--client-ip", default="", help="Address of the client that sent it.")
@click.option("--client-port", default=0, type=click.IntRange(0, 65535), help="Its port.")
@click.option("--helo", default=None, help="What the client said in HELO.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a file.")
@pass_app
def try_(  # noqa: PLR0913, PLR0917 - one for each option
    app: App,
    stage: str,
    files: tuple[Path, ...],
    sender: str | None,
    rcpts: tuple[str, ...],
    client_ip: str,
    client_port: int,
    helo: str | None,
    as_json: bool,
) -> int:
    """Show what one stage says of message files ("-" is stdin). Needs no spool and no running trap.

    Of a reporter, print what it would send, to the byte; nothing is sent.

    The stage keeps its state in a directory of its own, so nothing of the running trap's is touched.
    """
    with apart(app.config, stage) as judge:
        session = Envelope(protocol="inject", client_ip=client_ip, client_port=client_port, helo=helo)
        with asyncio.Runner() as runner:  # one loop for all files: a stage may keep its connections
            jobs = [(str(file), _job(_read(file), sender, rcpts, session)) for file in files]
            if hasattr(judge, "preview"):
                rows = [row for name, job in jobs for row in _preview(runner, judge, name, job)]
            else:
                rows = [{"file": name, **_ask(runner, judge, job)} for name, job in jobs]
            runner.run(end(judge))
    if hasattr(judge, "preview") and not as_json:
        return _print_previews(rows)
    if as_json:
        for row in rows:
            json_line(plain(row))
    else:
        show(table(("file", "verdict", "reason", "to", "notes"), [_cells(row) for row in rows]))
    return os.EX_TEMPFAIL if any(row["verdict"] == ERROR for row in rows) else os.EX_OK


def _read(file: Path) -> bytes:
    return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    notes = msgspec.json.encode(row["notes"]).decode() if row["notes"] else ""
    return row["file"], row["verdict"], row["reason"] or "", row["to"] or "", notes


def _job(message: bytes, sender: str | None, rcpts: tuple[str, ...], session: Envelope) -> Job:
    headers = Headers(message)
    if sender is None:
        sender = (headers.get("return-path") or "").strip().strip("<>")
    if not rcpts:
        fields = [said for name in _TOLD_RCPT for said in headers.get_all(name)[:_MAX_RCPTS]]
        rcpts = tuple(address for _, address in getaddresses(fields) if "@" in address)[:_MAX_RCPTS]
    told = [Rcpt(address=address) for address in rcpts]
    return Job.from_message(message, msgspec.structs.replace(session, mail_from=sender, rcpts=told))


def _preview(runner: asyncio.Runner, judge: Any, file: str, job: Job) -> list[dict[str, Any]]:
    """What a reporter would send of a message."""
    try:
        previews: list[Preview] = runner.run(judge.preview(job))
    except Exception as error:  # as in _ask
        why = (
            f"unavailable: {error}" if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"
        )
        return [{"file": file, "verdict": ERROR, "reason": why, "to": None, "text": b""}]
    if not previews:
        return [{"file": file, "verdict": "pass", "reason": "nobody to tell", "to": None, "text": b""}]
    return [
        {"file": file, "verdict": "held" if each.why_not else "send", "reason": each.why_not, "to": each.to,
         "text": each.text}
        for each in previews
    ]  # fmt: skip


def _print_previews(rows: list[dict[str, Any]]) -> int:
    """The texts as they would leave, to stdout; to whom, or why not, to stderr."""
    for row in rows:
        name, to = row["file"], printable(row["to"] or "")
        words = {"send": f"to {to}", "held": f"to {to}, but not sent: {row['reason']}"}
        click.echo(f"spamtrap: {name}: {printable(words.get(row['verdict'], row['reason']))}", err=True)
        sys.stdout.buffer.write(row["text"])
    sys.stdout.flush()
    return os.EX_TEMPFAIL if any(row["verdict"] == ERROR for row in rows) else os.EX_OK


def _ask(runner: asyncio.Runner, judge: Any, job: Job) -> dict[str, Any]:
    """The stage's answer as a row: verdict, reason, to, notes."""
    try:
        if hasattr(judge, "process_batch"):
            verdict: Verdict = judge.process_batch([job])[0]
        elif inspect.iscoroutinefunction(judge.process):
            verdict = runner.run(judge.process(job))
        else:
            verdict = judge.process(job)
    except Unavailable as error:
        return {"verdict": ERROR, "reason": f"unavailable: {error}", "to": None, "notes": {}}
    except Exception as error:  # a stage may raise anything; that is what one tries it for
        return {"verdict": ERROR, "reason": f"{type(error).__name__}: {error}", "to": None, "notes": {}}
    if isinstance(verdict, Drop):
        return {"verdict": "drop", "reason": verdict.reason, "to": None, "notes": plain(verdict.notes)}
    return {"verdict": "pass", "reason": None, "to": verdict.to, "notes": plain(verdict.notes)}


class _Inject(Command):
    """Shows what `inject` takes. The lines themselves are read and run by trap.cli.inject."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Only who asks for help comes here."""
        return super().parse_args(ctx, ["--help"])


inject = _Inject(
    "inject",
    params=[
        click.Argument(["rcpts"], metavar="RCPT...", nargs=-1),
        *(click.Option([*option.spellings], metavar=option.metavar, help=option.help) for option in OPTIONS),
    ],
    help=HELP,
    example=EXAMPLE,
)
