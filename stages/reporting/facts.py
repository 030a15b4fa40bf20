"""What reports tell of a case: source, times, kind, links, and how the sender was authenticated.

All of it comes redacted. What is said here is fit for a line of ASCII in a header: what is not, and what
is too long, is left out rather than cut, for half a URL is another one.

Times are told to the minute unless more is asked for. The second at which a message left, with its source,
is the one thing a spammer's own log has beside the recipient; who looks for a customer needs no more than
the minute, or the port, which spammers do not log and address sharing networks do (RFC 6302).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stages.bounces.text import decoded_words
from stages.names.blocklists import Address
from stages.names.relays import address_of, is_public
from stages.reporting.senders import LargeSenders
from stages.shared.suffixes import registrable
from trap.envelope import Envelope, printable
from trap.job import Headers

if TYPE_CHECKING:
    from stages.reporting.case import Case

MAX_URLS = 20
"""Links, and domains of links, that a report names."""
MAX_URL = 500
"""Characters of a link that is told."""
MAX_SIGNATURES = 5
"""Signatures whose results are told."""
MINUTE = 60.0

_FRAUD = re.compile(r"phish|fraud|scam|advance_fee", re.IGNORECASE)
_URL = re.compile(r"https?://[!-~]+")
_RESULT = re.compile(r"[a-z]{2,12}")
_MASKED = re.compile(r"(?:^|\.)z+$")
"""A host that redaction has replaced leads nowhere."""
_NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9_-])?")

Notes = Mapping[str, Any]


def client_of(envelope: Envelope, notes: Notes) -> Address | None:
    """The host that is to blame: the session's client, or who that one passed the message on for.

    Returns:
        Its address; None when it is not known, or nobody's in the Internet.
    """
    said, passed_on = address_of(envelope.client_ip), _map(notes, "dns").get("client")
    # Of what came from a file nobody is to blame: anybody may have written its Received fields.
    if isinstance(passed_on, str) and (envelope.client_ip or envelope.protocol == "lmtp"):
        said = address_of(passed_on)
    return said if said and is_public(said) else None


def client_name(notes: Notes) -> str:
    """The client's name, when DNS confirms it; else ""."""
    noted = _map(notes, "dns")
    name = noted.get("ptr") if noted.get("ptr_confirmed") else ""
    return name.rstrip(".").lower() if isinstance(name, str) and _NAME.fullmatch(name.rstrip(".")) else ""


class Facts:
    """What is told of one case.

    Args:
        case: of one campaign and recipient, redacted.
        precision: seconds to which times are told.
    """

    def __init__(self, case: "Case", precision: float) -> None:
        self._case = case
        self._precision = precision
        self._headers = Headers(case.message)

    @property
    def client(self) -> Address | None:
        """Where it came from."""
        return client_of(self._case.envelope, self._case.notes)

    @property
    def client_name(self) -> str:
        """The name of that host, when DNS confirms it; else ""."""
        return client_name(self._case.notes)

    @property
    def port(self) -> int:
        """From which port; 0 when it is not known, or is not the client's."""
        envelope = self._case.envelope
        direct = address_of(envelope.client_ip) == self.client
        return envelope.client_port if direct and 0 < envelope.client_port < 65536 else 0

    @property
    def received(self) -> datetime:
        """When the sample came."""
        return self._time(self._case.envelope.received_at or self._case.first)

    @property
    def first(self) -> datetime:
        """When the first copy came."""
        return self._time(self._case.first)

    @property
    def last(self) -> datetime:
        """When the newest copy came."""
        return self._time(self._case.last)

    def stamp(self, moment: datetime) -> str:
        """A time for people, no more precise than it is told."""
        return (
            f"{moment:%Y-%m-%d %H:%M} UTC" if self._precision >= MINUTE else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
        )

    def _time(self, moment: float) -> datetime:
        unit = max(1.0, self._precision)
        return datetime.fromtimestamp(moment // unit * unit, UTC)

    @cached_property
    def subject(self) -> str:
        """Of the sample, decoded and printable."""
        return printable(decoded_words((self._headers.get("subject") or "")[:1000])).strip()

    @cached_property
    def message_id(self) -> str:
        """Of the sample; "" when it has none that is fit to be told."""
        said = (self._headers.get("message-id") or "").strip()
        return said if len(said) <= 200 and said.isascii() and said.isprintable() else ""

    @cached_property
    def kind(self) -> str:
        """What is wrong with it, in words of RFC 5965: virus, fraud or abuse."""
        signature = self.signature
        if any(_FRAUD.search(name) for name in (signature, *_symbols(self._case.notes))):
            return "fraud"
        return "virus" if signature else "abuse"

    @property
    def signature(self) -> str:
        """The virus that was found; "" if none."""
        found = _map(self._case.notes, "virus").get("virus")
        return found if isinstance(found, str) and found.isascii() and found.isprintable() else ""

    @cached_property
    def urls(self) -> list[str]:
        """Where its links lead, but for hosts of those who are too large to be meant."""
        return list(islice(self._urls(), MAX_URLS))

    @cached_property
    def domains(self) -> list[str]:
        """Whose hosts those are."""
        return list(dict.fromkeys(filter(None, (registrable(_host(url)) for url in self.urls))))

    def _urls(self) -> Iterator[str]:
        noted = _map(self._case.notes, "extract").get("urls")
        large = LargeSenders()
        for url in noted if isinstance(noted, list) else ():
            if not isinstance(url, str) or len(url) > MAX_URL or not _URL.fullmatch(url):
                continue
            host = _host(url)
            if host and not _MASKED.search(host) and not large.owns_domain(host):
                yield url

    def authentication(self, by: str) -> str:
        """The results of auth, as the value of Authentication-Results (RFC 8601); "" when there are none.

        Args:
            by: who checked.
        """
        noted = _map(self._case.notes, "auth")
        said = [
            _result("spf", noted.get("spf"), {"smtp.mailfrom": "domain"}),
            *(
                _result("dkim", each, {"header.d": "domain", "header.s": "selector"})
                for each in islice(_list(noted.get("dkim")), MAX_SIGNATURES)
            ),
            _result("dmarc", noted.get("dmarc"), {"header.from": "domain"}),
        ]
        results = list(filter(None, said))
        return "; ".join([by, *results]) if results else ""


def _result(method: str, noted: Any, properties: Mapping[str, str]) -> str:
    if not isinstance(noted, dict) or not _RESULT.fullmatch(str(noted.get("result"))):
        return ""
    if method == "spf" and noted.get("identity") == "helo":
        properties = {"smtp.helo": "domain"}
    told = [f"{method}={noted['result']}"]
    for key, name in properties.items():
        value = noted.get(name)
        if isinstance(value, str) and _NAME.fullmatch(value):
            told.append(f"{key}={value}")
    return " ".join(told)


def _symbols(notes: Notes) -> Iterator[str]:
    """Names of what scanners and lists found, of weight."""
    for scanner, key in (("rspamd", "symbols"), ("spamd", "rules")):
        for name, points in _map(_map(notes, scanner), key).items():
            if points is None or (isinstance(points, int | float) and points >= 1):
                yield name
    for zones in _map(_map(notes, "dns"), "uris").values():
        for codes in zones.values() if isinstance(zones, dict) else ():
            yield from (code for code in _list(codes) if isinstance(code, str))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _map(notes: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = notes.get(name)
    return found if isinstance(found, dict) else {}


def _list(thing: Any) -> Iterable[Any]:
    return thing if isinstance(thing, list) else ()
