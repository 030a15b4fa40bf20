"""An SMTP session in words: what was said, when, and what is odd about how it was said."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from trap.archive.terms import term
from trap.envelope import Envelope, plain, printable
from trap.units import age

_MOST = 20
"""Of a list (parameters, attempts, errors) this many are told."""
_LONGEST = 500
"""Characters of one fact."""

_PECULIARITIES = {
    "pregreet": "It talked before our banner, without waiting its turn.",
    "no_helo": "It gave no HELO or EHLO.",
    "bare_lf": "It ended lines with a bare LF instead of CR LF.",
    "bare_cr": "It said bare CRs within commands.",
    "bad_path": "It left out the angle brackets of an address, or put blanks behind the colon.",
    "eight_bit": "It said bytes beyond ASCII in commands.",
    "nul": "It said NUL bytes in commands.",
    "repeated": "It said MAIL again amid a transaction.",
    "after_data": "It sent commands in the same packet as the end of its message.",
    "tls_first": "It began TLS at once, without STARTTLS.",
}
"""What the sink notes as merely seen; see trap.session for the keys."""
_PIPELINING = {
    "offered": "It pipelined commands, as our greeting offered.",
    "unasked": "It pipelined commands where it had to wait for our answer.",
}
_AUTH_ERRORS = {
    "syntax": "broken off by bad syntax",
    "base64": "broken off by bad base64",
    "aborted": "aborted by the client",
    "long": "broken off by a line too long",
    "mechanism": "a mechanism we do not speak",
}


class Fact(NamedTuple):
    """One thing known of a session."""

    name: str
    value: str
    search: str = ""
    """A query that finds others of which the same is true."""


def facts(envelope: Envelope) -> list[Fact]:
    """Who talked to us and what was said, in the order in which it was; strings are fit for any output."""
    return [Fact(name, _short(value), search) for name, value, search in _facts(envelope) if value]


def _facts(envelope: Envelope) -> Iterator[tuple[str, str, str]]:
    ip, helo, sender = map(printable, (envelope.client_ip, envelope.helo or "", envelope.mail_from))
    port = f" port {envelope.client_port}" if envelope.client_port else ""
    yield "client", f"{ip}{port}", term("ip", ip) if ip else ""
    where = f"{envelope.server_ip} port {envelope.server_port}" if envelope.server_ip else ""
    yield "came in at", printable(" · ".join(filter(None, (envelope.listener, where)))), ""
    yield "protocol", printable(envelope.protocol), ""
    tls = " ".join(filter(None, (envelope.tls_version, envelope.tls_cipher)))
    yield "encryption", printable(tls) or "none", ""
    if envelope.helo is not None:
        yield printable(envelope.helo_verb) or "HELO", helo or "(nothing)", term("helo", helo) if helo else ""
    said = " ".join((f"<{sender}>", *map(printable, envelope.mail_params[:_MOST])))
    yield "MAIL FROM", said, term("from", sender or "<>")
    for rcpt in envelope.rcpts[:_MOST]:
        tag = f"  (tag {rcpt.tag})" if rcpt.tag else ""
        said = " ".join((f"<{printable(rcpt.address)}>", *map(printable, rcpt.params[:_MOST])))
        yield "RCPT TO", f"{said}{printable(tag)}", ""
    if len(envelope.rcpts) > _MOST:
        yield "RCPT TO", f"and {len(envelope.rcpts) - _MOST:,} more", ""
    yield "commands", f"{envelope.commands}, this message's included" if envelope.commands else "", ""
    yield "pace", _pace(envelope), ""
    for error in envelope.errors[:_MOST]:
        yield "we refused", printable(error), ""


def _pace(envelope: Envelope) -> str:
    """How long things took."""
    begun, first, end = envelope.connected_at, envelope.first_command_at, envelope.received_at
    spans = []
    if begun and first >= begun:
        spans.append(f"first command after {age(first - begun)}")
    if begun and end >= begun:
        spans.append(f"message complete after {age(end - begun)}")
    return ", ".join(spans)


def oddities(envelope: Envelope) -> list[str]:
    """What is odd about how the client spoke, its dialect, a sentence each."""
    said = plain(envelope.dialect)
    return [_short(sentence) for key, value in said.items() for sentence in _sentences(key, value)]


def _sentences(key: str, value: Any) -> Iterator[str]:
    if key in _PECULIARITIES:
        yield _PECULIARITIES[key]
    elif key == "pipelining":
        yield _PIPELINING.get(str(value), f"It pipelined commands: {value}.")
    elif key == "unknown_verbs":
        verbs = value if isinstance(value, list) else [value]
        yield f"It said what is no command: {', '.join(f'“{verb}”' for verb in verbs[:_MOST])}."
    elif key == "http":
        yield f"It took us for an open proxy and asked: “{value}”."
    elif key == "proxy":
        yield f"It came through the load balancer {value}."
    elif key == "auth" and isinstance(value, list):
        yield from (_attempt(attempt) for attempt in value[:_MOST] if isinstance(attempt, dict))
    else:  # a later version's
        yield f"{key}: {value}"


def _attempt(attempt: dict[str, Any]) -> str:
    """One attempt to log in; the password is known by its hash only."""
    said = f"It tried to log in with {attempt.get('mechanism') or 'no mechanism'}"
    if attempt.get("user"):
        said += f" as “{attempt['user']}”"
    if attempt.get("authorize"):
        said += f", on behalf of “{attempt['authorize']}”"
    if "password" in attempt:
        known = attempt["password"]
        said += (
            f", password {str(known)[:12]}… (its hash: equal ones are equal)" if known else ", no password"
        )
    error = attempt.get("error")
    return f"{said}; {_AUTH_ERRORS.get(error, error)}." if error else f"{said}."


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"
