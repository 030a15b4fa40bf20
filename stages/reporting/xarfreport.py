"""A report in the Extended Abuse Reporting Format, XARF 4: JSON, and the mail that carries it (xarf.org).

Category messaging, type spam: its fields are those of the schemas xarf-core and messaging-spam, 4.2.0. Never
there are smtp_to, which would name the trap, and `confidence`, which nobody here has measured.

By mail it is a feedback report (RFC 5965) of the type "xarf", with the JSON in the place of the message.
"""

import base64
import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from stages.reporting.facts import Facts
from stages.reporting.feedback import AGENT, KIND, machine_part, words
from stages.reporting.mail import Part, Writer, letter, mailbox
from trap.job import header_end
from trap.reports import Refused

if TYPE_CHECKING:
    from stages.reporting.case import Case

VERSION = "4.2.0"
FILE = "xarf.json"
MAX_EVIDENCE = 5 << 20
"""Bytes of one piece of evidence, before it is encoded."""
_LINE = 76


def xarf_mail(case: "Case", to: str, writer: Writer, *, max_size: int, precision: float) -> bytes:
    """The whole mail.

    Args:
        case: what it is about.
        to: who gets it.
        writer: who writes it.
        max_size: bytes of a message; of a larger one the header only is the evidence.
        precision: seconds to which times are told.

    Raises:
        Refused: XARF can't tell of it; as text, why.
    """
    facts = Facts(case, precision)
    report = xarf_report(case, facts, writer, max_size)
    return letter(
        writer=writer,
        to=to,
        subject=f"Abuse report: spam from {facts.client}",
        name=case.id,
        kind=KIND,
        parts=[
            Part.text(words(case, facts, writer, sample=f"message in {FILE}")),
            machine_part(["Feedback-Type: xarf", f"User-Agent: {AGENT}", "Version: 1"]),
            _json_part(report),
        ],
    )


def xarf_report(case: "Case", facts: Facts, writer: Writer, max_size: int) -> dict[str, Any]:
    """The report itself.

    Args:
        case: what it is about.
        facts: of it.
        writer: who says so.
        max_size: as above.

    Raises:
        Refused: the client, its port or the envelope's sender is not known; XARF does not go without.
    """
    sender = mailbox(case.envelope.mail_from)
    if facts.client is None or not facts.port or not sender:
        raise Refused("XARF asks for a client in the Internet, its port, and a sender that is an address")
    us = {"org": writer.name, "contact": writer.address, "domain": writer.domain}
    report = {
        "xarf_version": VERSION,
        "report_id": str(_uuid(case.id)),
        "timestamp": f"{facts.received:%Y-%m-%dT%H:%M:%SZ}",
        "reporter": us,
        "sender": us,
        "source_identifier": str(facts.client),
        "source_port": facts.port,
        "category": "messaging",
        "type": "spam",
        "protocol": "smtp",
        "smtp_from": sender,
        "subject": facts.subject[:500],
        "message_id": facts.message_id,
        "evidence_source": "spamtrap",
        "evidence": [_evidence(case.message, max_size)],
        "spam_indicators": _indicators(case, facts),
        "description": _description(case, facts),
    }
    return {name: value for name, value in report.items() if value}


def is_tellable(mail_from: str, port: int) -> bool:
    """Whether XARF has room for what is known of a session."""
    return bool(mailbox(mail_from)) and port > 0


def _evidence(message: bytes, max_size: int) -> dict[str, Any]:
    whole = len(message) <= min(max_size, MAX_EVIDENCE)
    shown = message if whole else message[: min(header_end(message), MAX_EVIDENCE)]
    return {
        "content_type": "message/rfc822" if whole else "text/rfc822-headers",
        "description": f"The {'message' if whole else 'header'}, redacted; its signatures are broken",
        "payload": base64.b64encode(shown).decode(),
        "hash": f"sha256:{hashlib.sha256(shown).hexdigest()}",
        "size": len(shown),
    }


def _indicators(case: "Case", facts: Facts) -> dict[str, Any]:
    found: dict[str, Any] = {"suspicious_links": facts.urls} if facts.urls else {}
    return found | ({"bulk_characteristics": True} if case.weight > 1 else {})


def _description(case: "Case", facts: Facts) -> str:
    kind = {"virus": "Mail with a virus", "fraud": "Fraudulent mail", "abuse": "Unsolicited mail"}[facts.kind]
    span = f"{facts.first:%Y-%m-%dT%H:%M:%SZ} to {facts.last:%Y-%m-%dT%H:%M:%SZ}"
    return f"{kind} to spamtraps, copies: {case.weight}, {span}. Redacted (RFC 6590)."


def _uuid(name: str) -> uuid.UUID:
    """A UUID in the form of version 4 that a report always gets again."""
    return uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4)


def _json_part(report: dict[str, Any]) -> Part:
    text = base64.b64encode(msgspec.json.format(msgspec.json.encode(report), indent=2)).decode()
    body = "".join(f"{text[at : at + _LINE]}\r\n" for at in range(0, len(text), _LINE))
    return Part(
        (
            f"Content-Type: application/json; name={FILE}",
            f"Content-Disposition: attachment; filename={FILE}",
            "Content-Transfer-Encoding: base64",
        ),
        body.encode(),
    )
