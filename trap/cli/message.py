"""Shows one archived message to people, with nothing in it that a terminal would obey."""

import email
import hashlib
from collections.abc import Iterator
from typing import Any

import click
import msgspec
from rich.text import Text

from trap.archive.fields import Fields, TooSlow, cpu_limit, extract
from trap.archive.record import Record
from trap.archive.search import Row
from trap.cli.output import json_line, show, table
from trap.envelope import plain, printable
from trap.job import header_end
from trap.units import size
from trap.view.defang import defang

_LINES = 40
_MAX_PARTS = 1000
_MAX_SECONDS = 10.0
"""CPU time for the parts of a message."""


def show_record(record: Record, row: Row, what: str) -> None:
    """Print a message.

    Args:
        what: "headers", "parts", "json", or anything else for a summary.
    """
    if what == "headers":
        _print_lines(_head(record.message))
    elif what == "parts":
        show(table((">part", "type", ">size", "name", "sha256"), _parts(record)))
    elif what == "json":
        json_line(
            {
                **row.to_map(),
                "envelope": plain(record.envelope.to_map()),
                "notes": plain(dict(record.notes)),
                "fields": msgspec.to_builtins(extract(record)),
            }
        )
    else:
        _summary(record, row)


def _summary(record: Record, row: Row) -> None:
    fields = extract(record)
    show(table(("", ""), list(_facts(record, row, fields))))
    lines = [line for line in fields.text.splitlines() if line.strip()]
    _print_lines("\n".join(lines[:_LINES]))
    if len(lines) > _LINES:
        click.echo(f"… {len(lines) - _LINES} more lines; the whole message: --raw")


def _facts(record: Record, row: Row, fields: Fields) -> Iterator[tuple[Text, str]]:
    envelope = record.envelope
    facts: list[tuple[str, Any]] = [
        ("id", record.id),
        ("sha256", record.sha256.hex()),
        ("size", size(len(record.message))),
        ("client", f"{row.client_ip} port {envelope.client_port}, {envelope.helo_verb} {row.helo}"),
        ("dialect", _notes(plain(envelope.dialect)) if envelope.dialect else ""),
        ("mail from", row.mail_from or "<>"),
        *(("rcpt to", address) for address in row.rcpt_tos),
        ("subject", fields.subject),
        *(("from", sender) for sender in fields.senders),
        *(("to", recipient) for recipient in fields.recipients),
        ("date", fields.date),
        *(("received", f"{hop.sender} → {hop.receiver} {hop.date}") for hop in fields.received),
        *(("attachment", f"{file.name} {file.type} {size(file.size)}") for file in fields.attachments),
        *(("link", defang(url)) for url in fields.urls),
        ("defects", "; ".join(fields.defects)),
        *((stage, _notes(note)) for stage, note in plain(dict(record.notes)).items()),
    ]
    yield from ((Text(name, style="cyan"), str(value)) for name, value in facts if value)


def _notes(note: Any) -> str:
    return msgspec.json.encode(note).decode()


def _head(message: bytes) -> str:
    """The header of a message, its lines as they are."""
    return message[: header_end(message)].decode("utf-8", "surrogateescape")


def _print_lines(text: str) -> None:
    for line in text.splitlines():
        click.echo(printable(line.expandtabs()))


def _parts(record: Record) -> list[tuple[int, str, str, str, str]]:
    """Number, type, size, name and sha256 of every part, up to one that can't be read."""
    found: list[tuple[int, str, str, str, str]] = []
    trouble = ""
    try:
        with cpu_limit(_MAX_SECONDS):
            for number, part in enumerate(email.message_from_bytes(record.message).walk(), 1):
                if number > _MAX_PARTS:
                    break
                payload = part.get_payload(decode=True)
                data = payload if isinstance(payload, bytes) else b""
                digest = "" if part.is_multipart() else hashlib.sha256(data).hexdigest()
                kind = printable(part.get_content_type())
                found.append((number, kind, size(len(data)), _name(part), digest))
    except TooSlow:
        trouble = f"it takes more than {_MAX_SECONDS:g} s"
    except Exception as error:  # hostile mail makes the email package raise anything
        trouble = printable(str(error))
    if trouble:
        click.echo(f"spamtrap: the other parts can't be read: {trouble}", err=True)
    return found


def _name(part: Any) -> str:
    return printable(str(part.get_filename() or ""))
