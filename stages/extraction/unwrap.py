"""Takes the sample out of a mail in which a donor forwarded it, to the byte.

Forwarded means: attached as message/rfc822, as a file NAME.eml, in a digest or in an abuse report
(RFC 5965), encoded or not; or redirected, the same message with more header fields on top. The sample
is cut out of the message's own bytes.

* One message attached: it is the sample.
* Several: a job is one message, so the mail stays whole; what is in it is listed.
* None, but traces of redirection: they are taken out of the header.
* Nothing of that, or the donor wrote it: the mail stays as it is.

Who sends mail to a donor may attach what looks like a sample, with Received lines that blame somebody. So
what is attached tells of a session only when the donor's own lines say that the donor wrote the mail, or
its setting does.

In every case the donor's session goes into the note, and out of the envelope: whoever looks for the
spammer there must not find the donor. What is known of the spammer's own session is what the donor's
servers wrote.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from stages.extraction.donors import STRIPPED, Donor, Hop, composed, hop, journey, like
from stages.extraction.entity import Entity, leaves, whole
from trap.envelope import Envelope, Rcpt, printable
from trap.job import Headers, Job, header_end
from trap.stage import Sample

MAX_LISTED = 50
"""Messages attached to one that are listed."""

_ADDRESS = re.compile(r"<?([^\s<>,;]{1,255}@[^\s<>,;]{1,255})>?")
_SRS = re.compile(r"SRS0[=+-][^=]{1,20}=[^=]{1,10}=([^=@]{1,255})=([^@]{1,64})@", re.IGNORECASE)
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")
_MESSAGES = frozenset(("message/rfc822", "message/global", "message/rfc-822"))
_FILES = frozenset(
    ("application/octet-stream", "text/plain", "application/eml", "message/eml", "application/x-eml")
)
_TYPICAL = frozenset(("from", "to", "subject", "date", "received", "message-id", "return-path"))
_CONTENTS = (
    *("from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to"),
    *("references", "mime-version", "content-*"),
)
"""What no server puts on top of a message."""
_RECIPIENTS = ("x-original-to", "delivered-to", "envelope-to", "x-delivered-to")


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A sample, and the note on who sent it."""

    sample: Sample
    note: dict[str, Any]


def unwrap(job: Job, donor: Donor) -> Unwrapped:
    """Take the sample out of a mail of a donor's. Never raises, whatever the bytes."""
    envelope, message = job.envelope, job.message
    note = {
        "name": donor.name,
        "client_ip": printable(envelope.client_ip),
        "helo": printable(envelope.helo or ""),
        "mail_from": printable(envelope.mail_from),
        "rcpts": [printable(address) for address in envelope.rcpt_tos],
        "sha256": hashlib.sha256(message).hexdigest(),
        "size": len(message),
        "how": "whole",
    }
    if donor.way == "redirected":
        return _redirected(job, donor, note)
    own = donor.way == "attached" or composed(donor, Headers(message).get_all("received"))
    report: dict[str, str] = {}
    for _ in range(donor.depth):
        inner = attached(message)
        if len(inner) > 1:
            note |= {"how": "several", "samples": [_listed(each) for each in inner[:MAX_LISTED]]}
        if len(inner) != 1:
            break
        report = report or _feedback(message)
        message = inner[0]
        note["how"] = "attached"
    if note["how"] == "whole" and not own and not donor.way:
        return _redirected(job, donor, note)
    origin: dict[str, str] = {}
    if note["how"] == "attached":
        origin = report | _origin(donor, message) if own else {}
        message = message if donor.strip is None else without(message, donor)
    return Unwrapped(Sample(message, _session(envelope, origin)), note)


def _redirected(job: Job, donor: Donor, note: dict[str, Any]) -> Unwrapped:
    """A message that came to the donor from outside, without what forwarding added."""
    origin = _origin(donor, job.message)
    message = without(job.message, donor)
    if message != job.message:
        note["how"] = "redirected"
        origin.setdefault("mail_from", _sender(job.envelope, donor))
    return Unwrapped(Sample(message, _session(job.envelope, origin)), note)


def attached(message: bytes) -> list[bytes]:
    """The distinct messages that are attached to one; none of a bounce, whose message was returned."""
    top = whole(message)
    if top.type == "multipart/report" and "feedback-report" not in top.parameters.lower():
        return []
    parts = [leaf for leaf in leaves(message, into_messages=False) if _is_message(leaf)]
    return list(dict.fromkeys(part.data for part in parts if part.data.strip()))


def _is_message(leaf: Entity) -> bool:
    if leaf.type in _MESSAGES:
        return True
    if leaf.type not in _FILES or not leaf.name.lower().endswith(".eml"):
        return False
    return len(_TYPICAL.intersection(Headers(leaf.data).names())) > 1


def _listed(message: bytes) -> dict[str, Any]:
    subject = Headers(message).get("subject") or ""
    return {
        "sha256": hashlib.sha256(message).hexdigest(),
        "size": len(message),
        "subject": printable(subject[:200]),
    }


def without(message: bytes, donor: Donor) -> bytes:
    """A message without the header fields that forwarding added.

    Those are: the donor's Received lines and what is above the last of them, but for what makes the
    message; and everywhere the fields that `strip` names.
    """
    end = header_end(message)
    fields = list(_FIELD.finditer(message, 0, end))
    lines = [_value(message, field) for field in fields if field[1].lower() == b"received"]
    left, _ = journey(donor, lines)
    patterns = STRIPPED if donor.strip is None else tuple(donor.strip)
    kept, at = [], 0
    for field in fields:
        name = field[1].decode("ascii").lower()
        on_top = left > 0 and not like(name, _CONTENTS)
        if name == "received" and left > 0:
            left -= 1
        if on_top or like(name, patterns):
            kept.append(message[at : field.start()])
            at = field.end()
    return b"".join(kept) + message[at:]


def _value(message: bytes, field: re.Match[bytes]) -> str:
    return message[field.end(1) : field.end()].partition(b":")[2].decode("utf-8", "surrogateescape")


def _origin(donor: Donor, message: bytes) -> dict[str, str]:
    """What the donor's servers wrote about the session in which they got the message."""
    header = message[: header_end(message)]
    fields = list(_FIELD.finditer(header))
    received = [at for at, field in enumerate(fields) if field[1].lower() == b"received"]
    count, entry = journey(donor, [_value(header, fields[at]) for at in received])
    if not count:
        return {}
    found = _of(entry) if entry else {}
    for field in fields[: received[count - 1]]:
        name = field[1].decode("ascii").lower()
        address = _ADDRESS.search(_value(header, field)[:1000])
        if name == "return-path" and address:
            found.setdefault("mail_from", address[1])
        elif name in _RECIPIENTS and address:
            found.setdefault("rcpt", address[1])
    return found


def _of(entry: Hop) -> dict[str, str]:
    said = {"client_ip": entry.ip, "helo": entry.helo, "rcpt": entry.recipient}
    return {key: value for key, value in said.items() if value}


def _feedback(message: bytes) -> dict[str, str]:
    """What an abuse report says of the message that it is about (RFC 5965, section 3.2)."""
    for leaf in leaves(message, into_messages=False):
        if leaf.type == "message/feedback-report":
            said = Headers(leaf.data.lstrip() + b"\n\n")
            ip = hop(f"from x [{(said.get('source-ip') or '').strip('[] ')}] by x").ip
            sender = _ADDRESS.search((said.get("original-mail-from") or "")[:1000])
            found = {"client_ip": ip, "mail_from": sender[1] if sender else ""}
            return {key: value for key, value in found.items() if value}
    return {}


def _sender(envelope: Envelope, donor: Donor) -> str:
    """The sender before the message was redirected, if it was kept, or rewritten so that it can be told."""
    rewritten = _SRS.match(envelope.mail_from)
    if rewritten:
        return f"{rewritten[2]}@{rewritten[1]}"
    sender, _, domain = envelope.mail_from.rpartition("@")
    ours = any(address.rpartition("@")[2].lower() in sender.lower() for address in envelope.rcpt_tos)
    theirs = ours or donor.owns(domain) or like(envelope.mail_from, donor.from_)
    return envelope.mail_from if (donor.from_ or donor.trusted) and not theirs else ""


def _session(donors: Envelope, origin: dict[str, str]) -> Envelope:
    """The spammer's session as far as it is known, and when and where it came to us."""
    tag = next((rcpt.tag for rcpt in donors.rcpts if rcpt.tag), "")
    known = origin.get("rcpt")
    return Envelope(
        protocol=donors.protocol,
        listener=donors.listener,
        client_ip=origin.get("client_ip", ""),
        helo=origin.get("helo"),
        mail_from=origin.get("mail_from", ""),
        rcpts=[Rcpt(address=known, tag=tag)] if known else donors.rcpts,
        received_at=donors.received_at,
    )
