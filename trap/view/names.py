"""Makes names of files safe to save under, whatever a message calls them.

>>> safe("../../etc/passwd"), safe("CON.txt"), safe("a\\u202egpj.exe"), safe("")
('passwd', '_CON.txt', 'agpj.exe', '')
"""

import re
import unicodedata

MAX_NAME = 120
"""Characters, the extension included."""
_UNSAFE = re.compile(r"""[\\/:*?"<>|%;&$`'!~#{}^]""")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
_MAX_EXTENSION = 16
_EXTENSIONS = {
    "text/plain": "txt",
    "text/html": "html.txt",
    "message/rfc822": "eml",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "text/calendar": "ics",
}


def safe(said: str) -> str:
    """A name without path, control and bidi characters; not reserved, not long; empty if nothing is left."""
    name = unicodedata.normalize("NFC", said[:4000]).replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in name if c == " " or unicodedata.category(c)[0] not in "CZ")
    name = _UNSAFE.sub("_", kept).strip(" .-")  # a leading dash is an option to many commands
    if _RESERVED.match(name):
        name = f"_{name}"
    stem, dot, extension = name.rpartition(".")
    if dot and len(extension) <= _MAX_EXTENSION:
        return _fitting(stem, f".{extension}")
    return _fitting(name, "")


def _fitting(stem: str, extension: str) -> str:
    """No file system takes more than 255 bytes."""
    stem = stem[: MAX_NAME - len(extension)]
    while len(stem.encode()) > 240 - len(extension.encode()):
        stem = stem[:-1]
    return f"{stem.rstrip(' .')}{extension}"


def made_up(number: int, type_: str) -> str:
    """A name for a part that has none."""
    return f"part-{number}.{_EXTENSIONS.get(type_, 'bin')}"
