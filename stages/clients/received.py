"""What a server that takes a message in writes above it: for scanners that know a session by its header only.

SpamAssassin believes the first Received field, since the reader's own server writes that one. A trap writes
none: it keeps what came. Shown as it is, mail would be judged by a field that the spammer wrote; he can name
a client that is on no list, or say that he has logged in. So the scanner is shown what a mail server
would have written; the message itself stays as it is.

Not told are recipients, which would burn traps, and who took it in.
"""

import ipaddress
import re
from collections.abc import Collection
from email.utils import formatdate

from trap.job import Job

_NO_NAMES = "CommuniGate Pro SMTP"
"""A server that never looks for clients' names. That a name is missing is a sign of spam to SpamAssassin
(RDNS_NONE), unless it is this one that wrote the field."""
_NAME = re.compile(r"[\w.\[\]:-]{1,255}", re.ASCII)
_SENDER = re.compile(r"[^\s<>()\"\\,;:]{1,320}")
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")


def received(job: Job, tell: Collection[str]) -> bytes:
    """The fields to be put above a message; nothing, where too little is known.

    Args:
        job: the message; a stage `dns` before this one may have noted the client's name.
        tell: what of the session is told, of "ip", "helo" and "from".
    """
    envelope = job.envelope
    if "ip" not in tell or not _FIELD.match(job.message):
        return b""  # a first line that is no field would become part of ours, or end the header
    try:
        client = ipaddress.ip_address(envelope.client_ip)
    except ValueError:  # not by SMTP: whoever put it in has written his field already
        return b""
    helo = envelope.helo or "" if "helo" in tell else ""
    helo = helo if _NAME.fullmatch(helo) else "unknown"
    address = f"IPv6:{client}" if client.version == 6 else str(client)
    sender = envelope.mail_from if "from" in tell else ""
    sender = sender if _SENDER.fullmatch(sender) and sender.isprintable() else ""
    verb = "SMTP" if envelope.helo_verb.upper() == "HELO" else "ESMTP"
    said = f" (envelope-from {sender})" if sender else ""
    name = _client_name(job)
    program = _NO_NAMES if name is None else "spamtrap"
    lines = [
        f"Received: from {helo} ({name or 'unknown'} [{address}])",
        f"\tby trap.invalid ({program}) with {verb} id {job.id}{said};",
        f"\t{formatdate(job.received_at)}",
    ]
    if "from" in tell and not envelope.mail_from:
        lines.insert(0, "Return-Path: <>")
    end = "\r\n" if b"\r\n" in job.message[:1000] else "\n"
    return "".join(line + end for line in lines).encode()


def _client_name(job: Job) -> str | None:
    """The client's name as DNS confirms it; "" when it has none, None when nobody has looked."""
    noted = job.notes.get("dns")
    if not isinstance(noted, dict) or "ptr_confirmed" not in noted:
        return None
    name = noted.get("ptr") if noted["ptr_confirmed"] else ""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else ""
