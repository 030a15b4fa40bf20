"""A report as data: what webhooks and feeds tell of a campaign, as JSON of a documented form.

docs/report.schema.json is made of the classes below. `version` grows when a field changes its meaning or
goes; new ones may come at any time.

Files are hashed anew in the redacted sample. One that had to be masked has no check sums: its own would be
that of a file which names a trap, the masked one's would be nobody's. Where extract has run before, its note
tells which files are still as they came.

Times are cut to a grain (an hour, if nothing else is set): whoever knows when he sent which copy to whom
could otherwise tell by the clock who got it.
"""

import base64
import hashlib
import ipaddress
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.header import decode_header, make_header
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from stages.extraction.entity import leaves
from trap.envelope import plain, printable
from trap.job import Headers, header_end

if TYPE_CHECKING:
    from stages.reporting.case import Case

VERSION = 1
MAX_FILES = 50
MAX_LISTED = 100
"""Entries of each list."""
MAX_TEXT = 500
"""Characters of each text."""
MAX_SAMPLE = 256 << 10
"""Bytes of the largest mail that is told whole."""

Sample = Literal["none", "header", "message"]
"""How much of the redacted sample is told."""

_MASKED_HOST = re.compile(r"\.z+\Z")
"""No domain ends so, but those that stand for a trap's."""
_FIELDS = {"from": "from", "reply-to": "reply_to", "subject": "subject", "message-id": "message_id",
           "x-mailer": "mailer"}  # fmt: skip


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the mail leads."""

    url: Annotated[str, Meta(description="as the mail has it, its host in lower case")]
    host: Annotated[str, Meta(description="a name or an address")]
    to: Annotated[str, Meta(description="where it leads on, as it says itself; nothing was fetched")] = ""


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that came with it."""

    name: Annotated[str, Meta(description="as declared; masked where it held a trap's name")] = ""
    size: Annotated[int, Meta(description="bytes")] = 0
    type: Annotated[str, Meta(description="media type, as declared")] = ""
    sha256: Annotated[str, Meta(description="missing when the file named a trap")] = ""
    sha1: str = ""
    md5: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="report"):
    """A campaign that hit the trap, as one reader may see it. Fields that are empty are left out."""

    version: Annotated[int, Meta(description="of this form")]
    id: Annotated[str, Meta(description="of this report; what comes twice with one id is one report")]
    campaign: Annotated[str, Meta(description="what looks alike has the same; other readers know another")]
    first: Annotated[str, Meta(description="when its first copy came; UTC, cut to the hour or as set")]
    last: Annotated[str, Meta(description="when its newest copy came, likewise")]
    weight: Annotated[int, Meta(description="copies that this report stands for")]
    ip: Annotated[str, Meta(description="address of the client that sent the sample")] = ""
    asn: Annotated[int, Meta(description="number of the network it is in")] = 0
    country: Annotated[str, Meta(description="of that network, two letters")] = ""
    helo: Annotated[str, Meta(description="what the client called itself")] = ""
    mail_from: Annotated[str, Meta(description="reverse-path; missing for the null sender, too")] = ""
    from_: Annotated[str, Meta(description="header field From, decoded")] = msgspec.field(
        default="", name="from"
    )
    reply_to: str = ""
    subject: str = ""
    message_id: str = ""
    mailer: Annotated[str, Meta(description="header field X-Mailer")] = ""
    authenticated: Annotated[
        list[str], Meta(description="domains for which SPF or a signature is right")
    ] = []
    links: list[Link] = []
    domains: Annotated[list[str], Meta(description="what somebody registered of the links' hosts")] = []
    contacts: Annotated[
        list[str], Meta(description="mail addresses that the mail wants to be written to")
    ] = []
    phones: list[str] = []
    wallets: Annotated[list[str], Meta(description="currency:address")] = []
    files: list[File] = []
    virus: Annotated[str, Meta(description="name of the signature that it matched")] = ""
    scores: Annotated[dict[str, float], Meta(description="points by scanner")] = {}
    size: Annotated[int, Meta(description="bytes of the sample")] = 0
    broken_signatures: Annotated[
        list[str], Meta(description="what does not verify since it was redacted")
    ] = []
    sample: Annotated[str, Meta(description="the redacted mail or its header; base64")] = ""


class Revoked(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="revoked"):
    """A report is taken back: nothing in it is to be used any more."""

    version: int
    id: Annotated[str, Meta(description="of the report that is taken back")]
    time: Annotated[str, Meta(description="when, UTC")]


def record(case: "Case", sample: Sample = "none", grain: float = 3600.0) -> Record:
    """The report on a case. Never raises, whatever the mail.

    Args:
        case: redacted for whom it is meant.
        sample: how much of the mail goes along; of one larger than MAX_SAMPLE its header: no gate can look
            into half a file.
        grain: seconds to which times are cut.
    """
    extract, dns = _note(case, "extract"), _note(case, "dns")
    headers = Headers(case.message)
    told = {ours: _decoded(said) for theirs, ours in _FIELDS.items() if (said := headers.get(theirs))}
    asn = str(dns.get("asn") or "").upper().removeprefix("AS")
    return Record(
        version=VERSION,
        id=case.id,
        campaign=case.campaign,
        first=moment(case.first, grain),
        last=moment(case.last, grain),
        weight=case.weight,
        ip=address(case.envelope.client_ip),
        asn=int(asn) if asn.isascii() and asn.isdecimal() and len(asn) <= 10 else 0,
        country=_text(dns.get("country")),
        helo=_text(case.envelope.helo),
        mail_from=_text(case.envelope.mail_from),
        from_=told.pop("from", ""),
        authenticated=_texts(_note(case, "auth").get("authenticated")),
        links=list(islice(_links(extract), MAX_LISTED)),
        domains=[domain for domain in _texts(extract.get("domains")) if not is_masked(domain)],
        contacts=[each for each in _texts(extract.get("addresses")) if not is_masked(each)],
        phones=_texts(extract.get("phones")),
        wallets=[
            f"{_text(each.get('kind'))}:{_text(each.get('address'))}"
            for each in _maps(extract.get("wallets"))
        ],
        files=list(islice(_files(case.message, extract), MAX_FILES)),
        virus=_text(_note(case, "virus").get("virus")),
        scores={
            scanner: round(score, 2)
            for scanner in ("spamd", "rspamd")
            if isinstance(score := _note(case, scanner).get("score"), float) and math.isfinite(score)
        },
        size=len(case.message),
        broken_signatures=_texts(case.signatures),
        sample=_sample(case.message, sample),
        **told,
    )


def moment(at: float, grain: float = 1.0) -> str:
    """A time as reports write it ("2026-11-20T07:00:00Z"), cut to so many seconds."""
    return datetime.fromtimestamp(at // grain * grain if grain else at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def address(said: str) -> str:
    """An IP address; "" when it is none, or one that no reader can do anything with.

    >>> address("2001:DB8::1"), address("10.0.0.1"), address("111.xx")
    ('', '', '')
    >>> address("2A01:4F8::1")
    '2a01:4f8::1'
    """
    try:
        found = ipaddress.ip_address(said)
    except ValueError:
        return ""
    return str(found) if found.is_global and getattr(found, "scope_id", None) is None else ""


def is_masked(name: str) -> bool:
    """Whether a host or mail address stands for a trap's: it leads nowhere.

    >>> is_masked("qkw.zzz"), is_masked("joe@qkw.ab.zz"), is_masked("a.example.nz"), is_masked("10.0.0.1")
    (True, True, False, False)
    """
    return bool(_MASKED_HOST.search(name.lower()))


def _note(case: "Case", stage: str) -> Mapping[str, Any]:
    note = case.notes.get(stage)
    return note if isinstance(note, Mapping) else {}


def _text(said: Any) -> str:
    return printable(said)[:MAX_TEXT] if isinstance(said, str) else ""


def _texts(listed: Any) -> list[str]:
    return [_text(each) for each in listed[:MAX_LISTED] if each] if isinstance(listed, list) else []


def _maps(listed: Any) -> list[Mapping[str, Any]]:
    if not isinstance(listed, list):
        return []
    return [each for each in listed[:MAX_LISTED] if isinstance(each, Mapping)]


def _decoded(said: str) -> str:
    said = " ".join(said.split())[: 4 * MAX_TEXT]
    with suppress(Exception):  # the email package raises many kinds on what is not quite an encoded word
        said = str(make_header(decode_header(said)))
    return _text(said)


def _links(extract: Mapping[str, Any]) -> Iterator[Link]:
    """Where it leads, without what was masked."""
    urls, about = extract.get("urls"), extract.get("links")
    if not (isinstance(urls, list) and isinstance(about, list)):
        return
    for url, told in zip(urls, about, strict=False):
        host = _text(told.get("host")) if isinstance(told, Mapping) else ""
        if isinstance(url, str) and host and not is_masked(host):
            to = told.get("to")
            yield Link(printable(url), host, printable(to) if isinstance(to, str) else "")


def _files(message: bytes, extract: Mapping[str, Any]) -> Iterator[File]:
    """The files in a redacted message."""
    noted = extract.get("attachments")
    as_they_came = {each.get("sha256") for each in _maps(noted)} if isinstance(noted, list) else None
    for leaf in leaves(message):
        if not (
            leaf.name or leaf.disposition == "attachment" or not leaf.type.startswith(("text/", "message/"))
        ):
            continue
        data = leaf.data
        if not data:
            continue
        file = File(_text(leaf.name), len(data), _text(leaf.type))
        sha256 = hashlib.sha256(data).hexdigest()
        if as_they_came is None or sha256 in as_they_came:
            file = msgspec.structs.replace(
                file,
                sha256=sha256,
                sha1=hashlib.sha1(data, usedforsecurity=False).hexdigest(),
                md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            )
        yield file


def _sample(message: bytes, sample: Sample) -> str:
    if sample == "none":
        return ""
    whole = sample == "message" and len(message) <= MAX_SAMPLE
    shown = message if whole else message[: header_end(message)][:MAX_SAMPLE]
    return base64.b64encode(shown).decode("ascii")


def encode(told: Record | Revoked) -> bytes:
    """One of them as JSON, on one line and without its end."""
    return msgspec.json.encode(plain(msgspec.to_builtins(told)))
