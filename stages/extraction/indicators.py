"""Collects what a message wants its reader to do next: where to click, write, call and pay.

Every part that is text is read, whatever its charset and encoding, HTML as what it shows and as what
its markup names; also messages in the message, data: URLs and scripts, and the header fields that
people answer to. URLs that lead elsewhere by way of somebody are followed on paper.

Each kind is a list of at most so many entries; what did not fit, or was not looked at, stands in
`truncated`. Nothing is ever fetched.
"""

import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from email.header import decode_header, make_header
from urllib.parse import unquote, urljoin

from stages.extraction import links, pages, phones, wallets
from stages.extraction.budget import Budget
from stages.extraction.disguises import undisguised
from stages.extraction.entity import MAX_DEPTH as DEEPEST
from stages.extraction.entity import MAX_PARTS, Entity, leaves
from stages.extraction.findings import Findings
from stages.shared import plaintext
from trap.job import Headers

MAX_TEXT = 1 << 20
"""Characters of one part that are read."""
MAX_DEPTH = 5
"""Pages in data: URLs in pages."""
MAX_FIELD = 4000
"""Characters of a header field that are read."""
_MAX_SAID = 300
"""Characters of a number or address that a link holds."""

_HTML_NAMES = (".htm", ".html", ".shtml", ".xhtml", ".svg", ".hta")
_TEXT_NAMES = (".txt", ".ics", ".vcf", ".url", ".csv")
_HTML_TYPES = frozenset(
    ("text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml")
)
_LOOKS_HTML = re.compile(r"<(?:html|body|table|div|p|br|font|a|img|meta|script)\b", re.IGNORECASE)
_SOFT_BREAK = re.compile(rb"=\r?\n")
_ANSWERED = ("from", "reply-to", "sender", "disposition-notification-to", "return-receipt-to", "errors-to")
_LINKING = ("list-unsubscribe", "x-unsubscribe", "list-post", "x-complaints-to")
_NUMBERS = frozenset(
    ("tel", "sms", "callto", "whatsapp", "bitcoin", "ethereum", "litecoin", "monero", "tron")
)
"""Schemes of URLs that hold a telephone number or a wallet."""
_LATE_HEADER = re.compile(rb"(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*){2}")
"""Two fields: what stands behind blank lines is a header, from somebody who forgot where it belongs."""
_ATOB = re.compile(r"atob\(\s{0,8}[\"'`]([A-Za-z0-9+/=\s]{12,100000})[\"'`]")


@dataclass
class Indicators:
    """What was found, fit for the notes."""

    urls: list[str]
    links: list[dict[str, str]]
    """Of each of the URLs: host, from (where it was); `as` when it was disguised, `to` when it leads on."""
    domains: list[str]
    """What somebody registered of the hosts, and of names in the text."""
    addresses: list[str]
    phones: list[str]
    wallets: list[dict[str, str]]
    truncated: list[str]
    """What there may be more of, and why."""


class Reader:
    """Reads one message, and what else is found in it.

    Args:
        budget: what it may cost.
        most: entries of each kind.
        own: addresses that are none of the sender's: the recipients.
        region: country that telephone numbers without a code are taken for.

    Attributes:
        parts: of the message, as far as it was read.
        bodies: texts of the parts that were read, HTML as it came.
    """

    def __init__(self, budget: Budget, most: int, own: Collection[str] = (), region: str = "") -> None:
        self.parts: list[Entity] = []
        self.bodies: list[str] = []
        self._budget = budget
        self._most = most
        self._region = region
        self._found = Findings(budget, most, own)
        self._texts: list[str] = []
        self._searched: list[str] = []
        self._phones: list[str] = []
        self._wallets: list[wallets.Wallet] = []

    @property
    def text(self) -> str:
        """What people read in the message, its subject first."""
        return "\n".join(self._texts)

    def read(self, message: bytes) -> None:
        """Read a message.

        Raises:
            Exhausted: the budget is used up; what was found before that stands.
        """
        if message[:1].isspace() and _LATE_HEADER.match(message[:4096].lstrip()):
            message = message.lstrip()
        if b"\n" not in message[:4096]:
            message = message.replace(b"\r", b"\n")
        self._header(Headers(message))
        for leaf in leaves(message):
            self.parts.append(leaf)
            if leaf.type.startswith("multipart/") and leaf.depth >= DEEPEST:
                self._found.cut("text", f"parts deeper than {DEEPEST}")
            self._part(leaf)
        if len(self.parts) >= MAX_PARTS:
            self._found.cut("text", f"more than {MAX_PARTS} parts")

    def add_text(self, text: str, where: str) -> None:
        """Read a text of another kind: what a QR code says, a link in a document.

        Raises:
            Exhausted: as above.
        """
        self._searched.append(text)
        if not self._found.url(text.strip(), where):
            self._text(text, where)

    def add_file(self, name: str, data: bytes) -> None:
        """Read a text or HTML that was in an archive.

        Raises:
            Exhausted: as above.
        """
        self._budget.spend(len(data), 1)
        source = plaintext.decode(data[: 4 * MAX_TEXT], "")[:MAX_TEXT]
        if name.lower().endswith(_HTML_NAMES) or _LOOKS_HTML.search(source, 0, 4096):
            self._page(source, 0)
        else:
            self._text(source, "file")

    def count(self) -> None:
        """Look for telephone numbers and wallets in all that was read, also when the budget is used up."""
        everything = "\n".join((*self._searched, *self._found.urls))[: 4 * MAX_TEXT]
        self._phones = phones.find(everything, self._region)
        self._wallets = wallets.find(everything)

    def found(self) -> Indicators:
        """What was found until now."""
        found = self._found
        return Indicators(
            urls=list(found.urls),
            links=list(found.urls.values()),
            domains=found.kept("domains", found.domains),
            addresses=found.kept("addresses", found.addresses.values()),
            phones=found.kept("phones", self._phones),
            wallets=found.kept("wallets", self._wallets),
            truncated=found.truncated,
        )

    def cut(self, kind: str, why: str) -> None:
        """Note that there may be more of a kind."""
        self._found.cut(kind, why)

    def _header(self, headers: Headers) -> None:
        for name in _ANSWERED:
            for value in headers.get_all(name)[:3]:
                self._found.mails(_words(value))
        for name in ("subject", *_LINKING):
            for value in headers.get_all(name)[:3]:
                self._text(_words(value), "header", readable=name == "subject")

    def _part(self, leaf: Entity) -> None:
        self._budget.spend(0, 1)
        name = leaf.name.lower()
        html = leaf.type in _HTML_TYPES or name.endswith(_HTML_NAMES)
        text = html or leaf.type.startswith(("text/", "message/")) or name.endswith(_TEXT_NAMES)
        if not text:
            return
        self._budget.spend(leaf.size)
        data = leaf.data[: 4 * MAX_TEXT]
        if not leaf.encoding and b"=3D" in data and _SOFT_BREAK.search(data):
            data = binascii.a2b_qp(data)  # quoted-printable that nobody declared
        source = plaintext.decode(data, leaf.parameters)
        if len(source) > MAX_TEXT:
            self._found.cut("text", f"more than {MAX_TEXT} characters in a part")
            source = source[:MAX_TEXT]
        self.bodies.append(source)
        if html or _LOOKS_HTML.search(source, 0, 4096):
            self._page(source, 0)
        else:
            self._text(source, "text", readable=True)

    def _page(self, source: str, depth: int) -> None:
        page = pages.read(source)
        self._budget.spend(len(source))
        for where, url in page.links:
            self._link(url, where, depth, page.base)
        self._text(page.text, "text", readable=True)
        self._script(page.scripts, depth)

    def _script(self, script: str, depth: int) -> None:
        if not script:
            return
        self._text(script, "script", bare=False)
        for match in _ATOB.finditer(script):
            self._budget.spend(len(match[1]), 1)
            try:
                hidden = binascii.a2b_base64(match[1]).decode("utf-8", "replace")
            except binascii.Error:
                continue
            if depth < MAX_DEPTH:
                self._page(pages.unescaped(hidden), depth + 1)

    def _text(self, text: str, where: str, *, readable: bool = False, bare: bool = True) -> None:
        """Look for links and addresses in a text; `bare`: also for domains without a scheme."""
        self._budget.spend(len(text))
        if readable:
            self._texts.append(text)
        text = undisguised(text)
        if readable:
            self._searched.append(text)
        for url in links.in_text(text):
            self._found.url(url, where)
        if bare:
            for name, has_path in links.bare(text):
                if has_path:
                    self._found.url(f"http://{name}", where)
                else:
                    self._found.domain(name.partition(":")[0])
            self._found.mails(text)

    def _link(self, said: str, where: str, depth: int, base: str = "") -> None:
        """What an attribute of HTML names."""
        scheme, colon, rest = said[:40].lstrip().partition(":")
        kind = re.sub(r"[\x00-\x20]", "", scheme).lower() if colon else ""
        if kind in ("http", "https", "ftp") or said.startswith(("//", "\\\\")):
            self._found.url(said, where)
        elif kind == "mailto":
            self._found.mails(unquote(said[:MAX_FIELD]))
        elif kind == "data":
            self._data(said, depth)
        elif kind in ("javascript", "vbscript"):
            self._script(pages.unescaped(said[: pages.MAX_SCRIPT]), depth)
        elif kind in _NUMBERS and len(self._searched) < 2 * self._most:
            self._searched.append(unquote(said[:_MAX_SAID]))
        elif base and not kind and rest == "" and said and not said.startswith("#"):
            self._found.url(_joined(base, said), where)

    def _data(self, said: str, depth: int) -> None:
        self._budget.spend(len(said), 1)
        kind, data = pages.in_data(said)
        if depth >= MAX_DEPTH:
            self._found.cut("urls", f"deeper than {MAX_DEPTH}")
        elif kind in _HTML_TYPES or kind.startswith(("text/", "application/xhtml")) or kind == "":
            self._page(plaintext.decode(data[:MAX_TEXT], ""), depth + 1)


def _joined(base: str, said: str) -> str:
    try:
        return urljoin(base, said)
    except ValueError:  # brackets that hold no address
        return ""


def _words(value: str) -> str:
    """A header field with its encoded words (RFC 2047) decoded, if that can be done."""
    value = value[:MAX_FIELD]
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except Exception:  # the email package raises many kinds on what is not quite an encoded word
        return value
