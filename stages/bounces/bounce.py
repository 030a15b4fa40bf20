"""Recognises the mail that machines send in answer to mail: bounces, auto-replies, reports, receipts.

`recognise` reads a message in three steps, each only as far as the one before leaves doubt: header
fields; the fields and phrases of a bounded part of the body; and flufl.bounce's detectors for what
still lies between. The evidence and its points stand in stages/bounces/evidence.py.
"""

import email
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from flufl.bounce import all_failures

from stages.bounces.evidence import (
    CLAIMS,
    DETECTED,
    FAMILY,
    FREE,
    HEADER_RULES,
    LURE,
    MARKERS,
    NULL_SENDER,
    PROOF_RULES,
    PROOFS,
    RETURNED,
    SLIGHT,
    TEXT_RULES,
    THRESHOLD,
    UNNAMED,
    Kind,
    Rule,
)
from stages.bounces.text import body_text, decoded_words
from trap.envelope import printable
from trap.job import Headers, Job

MAX_VALUE = 512
"""Characters of a header field that are looked at."""
MAX_PEEK = 8 << 10
"""Bytes of the body searched for markers when the header says nothing."""
MAX_BODY = 64 << 10
"""Bytes of the body searched for machine-readable fields."""
MAX_NOTICE = 8 << 10
"""Characters of the notice, which stands before the returned message, searched for phrases."""
MAX_DETECT = 32 << 10
"""Bytes given to flufl.bounce."""
MAX_LINE = 998
"""Bytes of a line given to flufl.bounce (RFC 5322 section 2.1.1): its patterns are quadratic in them."""
MAX_RECIPIENTS = 10
FULL_REPORT = 2 * THRESHOLD
"""A report that proves as much by its fields alone is not read for phrases as well."""

# It logs a traceback for each hostile header its detectors stumble over; the mail is at fault, not the trap.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)

_RECIPIENT = re.compile(
    r"\n[> \t]*(?:(?:final|original)-recipient:[ \t]*rfc822[ \t]*;|x-failed-recipients:)"
    r"[ \t]*<?([^\s<>;,@]{1,64}@[^\s<>;,]{1,255})"
)
_HEADER_RULES: dict[str, list[Rule]] = defaultdict(list)
for _each in HEADER_RULES:
    _HEADER_RULES[_each.where].append(_each)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the evidence adds up to: `kind` is None when the message is no machine's answer."""

    kind: Kind | None
    score: int
    evidence: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    """Addresses the report says it speaks of, in lower case, at most MAX_RECIPIENTS."""


NOTHING = Finding(None, 0)


def recognise(job: Job) -> Finding:
    """Weigh the evidence that `job` is a machine's answer to a mail. Never raises, whatever the bytes."""
    headers, message = _readable(job)
    hits = list(_header_hits(headers))
    start = _body_start(message)
    if all(rule.points <= SLIGHT for rule in hits):
        peek = message[start : start + MAX_PEEK].lower()
        if not any(marker in peek for marker in MARKERS):
            return NOTHING
    if job.envelope.mail_from == "" or (headers.get("return-path") or "").strip() == "<>":
        hits.append(NULL_SENDER)
    body = body_text(message[start : start + MAX_BODY], headers.get("content-transfer-encoding") or "")
    finding = _judge_body(hits, body)
    if 0 < THRESHOLD - finding.score <= DETECTED.points and _detected(message):
        finding = _weigh([*hits, DETECTED])
    if finding.kind is None:
        return finding
    return Finding(finding.kind, finding.score, finding.evidence, _recipients(headers, body))


def _readable(job: Job) -> tuple[Headers, bytes]:
    """The header fields and the message, also of one with CR line ends or blank lines in front."""
    message = job.message
    if b"\n" in message[:4096] and not message[:1].isspace():
        return job.headers, message
    message = message[: 2 * MAX_BODY].lstrip()
    if b"\n" not in message[:4096]:
        message = message.replace(b"\r", b"\n")
    return Headers(message), message


def _body_start(message: bytes) -> int:
    """Where the body begins: after the first empty line, or 0 when there is none."""
    full = message.find(b"\n\r\n")  # first, as lines end with CRLF nearly always: the other is then soon done
    bare = message.find(b"\n\n", 0, full if full >= 0 else len(message))
    return bare + 2 if bare >= 0 else full + 3 if full >= 0 else 0


def _header_hits(headers: Headers) -> Iterator[Rule]:
    for name, rules in _HEADER_RULES.items():
        if (value := headers.get(name)) is not None:
            text = decoded_words(value[:MAX_VALUE]).lower()
            yield from (rule for rule in rules if rule.pattern.search(text))


def _judge_body(hits: list[Rule], body: str) -> Finding:
    """Add to `hits` what the body says, and weigh them all."""
    returned = RETURNED.search(body)
    notice = body[: returned.start() if returned else MAX_NOTICE][:MAX_NOTICE]
    texts = {"body": body, "notice": " ".join(notice.replace("=\n", "").split())}
    hits += _found(PROOF_RULES, texts)
    finding = _weigh(hits)
    if finding.score >= FULL_REPORT and any(rule.source == "machine" for rule in hits):
        return finding
    hits += _found(TEXT_RULES, texts)
    return _weigh(hits)


def _found(rules: Iterable[Rule], texts: dict[str, str]) -> list[Rule]:
    return [rule for rule in rules if rule.pattern.search(texts[rule.where])]


def _weigh(hits: Sequence[Rule]) -> Finding:
    """Name the kind that most points speak for, and add up what its family's sources give at best."""
    spoken: dict[Kind, dict[str, int]] = defaultdict(dict)
    for rule in hits:
        if rule.kind is not None:
            sources = spoken[rule.kind]
            sources[rule.source] = max(sources.get(rule.source, 0), rule.points)
    kind = _kind(spoken)
    best: dict[str, int] = {}
    for rule in hits:
        if rule.kind is None or FAMILY[rule.kind] == FAMILY[kind]:
            best[rule.source] = max(best.get(rule.source, 0), rule.points, key=abs)
    doubt = best.pop("doubt", 0)
    if any(proof <= best.keys() for proof in PROOFS[FAMILY[kind]]):
        doubt = 0
    score = sum(best.values()) + doubt
    if best.keys() <= (CLAIMS if doubt <= LURE else FREE):
        score = min(score, THRESHOLD - 1)
    return Finding(kind if score >= THRESHOLD else None, score, tuple(rule.name for rule in hits))


def _kind(spoken: dict[Kind, dict[str, int]]) -> Kind:
    """The kind with most points; what else would be a bounce but says it only is late is a notice."""
    kind = max(spoken, key=lambda each: sum(spoken[each].values()), default=UNNAMED)
    if kind == "bounce" and "verdict" not in spoken[kind] and "delivery-notice" in spoken:
        late = spoken["delivery-notice"].keys() & {"subject", "declared", "machine"}
        return "delivery-notice" if late else kind
    return kind


def _detected(message: bytes) -> bool:
    """Whether a detector of flufl.bounce finds a failed recipient."""
    lines = message[:MAX_DETECT].splitlines(keepends=True)
    short = b"".join(line if len(line) <= MAX_LINE else line[:MAX_LINE] + b"\n" for line in lines)
    try:
        return any(all_failures(email.message_from_bytes(short)))
    except Exception:  # hostile headers make detectors raise errors of any kind: that is no detection
        return False


def _recipients(headers: Headers, body: str) -> tuple[str, ...]:
    failed = (headers.get("x-failed-recipients") or "")[:MAX_VALUE].lower()
    fields = f"\nx-failed-recipients:{failed}{body}"
    found = dict.fromkeys(printable(match[1]) for match in _RECIPIENT.finditer(fields))
    return tuple(found)[:MAX_RECIPIENTS]
