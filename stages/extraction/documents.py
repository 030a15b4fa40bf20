"""What documents have in them that matters in spam: links, macros, locks, and images that may hold codes.

Word, Excel and PowerPoint, old and new: macros, encryption, and links to the outside; PDF has a module of
its own. Nothing is rendered: what is looked for is found by its own marks, wherever it stands, so a
document that is broken on purpose gives what it gives.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_URLS = 200
_TARGET = re.compile(rb"<Relationship\s([^<>]{1,4000})>")
_OUTSIDE = re.compile(rb'\bTarget="((?:https?|ftp|file|mhtml|mailto|smb):[^"]{1,2000})"', re.IGNORECASE)
_MACROS = "_VBA_PROJECT".encode("utf-16-le")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


@dataclass
class Document:
    """What is in one.

    Attributes:
        urls: links, as they stand.
        images: files of images.
        macros: whether it has programs in it.
        encrypted: whether it is.
        password: the one that opens it, if any is needed.
        locked: whether none is known that does.
    """

    urls: list[str] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    macros: bool = False
    encrypted: bool = False
    password: str = ""
    locked: bool = False


def ole(data: bytes) -> Document:
    """What is in a document of the old formats of Word, Excel and PowerPoint, or in an encrypted new one."""
    encrypted = _ENCRYPTED in data
    return Document(macros=_MACROS in data, encrypted=encrypted, locked=encrypted)


def outside(relations: bytes) -> Iterator[str]:
    """Links to the outside in a .rels file of the newer formats (ECMA-376, part 2)."""
    for relation in _TARGET.finditer(relations):
        if b'TargetMode="External"' in relation[1] and (target := _OUTSIDE.search(relation[1])):
            yield target[1].replace(b"&amp;", b"&").decode("utf-8", "replace")
