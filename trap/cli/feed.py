"""Commands that take messages from files: try, and what inject shows as its help."""

import asyncio
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from trap.cli.base import App, Command, command, pass_app
from trap.cli.inject import EXAMPLE, HELP, OPTIONS
from trap.cli.output import json_line, show, table
from trap.envelope import Envelope, plain
from trap.job import Headers, Job
from trap.plugin import apart, end
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
@click.option("--client-ip", default="", help="Address of the client that sent it.")
@click.option("--helo", default=None, help="What the client said in HELO.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a file.")
@pass_app
def try_(
    app: App,
    stage: str,
    files: tuple[Path, ...],
    sender: str | None,
    client_ip: str,
    helo: str | None,
    as_json: bool,
) -> int:
    """Show what one stage says of message files ("-" is stdin). Needs no spool and no running trap.

    The stage keeps its state in a directory of its own, so nothing of the running trap's is touched.
    """
    with apart(app.config, stage) as judge:
        session = Envelope(protocol="inject", client_ip=client_ip, helo=helo)
        with asyncio.Runner() as runner:  # one loop for all files: a stage may keep its connections
            rows = [
                {"file": str(file), **_ask(runner, judge, _job(_read(file), sender, session))}
                for file in files
            ]
            runner.run(end(judge))
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


def _job(message: bytes, sender: str | None, session: Envelope) -> Job:
    if sender is None:
        sender = (Headers(message).get("return-path") or "").strip().strip("<>")
    return Job.from_message(message, msgspec.structs.replace(session, mail_from=sender))


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
