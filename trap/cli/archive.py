"""The command group `spamtrap archive`."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from trap.archive import export as exporting
from trap.archive import indexer, store
from trap.archive.index import index_files
from trap.archive.library import Library
from trap.archive.record import Corrupt, Record
from trap.archive.search import Row
from trap.archive.verify import Proof
from trap.cli.base import App, Group, fail, pass_app
from trap.cli.library import existing, joined, opened, parsed, progress
from trap.cli.message import show_record
from trap.cli.output import default_limit, json_line, limit_option, show, table
from trap.units import size

_QUERY_ARGS = {"ignore_unknown_options": True}  # -word is a word that must not be there


@click.group("archive", cls=Group, lazy={"browse": "trap.cli.browse:browse"})
def archive() -> None:
    """Find, show, export and verify archived mail."""


@archive.command("ls", example="spamtrap archive ls --limit 20\nspamtrap archive ls --json | jq .subject")
@limit_option
@click.option("--before", metavar="ID", help="Go on after this message.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a message.")
@pass_app
def ls(app: App, limit: int | None, before: str | None, as_json: bool) -> None:
    """List archived messages, newest first."""
    _list(app, "", limit, before, as_json)


@archive.command(
    "search",
    context_settings=_QUERY_ARGS,
    example="spamtrap archive search 'invoice \"bank transfer\" -unsubscribe date:2026-11-01..2026-11-03'\n"
    "spamtrap archive search '(domain:a.example or cidr:192.0.2.0/24) size:>10k' --json",
)
@click.argument("words", nargs=-1, required=True, metavar="QUERY")
@limit_option
@click.option("--before", metavar="ID", help="Go on after this message.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a message.")
@pass_app
def search(app: App, words: tuple[str, ...], limit: int | None, before: str | None, as_json: bool) -> None:
    """Find archived messages, newest first.

    QUERY is made of words, "phrases" and wor* beginnings, all of which must be there; -not this;
    one or the other; (parentheses). A field narrows where to look:

    \b
    subject: body: url: helo:  words in the subject, the text, links, the greeting
    from: to:                  in envelope or header; from:<> is the null sender
    attachment:                a file's name or sha256; hash: also the message's
    ip: cidr:                  192.0.2.7 or 192.0.2.0/24, the client's
    domain: tld: charset:      a.example and all below it; ru; koi8-r
    tag: stage: kind: campaign:    as the trap noted them
    date:2026-11-01..2026-11-03    or 2026-11, 3d, today; UTC
    size:>1M                   or 10k..1M
    """
    _list(app, joined(words), limit, before, as_json)


@archive.command("show", example="spamtrap archive show 17636400000000001a2b3c4d --raw > message.eml")
@click.argument("job_id", metavar="ID")
@click.option("--raw", "what", flag_value="raw", help="The message, exactly as it was received.")
@click.option("--headers", "what", flag_value="headers", help="Its header.")
@click.option("--parts", "what", flag_value="parts", help="Its parts: type, size, name, sha256.")
@click.option("--json", "what", flag_value="json", help="All that is known of it, as one JSON document.")
@pass_app
def show_(app: App, job_id: str, what: str | None) -> None:
    """Show one archived message: its envelope, what the stages noted, and the text."""
    with opened(app) as library:
        row = library.get(job_id)
        if not row:
            fail(f"no message {job_id} in the archive", os.EX_NOINPUT)
        try:
            record = library.record(row)
        except Corrupt as error:
            fail(str(error), os.EX_DATAERR)
    if what == "raw":
        sys.stdout.buffer.write(record.message)
        sys.stdout.buffer.flush()
    else:
        show_record(record, row, what or "")


_FORMATS: dict[str, Callable[..., int]] = {
    **{form: partial(exporting.to_file, form) for form in exporting.STREAMS},
    "maildir": exporting.to_maildir,
    "eml": exporting.to_eml,
}


@archive.command(
    "export",
    context_settings=_QUERY_ARGS,
    example="spamtrap archive export --format mbox --output spam.mbox subject:invoice date:7d\n"
    "spamtrap archive export --format zip --output spam.zip campaign:0000000000f7",
)
@click.argument("words", nargs=-1, metavar="[QUERY]")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_FORMATS)),
    default="mbox",
    show_default=True,
    help="What to write.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="-",
    help="File (mbox, jsonl, zip of eml), or directory (maildir, eml); else standard output.",
)
@pass_app
def export(app: App, words: tuple[str, ...], form: str, output: Path) -> None:
    """Write messages out, newest first: those a QUERY finds (see `search`), or all.

    A file that is there already is not written over.
    """
    wanted = parsed(joined(words))
    to_stdout = str(output) == "-"
    form = "zip" if form == "eml" and output.suffix == ".zip" else form
    if form in {"maildir", "eml"} and to_stdout:
        raise click.UsageError(f"--format {form} needs --output")
    with opened(app) as library:
        records = _records(library, library.find(wanted))
        if form in {"maildir", "eml"}:
            count = _FORMATS[form](records, output)
        elif to_stdout:
            count = _FORMATS[form](records, sys.stdout.buffer)
        else:
            # What is a file already is not written over; a pipe or a device is there to be written to.
            with output.open("wb" if output.exists() and not output.is_file() else "xb") as out:
                count = _FORMATS[form](records, out)
    click.echo(f"{count} messages", err=True)


@archive.command("stats", example="spamtrap archive stats --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_app
def stats(app: App, as_json: bool) -> None:
    """Say how much is archived, from when, and what it costs."""
    with opened(app) as library:
        known = library.index.segments().values()
        on_disk = sum(path.stat().st_size for path in store.segments(library.directory))
        ends = [library.newest(), library.oldest()]
        rows = library.index.used_by_rows()
        found = {
            "messages": sum(segment.records for segment in known),
            "message_bytes": sum(segment.message_bytes for segment in known),
            "segments": len(known),
            "segments_open": sum(not segment.complete for segment in known),
            "segment_bytes": on_disk,
            "index_bytes": sum(
                path.stat().st_size
                for file in index_files(library.directory)
                for path in (file, file.with_name(file.name + "-wal"))
                if path.exists()
            ),
            "index_words_bytes": None if rows is None else library.index.used() - rows,
            "index_rows_bytes": rows,
            "newest": ends[0].received_at if ends[0] else None,
            "oldest": ends[1].received_at if ends[1] else None,
            "not_indexed_bytes": indexer.behind(
                library.index, indexer.ends(library.directory, library.index)
            ),
        }
    if as_json:
        json_line(found)
    else:
        show(table(("what", ">value"), _stats_rows(found)))


def _stats_rows(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    messages = found["messages"] or 1
    yield "messages", f"{found['messages']:,}"
    yield "from", _when(found["oldest"])
    yield "to", _when(found["newest"])
    yield "mail", size(found["message_bytes"])
    share = found["segment_bytes"] / (found["message_bytes"] or 1)
    yield (
        f"{_segments(found['segments'])}, {found['segments_open']} open",
        f"{size(found['segment_bytes'])} ({share:.0%})",
    )
    yield "a message, archived", size(found["segment_bytes"] / messages)
    yield "index", size(found["index_bytes"])
    yield "a message, indexed", size(found["index_bytes"] / messages)
    if found["index_rows_bytes"] is not None:
        yield "- words and facts", size(found["index_words_bytes"] / messages)
        yield "- all else", size(found["index_rows_bytes"] / messages)
    if found["not_indexed_bytes"]:
        yield "not indexed yet", size(found["not_indexed_bytes"])


@archive.command("verify", example="spamtrap archive verify && echo every byte is as it was")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_app
def verify(app: App, as_json: bool) -> None:
    """Read every segment and prove it: each frame, each message's sha256, and the index.

    Prints one line for each fault; exit code 65 when there is any.
    """
    proof = Proof()
    faults: list[str] = []
    with opened(app) as library, progress("verifying", library.directory) as done:
        for fault in proof.faults(library.directory, library.index, done):
            faults.append(fault)
            if not as_json:
                click.echo(fault)
    if as_json:
        counts = {"segments": proof.segments, "records": proof.records, "message_bytes": proof.message_bytes}
        json_line({**counts, "faults": faults})
    else:
        click.echo(
            f"{proof.records:,} messages, {size(proof.message_bytes)}, in {_segments(proof.segments)}:"
            f" {len(faults) or 'no'} fault{'s' * (len(faults) != 1)}"
        )
    if faults:
        sys.exit(os.EX_DATAERR)


@archive.command("reindex", example="spamtrap archive reindex")
@pass_app
def reindex(app: App) -> None:
    """Make the index anew from the segments. May be done while the trap runs."""
    directory = existing(app)
    with progress("indexing", directory) as done:
        indexer.rebuild(directory, done=done)
    with opened(app) as library:
        click.echo(f"{sum(s.records for s in library.index.segments().values())} messages indexed", err=True)


def _list(app: App, text: str, limit: int | None, before: str | None, as_json: bool) -> None:
    wanted = parsed(text)
    limit = default_limit(limit, as_json)
    with opened(app) as library:
        if before and not library.get(before):
            fail(f"no message {before} in the archive", os.EX_NOINPUT)
        rows = library.find(wanted, before, limit or -1)
        if as_json:
            for row in rows:
                json_line(row.to_map())
        else:
            _show_rows(
                rows, "nothing older" if before else "nothing matches" if text else "nothing is archived yet"
            )


def _show_rows(rows: Iterable[Row], nothing: str) -> None:
    cells = [
        (
            row.id,
            _when(row.received_at),
            size(row.size),
            Text(row.client_ip, style="cyan"),
            row.mail_from or "<>",
            Text(row.subject, style="bold"),
        )
        for row in rows
    ]
    if not cells and sys.stderr.isatty():
        click.echo(nothing, err=True)
    show(table(("id", "received (UTC)", ">size", "client", "from", "subject"), cells))


def _records(library: Library, rows: Iterable[Row]) -> Iterator[Record]:
    """The records of rows; what retention took meanwhile is left out, damage is told and left out."""
    for row in rows:
        try:
            yield library.record(row)
        except FileNotFoundError:
            continue
        except Corrupt as error:
            click.echo(f"spamtrap: {error}", err=True)


def _segments(number: int) -> str:
    return "1 segment" if number == 1 else f"{number:,} segments"


def _when(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) if seconds is not None else "-"
