"""Tells what a file is by its first bytes, as its name and its declared type may say anything.

Where programs hide is the point, not what pictures are called. Nothing is opened or unpacked.
"""

import re

_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x78\x9f\x3e\x22", "application/vnd.ms-tnef"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-executable"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", "application/onenote"),
    (b"{\\rtf", "application/rtf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"ITSF", "application/vnd.ms-htmlhelp"),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "application/x-ms-shortcut"),
    (b"MSCF", "application/vnd.ms-cab-compressed"),
)
_FURTHER_ON = (
    (8, b"WEBP", "image/webp"),
    (257, b"ustar", "application/x-tar"),
    (32769, b"CD001", "application/x-iso9660-image"),
)
"""Where it stands, what stands there, what that is."""
_HTML = re.compile(rb"\s{0,100}(?:<!--|<!doctype html|<html|<script|<body|<head|<svg)", re.IGNORECASE)
_ALIKE = {
    "application/zip": (
        "application/vnd.",
        "application/x-zip",
        "application/java-archive",
        "application/epub",
    ),
    "application/x-ole-storage": ("application/msword", "application/vnd.ms-", "application/x-msi"),
    "application/vnd.microsoft.portable-executable": ("application/x-msdownload", "application/x-dosexec"),
    "application/vnd.ms-tnef": ("application/ms-tnef",),
    "application/x-bzip2": ("application/x-bzip", "application/bzip2"),
    "application/x-iso9660-image": ("application/x-iso-image", "application/x-cd-image"),
    "application/x-tar": ("application/x-gtar", "application/tar"),
    "application/x-xz": ("application/xz",),
    "application/zstd": ("application/x-zstd",),
    "image/jpeg": ("image/jpg", "image/pjpeg"),
    "image/bmp": ("image/x-ms-bmp", "image/x-bmp"),
    "application/gzip": ("application/x-gzip", "application/x-compressed"),
    "application/vnd.rar": ("application/x-rar",),
    "text/html": ("text/", "application/xhtml", "image/svg"),
}


def kind(data: bytes) -> str:
    """The media type that the bytes of a file show; empty when they show none that we know.

    >>> kind(b"MZ\\x90"), kind(b"dear friend")
    ('application/vnd.microsoft.portable-executable', '')
    """
    for magic, found in _MAGIC:
        if data.startswith(magic):
            return found
    for at, magic, found in _FURTHER_ON:
        if data.startswith(magic, at):
            return found
    return "text/html" if _HTML.match(data[:200]) else ""


def belied(data: bytes, declared: str) -> str:
    """What the first bytes of a file say it is, when that is not what was declared; else empty.

    >>> belied(b"MZ\\x90", "image/png"), belied(b"GIF89a", "image/gif")
    ('application/vnd.microsoft.portable-executable', '')
    """
    found = kind(data)
    return "" if not found or declared.startswith((found, *_ALIKE.get(found, ()))) else found
