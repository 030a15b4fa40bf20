"""A mail to SpamCop: spam in message/rfc822 attachments, as its parser wants to have it.

SpamCop finds the source in the Received fields, and a trap writes none; so one is put on top, as a mail
server would have written it, but for a host that tells nothing of the trap. Messages are cut to the size
that SpamCop reads.
"""

import re
from email.utils import format_datetime
from typing import TYPE_CHECKING

from stages.reporting.facts import MINUTE, Facts
from stages.reporting.mail import Part, Writer, letter
from trap.reports import Refused

if TYPE_CHECKING:
    from stages.reporting.case import Case

MAX_SIZE = 50_000
"""Bytes of a message that SpamCop reads; the rest is left out."""
MAX_AGE = 2 * 86_400.0
"""Seconds after which it takes no message."""
_HELO = re.compile(r"[\w.\[\]:-]{1,255}", re.ASCII)
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")


def attachment(case: "Case", now: float, by: str) -> Part:
    """A message as it is submitted.

    Args:
        case: what it is about.
        now: the time, in seconds since the epoch.
        by: host that is said to have received it.

    Raises:
        Refused: SpamCop would not take it; as text, why.
    """
    facts = Facts(case, MINUTE)  # SpamCop passes the header on to the spammer's provider
    if facts.client is None:
        raise Refused("its client is not known, or is no host in the Internet")
    if now - case.first > MAX_AGE:
        raise Refused("older than two days, which SpamCop does not take")
    if not _FIELD.match(case.message):
        raise Refused("without a header, of which SpamCop makes nothing")
    field = _received(case, facts, by)
    return Part.message(field + _cut(case.message, MAX_SIZE - len(field)), name=f"{case.id}.eml")


def submission(writer: Writer, to: str, name: str, parts: list[Part]) -> bytes:
    """The whole mail.

    Args:
        writer: who submits.
        to: the address that SpamCop gave him.
        name: of this mail and no other.
        parts: what is submitted.
    """
    count = f"{len(parts)} messages" if len(parts) > 1 else "A message"
    words = f"{count} to addresses that have not asked for mail; what names these is redacted.\n"
    return letter(
        writer=writer,
        to=to,
        subject="Spam reports",
        name=name,
        kind="multipart/mixed",
        parts=[Part.text(words), *parts],
    )


def _received(case: "Case", facts: Facts, by: str) -> bytes:
    envelope, client = case.envelope, facts.client
    helo = envelope.helo or ""
    helo = helo if facts.port and _HELO.fullmatch(helo) else "unknown"
    address = f"IPv6:{client}" if client and client.version == 6 else str(client)
    verb = "SMTP" if envelope.helo_verb.upper() == "HELO" else "ESMTP"
    return (
        f"Received: from {helo} ({facts.client_name or 'unknown'} [{address}])\r\n"
        f"\tby {by} with {verb} id {case.id};\r\n"
        f"\t{format_datetime(facts.received)}\r\n"
    ).encode()


def _cut(message: bytes, most: int) -> bytes:
    """As much of a message as fits, to the end of a line if there is one near."""
    if len(message) <= most:
        return message
    end = message.rfind(b"\n", most - 1000, most)
    return message[: end + 1] if end >= 0 else message[:most]
