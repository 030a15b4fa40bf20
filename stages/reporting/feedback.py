"""A report in the Abuse Reporting Format: multipart/report; report-type=feedback-report (RFC 5965).

Three parts: words for people, fields for programs, and the message. What names the recipient is redacted
(RFC 6590), and said to be; Original-Rcpt-To and Reporting-MTA would name the trap and are never there.
"""

from collections.abc import Iterator
from email.utils import format_datetime
from itertools import islice
from typing import TYPE_CHECKING, Literal

from stages.reporting.facts import Facts
from stages.reporting.mail import Part, Writer, letter
from trap.envelope import printable
from trap.reports import Refused

if TYPE_CHECKING:
    from stages.reporting.case import Case

AGENT = "spamtrap/1"
"""User-Agent: who made the report, and the version of what it says."""
KIND = "multipart/report; report-type=feedback-report"
MAX_SIGNATURES = 10
"""Broken signatures that are named."""

Attach = Literal["message", "header"]


def feedback_report(
    case: "Case", to: str, writer: Writer, *, attach: Attach, max_size: int, precision: float
) -> bytes:
    """The whole mail.

    Args:
        case: what it is about.
        to: who gets it.
        writer: who writes it.
        attach: whether the message goes with it, or its header only.
        max_size: bytes of a message; of a larger one the header only.
        precision: seconds to which times are told.

    Raises:
        Refused: where the message came from is not known, or is none of the Internet's.
    """
    facts = Facts(case, precision)
    if facts.client is None:
        raise Refused("its client is not known, or is no host in the Internet")
    whole = attach == "message" and len(case.message) <= max_size
    sample = Part.message(case.message) if whole else Part.header(case.message, max_size)
    return letter(
        writer=writer,
        to=to,
        # RFC 5965, 2: the subject of the message, so that both are found together.
        subject=f"FW: {facts.subject}",
        name=case.id,
        kind=KIND,
        parts=[
            Part.text(words(case, facts, writer, sample=f"{'message' if whole else 'header'} below")),
            machine_part(fields(case, facts, writer)),
            sample,
        ],
    )


def machine_part(lines: list[str]) -> Part:
    """The part for programs.

    Args:
        lines: its fields, in ASCII.
    """
    body = "".join(f"{line}\r\n" for line in lines).encode("ascii", "backslashreplace")
    return Part(("Content-Type: message/feedback-report", "Content-Disposition: inline"), body)


def fields(case: "Case", facts: Facts, writer: Writer) -> list[str]:
    """The fields of message/feedback-report."""
    known = [
        ("Feedback-Type", facts.kind),
        ("User-Agent", AGENT),
        ("Version", "1"),
        ("Original-Mail-From", _path(case.envelope.mail_from)),
        ("Arrival-Date", format_datetime(facts.received)),
        ("Source-IP", str(facts.client)),
        ("Source-Port", str(facts.port or "")),  # RFC 6692
        ("Incidents", str(case.weight)),
        # Folded (RFC 5322, 2.2.3): names that a sender chose may be long.
        ("Authentication-Results", facts.authentication(writer.domain).replace("; ", ";\r\n ")),
        *(("Reported-Domain", name) for name in facts.domains),
        *(("Reported-URI", url) for url in facts.urls),
    ]
    return [f"{name}: {value}" for name, value in known if value]


def words(case: "Case", facts: Facts, writer: Writer, *, sample: str) -> str:
    """What people read.

    Args:
        case: what it is about.
        facts: of it.
        writer: who asks to be answered.
        sample: what goes with it, in a few words: "message below", say.
    """
    return "\n".join(_words(case, facts, writer, sample)) + "\n"


def _words(case: "Case", facts: Facts, writer: Writer, sample: str) -> Iterator[str]:
    what = {"virus": "Mail with a virus", "fraud": "Fraudulent mail", "abuse": "Unsolicited mail"}
    yield f"{what[facts.kind]} came from a host that you answer for. This report was written by a program."
    yield ""
    yield f"Source:   {facts.client}" + (f", port {facts.port}" if facts.port else "")
    if facts.client_name:
        yield f"Name:     {facts.client_name}"
    yield f"Received: {facts.stamp(facts.received)}, by our clock"
    if case.weight > 1:
        yield f"Copies:   {case.weight}, between {facts.stamp(facts.first)} and {facts.stamp(facts.last)}"
    yield f"Sender:   {_path(case.envelope.mail_from) or 'not in ASCII'}"
    yield f"Subject:  {facts.subject[:200]}"
    if facts.signature:
        yield f"Virus:    {facts.signature}"
    yield ""
    yield "It was sent to addresses that have not asked for mail."
    yield ""
    yield f"The {sample} is redacted: what tells who received it, such as addresses, names"
    yield "of hosts, and codes in links, is replaced by as many other characters, here as well as there."
    if case.signatures:
        yield ""
        yield "Therefore these signatures in it no longer verify, though they may have done so before:"
        yield from (f"  {printable(each)[:200]}" for each in islice(case.signatures, MAX_SIGNATURES))
    else:
        yield "A signature over it, if there is one, no longer verifies."
    yield ""
    yield f"Please write to {writer.address} if there are questions, or if these reports are not for you."


def _path(mail_from: str) -> str:
    """The envelope's sender as a path (RFC 5321); "" when a line of ASCII can't hold it."""
    fit = mail_from.isascii() and mail_from.isprintable() and len(mail_from) <= 320
    return f"<{mail_from}>" if fit else ""
