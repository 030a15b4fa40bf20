"""The facts of a message that may leave the trap, and why they tell nobody which mailbox is one.

Who reads the feed may be the spammer. He knows what he sent, when, from where and to whom; one
fact that differs from recipient to recipient is enough to find the trap among them. So each field
of a `Fact` is one of five things:

* a number in coarse classes. The time is that of the hour, or of the period when that is shorter;
  a size keeps its two leading bits: the length of a name must not show; a count of parts or links
  is one of five.
* a keyed hash (HMAC-SHA256): the id, the campaign and the subject can be compared with each other,
  but not guessed without the key. That matters for the campaign too: dedup's id is a plain hash
  of the first copy's words, a greeting by name among them. Job ids hold the time in µs.
* a network: /24 or /48 of the client. The address itself is the spammer's, the block is enough.
* a word of a short list, or "other": charset, language, TLS version, kind of HELO. All that is
  rare is "other"; the country is the end of the sender's domain.
* a registrable domain, of MAIL FROM and HELO. What stands in front of it is left out, since that
  is where a token for each recipient costs nothing; and a domain that has anything in common with a
  recipient (its address, local part or domain, straight, reversed, hexadecimal, base64, rot13 or
  hashed) or with a name its operator protects is replaced by the word "own".

Recipients themselves never leave, nor does text of the message, nor what is derived from them.
What remains open: a spammer who registers a domain or rents a network for each recipient sees it
in the feed. He would pay for every address he wants to try. And charset, language, size and counts
remain a channel, if a narrow one: a line can differ from others in some hundred thousand ways at the
very most, in some hundreds among ordinary mail. Who writes a message of its own for every few
recipients, in odd languages and sizes, can still read from the feed which of these messages met a
trap. That is acceptable as no token of free length fits in, no field tells which lines came to the
same recipient, and it takes mail that looks like no campaign, whose networks and texts the trap then
has. It is a reason to give the feed only to those one trusts, and others the summaries.
"""

import re
from bisect import bisect
from encodings.aliases import aliases

import msgspec

from stages.reports.guard import Guard, network
from stages.shared import plaintext
from trap.envelope import Envelope
from trap.job import Job

CLASSES = (0, 1, 2, 6, 21)
"""Counts of links and parts are told as the largest of these that they reach."""
# fmt: off
CHARSETS = frozenset((
    "ascii", "big5", "cp1251", "cp1252", "euc-kr", "gb2312", "iso2022-jp", "iso8859-2", "koi8-r", "latin-1",
    "shift-jis", "utf-8",
))
"""Those that are told, by Python's names; another one is "other"."""
LANGUAGES = frozenset(("de", "en", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "tr", "zh"))
"""Those that are told (ISO 639-1); another one is "other"."""
# fmt: on

_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w.:+-]{1,40})", re.IGNORECASE)
_CODECS = {name: name for name in aliases.values()} | aliases
_LANGUAGE = re.compile(r"\s*([a-z]{2})(?![a-z0-9])", re.IGNORECASE)
_HOST = re.compile(r"https?://(?:[^\s/@\"'<>]{0,200}@)?([^\s/@:?#\"'<>]{1,253})")
_TLS = re.compile(r"(?:TLS|SSL)v\d(?:\.\d)?")
_CHARSET_WITHIN = 1 << 14


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the feed. Empty fields are left out."""

    id: str
    """The job; a line that comes twice after a crash has the same."""
    time: str
    """Hour (or shorter period) in which it was reported."""
    campaign: str = ""
    copies: int = 0
    """Messages of the campaign so far, by dedup."""
    size: int = 0
    net: str = ""
    helo: str = ""
    """A domain, or: own, address, word, none."""
    sender: str = ""
    """Domain of MAIL FROM, or: own, null, other."""
    country: str = ""
    """Of the sender's domain."""
    charset: str = ""
    language: str = ""
    subject: str = ""
    parts: int = 0
    """Parts that are not text: one of CLASSES."""
    links: int = 0
    """Different hosts that links lead to: one of CLASSES."""
    tls: str = ""


def gather(job: Job, guard: Guard, time: str) -> Fact:
    """The facts of one job. Never raises, whatever the message; the work is bounded.

    Args:
        job: the message with its envelope and notes.
        guard: decides what is told.
        time: of the report, already coarse.
    """
    envelope, message = job.envelope, job.message
    readable = plaintext.read(message)
    seen = job.notes.get("dedup", {})
    campaign, copies = seen.get("campaign"), seen.get("count")
    sender = _sender(envelope, guard)
    subject = job.headers.get("subject")
    return Fact(
        id=guard.hash("job", job.id),
        time=time,
        campaign=guard.campaign(str(campaign)) if campaign else "",
        copies=copies if isinstance(copies, int) else 0,
        size=coarse(len(message)),
        net=guard.network(envelope.client_ip),
        helo=_helo(envelope, guard),
        sender=sender,
        country=top if len(top := sender.rpartition(".")[2]) == 2 else "",
        charset=_charset(message),
        language=_language(job.headers.get("content-language")),
        subject=guard.hash("subject", " ".join(subject.lower().split())) if subject else "",
        parts=few(len(readable.others)),
        links=few(_links(readable.markup)),
        tls=envelope.tls_version if _TLS.fullmatch(envelope.tls_version) else "",
    )


def coarse(number: int) -> int:
    """`number` cut to its two leading bits.

    >>> coarse(5000), coarse(6500), coarse(3)
    (4096, 6144, 3)
    """
    shift = max(0, number.bit_length() - 2)
    return number >> shift << shift


def few(count: int) -> int:
    """The class of a count: the largest of CLASSES that it reaches.

    >>> few(0), few(1), few(5), few(20), few(21)
    (0, 1, 2, 6, 21)
    """
    return CLASSES[bisect(CLASSES, count) - 1]


def _sender(envelope: Envelope, guard: Guard) -> str:
    if not envelope.mail_from:
        return "null"
    return guard.domain(envelope.mail_from.rpartition("@")[2], envelope.rcpt_tos) or "other"


def _helo(envelope: Envelope, guard: Guard) -> str:
    said = envelope.helo
    if not said:
        return "none"
    literal = network(said.strip("[]").removeprefix("IPv6:"))
    return guard.domain(said, envelope.rcpt_tos) or ("address" if literal else "word")


def _charset(message: bytes) -> str:
    named = _CHARSET.search(message, 0, _CHARSET_WITHIN)
    if not named:
        return ""
    said = named[1].decode("ascii", "replace").lower().replace("-", "_")
    name = _CODECS.get(said, "").replace("_", "-")
    return name if name in CHARSETS else "other"


def _language(said: str | None) -> str:
    if not said:
        return ""
    named = _LANGUAGE.match(said)
    return name if named and (name := named[1].lower()) in LANGUAGES else "other"


def _links(markup: str) -> int:
    hosts = set()
    for found in _HOST.finditer(markup.lower()):
        hosts.add(found[1])
        if len(hosts) == CLASSES[-1]:
            break
    return len(hosts)
