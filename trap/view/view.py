"""What there is to see of a message. All strings are fit for any output, but none is escaped for HTML.

Only `View.html` is a document, and only for a sandboxed frame.
"""

import msgspec

SECTIONS = {
    "headers": "its header",
    "hops": "its way",
    "parts": "its parts",
    "text": "its text",
    "html": "its HTML",
    "urls": "its URLs",
    "hashes": "the hashes of its files",
}
"""What a message is read for, in this order; a message that takes too long lacks the last ones."""


class Header(msgspec.Struct):
    """One header field."""

    name: str
    """As written; empty for a line that is no field."""
    value: str
    """Unfolded, encoded words (RFC 2047) decoded, URLs defanged."""
    raw: str
    """As it stands, folds and URLs included, each line of it on its own."""
    line: int
    """Number of its first line in the message, from 1."""
    defect: str = ""


class Hop(msgspec.Struct):
    """One step of the message's way, as a server noted it."""

    by: str = ""
    from_: str = ""
    """Name of the sender as the server looked it up, or as it was said."""
    helo: str = ""
    """What the sender called itself."""
    ip: str = ""
    protocol: str = ""
    id: str = ""
    for_: str = ""
    time: float | None = None
    """Seconds since the epoch."""
    gap_seconds: float | None = None
    """Since the hop before; negative when time ran backwards."""
    forged: list[str] = []
    """Why it may be forged: short sentences."""
    note: str = ""
    """What is worth knowing of it, and speaks against nobody."""
    trusted: bool = False
    """Whether we saw it ourselves: true of the last hop, our own session."""
    line: int = 0
    """Of the Received field."""
    raw: str = ""


class Address(msgspec.Struct):
    """Somebody in a header field."""

    field: str
    name: str
    address: str


class PartInfo(msgspec.Struct):
    """One part of a message, those that only hold others included."""

    number: int
    """From 0, the message itself; a part is asked for by it."""
    depth: int
    type: str
    charset: str = ""
    encoding: str = ""
    size: int = 0
    """Bytes, decoded; 0 for a multipart."""
    sha256: str = ""
    md5: str = ""
    name: str = ""
    """Of the file, made safe; empty when it has none."""
    said_name: str = ""
    """As the message gives it, where that is something else."""
    disposition: str = ""
    sniffed: str = ""
    """What its first bytes say it is, where that is known and something else than `type`."""
    content_id: str = ""
    line: int = 0
    """Where its header begins."""
    defects: list[str] = []


class Url(msgspec.Struct):
    """A URL in the message; all spellings are defanged."""

    defanged: str
    host: str
    """In ASCII (xn--…), lower case, defanged like `defanged`."""
    unicode_host: str = ""
    """Where that is something else."""
    shown: str = ""
    """The text it stands behind, if any, defanged too."""
    where: str = "text"
    """text, link, image, form, style or other."""
    misleading: bool = False
    """Its text names another host."""
    count: int = 1


class View(msgspec.Struct):
    """All there is to see of one message."""

    headers: list[Header] = []
    hops: list[Hop] = []
    """Oldest first; the last is the SMTP session in which we got it."""
    parts: list[PartInfo] = []
    text: str = ""
    """For reading; URLs are defanged, invisible characters that hide or turn text written as ⟨U+…⟩."""
    html: str = ""
    """A whole document, for a sandboxed frame; empty when there is no HTML part."""
    text_from_html: bool = False
    urls: list[Url] = []
    """Those of one host follow one another."""
    defects: list[str] = []
    addresses: list[Address] = []
    missing: list[str] = []
    """Sections (SECTIONS) that took too long, or too much memory."""


def lacking(view: View) -> str:
    """A sentence on what is missing; empty when nothing is.

    >>> lacking(View(missing=["html", "urls"]))
    'Reading it takes too long, as its sender may want: without its HTML and its URLs.'
    """
    *most, last = [SECTIONS[name] for name in view.missing] or [""]
    named = f"{', '.join(most)} and {last}" if most else last
    return f"Reading it takes too long, as its sender may want: without {named}." if named else ""


class Part(msgspec.Struct):
    """The bytes of one part."""

    name: str
    """Safe to save under; never empty."""
    type: str
    """As declared: not to be believed."""
    data: bytes
    sha256: str


class DiffLine(msgspec.Struct):
    """One line of two messages side by side."""

    kind: str
    """same, changed, left, right, or fold: `left_no` lines alike are left out."""
    left: str = ""
    right: str = ""
    left_no: int = 0
    right_no: int = 0
