"""Looks into the files that came with a message: what they are, what is in them, what their codes say.

Files are hashed, archives opened with passwords that the message names, their members looked at like
files that were attached themselves, in archives in archives too; images are searched for QR codes,
documents for links and macros. Nothing of it is run, rendered or written to a disk.

Mail can be made to unpack without end, so no archive gets more than half of what is left of the budget:
after a bomb there is something left for what stands beside it.
"""

import hashlib
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from stages.extraction import documents, qr, qr_drawn
from stages.extraction.budget import Budget, Exhausted
from stages.extraction.containers import CONTAINERS, members
from stages.extraction.documents_pdf import pdf
from stages.extraction.opening import Damaged, Member, Opening
from stages.extraction.passwords import candidates
from trap import magic
from trap.envelope import printable

MAX_DEPTH = 4
"""Archives in each other."""
MAX_LISTED = 200
"""Files that are told of."""
MAX_MEMBERS = 500
"""Of one archive that are looked at."""
MAX_IMAGES = 30
"""Images of a message that are searched for codes."""
IMAGE_SECONDS = 3.0
"""Time for all of them."""
MAX_PAGES = 10
"""Texts found in archives that are handed on."""
_MAX_PAGE = 1 << 20
_LONGEST_NAME = 200
_MOST = 2**53
"""No size is larger: an archive may say anything."""
_MAX_REASONS = 10
_MAX_SAID = 20_000
"""Characters of all codes together: notes are written anew behind every stage."""
_MAX_NAMES = 30_000
"""Characters of files' names, after which they are cut short."""
_SHORT = 20
_IMAGES = frozenset(("image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp"))
_LEAST_IMAGE = 80
"""Bytes; smaller ones, such as those that only report that they were fetched, hold no code."""
_PAGES = (".html", ".htm", ".shtml", ".xhtml", ".svg", ".txt", ".url", ".eml", ".hta", ".js", ".vbs")
_OFFICE = "[Content_Types].xml"
_OF_OFFICE = (".xml", ".rels", ".vml")


class Part(NamedTuple):
    """A file as it came."""

    name: str
    type: str
    """As declared."""
    data: bytes


@dataclass
class Found:
    """What came with a message, all of it plain data and fit to be shown, but for `pages`.

    Attributes:
        attachments: of files, members of archives among them: name, size, sha256, md5; "type" as declared,
            "is" as its first bytes show; "from", the archive's name; "macros" and "encrypted" if so. One
            that could not be unpacked has no hashes, and is "locked" if a password is missing.
        archives: name, kind, number of members; "encrypted" if so, and the password or "locked"; "from";
            "truncated" and "damaged" with why, "listed" if its kind can't be unpacked.
        qr: what the codes say.
        urls: links in documents.
        pages: texts and HTML that were in archives, to be searched for more.
        truncated: why there may be more.
    """

    attachments: list[dict[str, Any]] = field(default_factory=list)
    archives: list[dict[str, Any]] = field(default_factory=list)
    qr: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    pages: list[Part] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)


def examine(
    parts: Iterable[Part],
    text: str,
    budget: Budget,
    codes: qr.Reader | None = None,
    bodies: Iterable[str] = (),
    found: Found | None = None,
) -> Found:
    """Look into the files of one message. Never raises, whatever they are, but for what ends it from outside.

    Args:
        parts: the files.
        text: of the message, subject included, where passwords may stand.
        budget: what it may cost; some of it may be left.
        codes: reads images; they are not searched for codes without.
        bodies: texts as they came, HTML or plain: codes may be drawn in them.
        found: what is found is put there as it is found, and given back.
    """
    examination = _Examination(list(parts), text, budget, codes, found or Found())
    if codes:
        for body in bodies:
            for picture in qr_drawn.pictures(body):
                examination.decode(picture, "a code drawn in the text")
    return examination.examine()


class _File(NamedTuple):
    part: Part
    source: str = ""
    """The archive's name, or its kind if it has none."""
    depth: int = 0


class _Examination:
    def __init__(
        self, parts: list[Part], text: str, budget: Budget, codes: qr.Reader | None, found: Found
    ) -> None:
        self._parts = parts
        self._text = text
        self._budget = budget
        self._codes = codes
        self._found = found
        self._waiting = deque(_File(part) for part in parts)
        self._seen: set[str] = set()
        self._images = 0
        self._names = 0
        self._image_seconds = 0.0

    @cached_property
    def _passwords(self) -> list[str]:
        return candidates(self._text, [part.name for part in self._parts])

    def examine(self) -> Found:
        """Look at files in the order in which they stand, and at what was in them after that."""
        while self._waiting:
            file = self._waiting.popleft()
            entry = self._list(file.part.name, len(file.part.data), file.source)
            if entry is None:
                break
            self._look(file, entry)
        if self._budget.why:
            self._reason(self._budget.why)
        return self._found

    def decode(self, image: bytes, name: str) -> None:
        """Search an image for codes."""
        if not self._codes or len(image) < _LEAST_IMAGE:
            return
        if self._images >= MAX_IMAGES or self._image_seconds >= IMAGE_SECONDS:
            self._reason(f"more than {MAX_IMAGES} images, or {IMAGE_SECONDS:g} s for them")
            return
        self._images += 1
        begun = time.monotonic()
        try:
            for text in self._codes.read(image):
                self._say(text)
        except qr.Unreadable as error:
            self._reason(f"{name}: {error}")
        self._image_seconds += time.monotonic() - begun

    def _say(self, text: str) -> None:
        said = sum(map(len, self._found.qr)) + len(text)
        if said > _MAX_SAID:
            self._reason(f"more than {_MAX_SAID} characters in codes")
        elif text not in self._found.qr:
            self._found.qr.append(text)

    def _list(self, name: str, size: int, source: str) -> dict[str, Any] | None:
        if len(self._found.attachments) >= MAX_LISTED:
            self._reason(f"more than {MAX_LISTED} files")
            return None
        entry: dict[str, Any] = {"name": self._named(name), "size": min(size, _MOST)}
        if source:
            entry["from"] = self._named(source)
        self._found.attachments.append(entry)
        return entry

    def _named(self, name: str) -> str:
        name = _short(name)
        self._names += len(name)
        return name if self._names <= _MAX_NAMES else name[:_SHORT]

    def _look(self, file: _File, entry: dict[str, Any]) -> None:
        data = file.part.data
        digest = hashlib.sha256(data).hexdigest()
        entry["sha256"] = digest
        entry["md5"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if file.part.type:
            entry["type"] = self._named(file.part.type)
        kind = magic.kind(data)
        if kind:
            entry["is"] = kind
        if digest in self._seen:
            return
        self._seen.add(digest)
        if kind in CONTAINERS:
            self._open(file, entry, kind)
        elif kind in ("application/pdf", "application/x-ole-storage"):
            self._read(file, entry, kind)
        elif kind in _IMAGES:
            self.decode(data, entry["name"])
        elif file.depth and (kind == "text/html" or file.part.name.lower().endswith(_PAGES)):
            self._hand_on(file.part)

    def _open(self, file: _File, entry: dict[str, Any], kind: str) -> None:
        """Open an archive and put what is in it on the list of what to look at."""
        archive: dict[str, Any] = {"name": entry["name"], "kind": CONTAINERS[kind][0], "members": 0}
        if file.source:
            archive["from"] = file.source
        self._found.archives.append(archive)
        if file.depth >= MAX_DEPTH:
            archive["truncated"] = f"more than {MAX_DEPTH} archives in each other"
            return
        share = Budget(
            max(0.0, self._budget.seconds / 2),
            self._budget.size // 2,
            min(MAX_MEMBERS, self._budget.items // 2),
        )
        size, items = share.size, share.items
        opening = Opening(share, self._passwords, file.part.name)
        try:
            for member in members(kind, file.part.data, opening):
                archive["members"] += 1
                self._take(member, file, entry, entry["name"] or archive["kind"])
        except Exhausted as error:
            archive["truncated"] = str(error)
        except Damaged as error:
            archive["damaged"] = _short(str(error))
        with suppress(Exhausted):  # it says so itself
            self._budget.spend(size - max(0, share.size), items - max(0, share.items))
        archive.update(_of_locks(opening))

    def _take(self, member: Member, archive: _File, entry: dict[str, Any], source: str) -> None:
        name = member.name
        if name == _OFFICE:
            entry["is"] = "application/vnd.openxmlformats-officedocument"
        if name.lower().endswith("vbaproject.bin"):
            entry["macros"] = True
        if "officedocument" in entry["is"] and name.endswith(_OF_OFFICE):
            if member.data and name.endswith(".rels"):
                self._link(documents.outside(member.data))
        elif member.data is None:
            listed = self._list(name, member.size, source)
            if listed is not None and member.locked:
                listed["locked"] = True
        else:
            self._waiting.append(_File(Part(name, "", member.data), source, archive.depth + 1))

    def _read(self, file: _File, entry: dict[str, Any], kind: str) -> None:
        data = file.part.data
        is_pdf = kind == "application/pdf"
        document = pdf(data, self._budget, self._passwords) if is_pdf else documents.ole(data)
        marks = ("macros", "encrypted", "locked")
        entry.update({mark: True for mark in marks if getattr(document, mark)})
        if document.password:
            entry["password"] = printable(document.password)
        self._link(document.urls)
        for image in document.images:
            self.decode(image, entry["name"])

    def _link(self, urls: Iterable[str]) -> None:
        for url in urls:
            if (
                len(self._found.urls) < documents.MAX_URLS
                and (said := printable(url)) not in self._found.urls
            ):
                self._found.urls.append(said)

    def _hand_on(self, page: Part) -> None:
        if len(self._found.pages) < MAX_PAGES and len(page.data) <= _MAX_PAGE:
            self._found.pages.append(page)

    def _reason(self, why: str) -> None:
        if why not in self._found.truncated and len(self._found.truncated) < _MAX_REASONS:
            self._found.truncated.append(why)


def _of_locks(opening: Opening) -> dict[str, Any]:
    """What is known of an archive's locks when it has been opened."""
    said: dict[str, Any] = {"encrypted": True} if opening.encrypted else {}
    if opening.password:
        said["password"] = printable(opening.password)
    elif opening.encrypted:
        said["locked"] = True
    if opening.listed:
        said["listed"] = True
    return said


def _short(text: str) -> str:
    return printable(text[:_LONGEST_NAME])[:_LONGEST_NAME]
