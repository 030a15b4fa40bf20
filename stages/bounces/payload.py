"""Says whether a message carries an executable or an archive, anywhere in it, without unpacking it.

A bounce that does is malware dressed as a bounce, or malware that was sent in the trap's name and
came back: a sample either way, not backscatter to be thrown away. So the attachments of the message
itself and those of the message it returns count alike; a trap never sent either.

It looks at the raw text, not at a parsed tree: broken MIME hides attachments from one parser and
shows them to the next. Names of attachments, declared types and the first bytes of each part
(plain, base64 or quoted-printable; uuencode by its name) are looked at; whatever is too large to be
looked at whole, or is encoded where RFC 2046 section 5.2.1 forbids it, counts as carrying something.
"""

import re
from urllib.parse import unquote

from stages.bounces.text import decoded_words
from trap.envelope import printable

MAX_SCAN = 4 << 20
"""Bytes searched; mail larger than this is not vouched for."""

_EXECUTABLE = re.compile(
    r"ade|adp|apk|app|application|appref-ms|asp|bas|bat|chm|cmd|com|cpl|dll|docm|dotm|elf|exe|fxp|gadget|hta|inf|"
    r"ins|isp|jar|job|jse?|jnlp|lib|lnk|mde|ms[cipt]|msix|ocx|pif|potm|pp[as]m|pptm|prg|ps[12]|psc1|psm1|ps1xml|"
    r"py|rb|reg|sc[frt]|settingcontent-ms|sh|sh[bs]|sys|url|vb|vb[es]|vxd|ws|ws[cfh]|xlam|xll|xlsm|xltm"
)
_ARCHIVE = re.compile(
    r"7z|ace|alz|ar[cj]|bz2?|cab|daa|deb|dmg|gz|gzip|img|iso|lha|lz|lz[hx]|lzma|pak|r\d\d|rar|rpm|t?[bgx]z2?|tar|"
    r"udf|uue?|vhdx?|wim|xar|z|z\d\d|zipx?|zoo|zst"
)
_NAME = re.compile(
    rb"(?i)(?:;[ \t\r\n]{0,100}|\bfile)name\*?(?:\d\*?)?[ \t]*=[ \t\r\n]{0,100}"
    rb'(?:"([^"\r\n]{1,300})"|([^\s;"]{1,300}))'
    rb"|\nbegin(?:-base64)? [0-7]{3,4} ([^\r\n]{1,300})"
)
_TYPE = re.compile(
    rb"(?i)content-type:\s*(application/(?:x-)?(?:zip(?:-compressed)?|rar(?:-compressed)?|vnd\.rar|7z-compressed|gzip|"
    rb"g?tar|bzip2?|xz|zstd|ace(?:-compressed)?|arj|lzh|lha|msdownload|dosexec|executable|msdos-program|msi|hta|"
    rb"vnd\.microsoft\.portable-executable|vnd\.ms-cab-compressed|java-archive|iso9660-image|ms-shortcut|"
    rb"vnd\.android\.package-archive|apple-diskimage))\b"
)
_MAGIC = re.compile(
    rb"\n\r?\n(?:(?:TV[opqr]|UEsD|UmFyI|N3q8r|H4sI|TVNDR|QlpoO|/Td6W|f0VMR|KLUv/)[A-Za-z0-9+/]{20}"
    rb"|MZ(?:[\x00-\x08\x80-\xff]|=[089A-F][0-9A-F])|PK\x03\x04|PK=03=04|Rar!\x1a|7z\xbc\xaf|\x1f\x8b\x08|\x7fELF)"
)
_OPAQUE = re.compile(
    rb"(?i)\ncontent-type:[ \t]*message/rfc822[^\n]{0,998}(?:\n[^\r\n][^\n]{0,998}){0,8}?"
    rb"\ncontent-transfer-encoding:[ \t]*base64"
)


def carried(message: bytes) -> str | None:
    """What `message` carries ("executable invoice.pif", "archive"), or None when it carries no such thing."""
    if len(message) > MAX_SCAN:
        return f"more than {MAX_SCAN >> 20} MiB"
    for match in _NAME.finditer(message):
        if kind := _kind_of(name := _plain(match[1] or match[2] or match[3])):
            return f"{kind} {name}"
    if declared := _TYPE.search(message):
        return declared[1].decode("ascii").lower()
    if _MAGIC.search(message):
        return "executable or archive, by its first bytes"
    if _OPAQUE.search(message):
        return "message in base64"
    return None


def _plain(raw: bytes) -> str:
    """An attachment's name as a mail program would show it, at most 100 characters."""
    name = decoded_words(unquote(raw.decode("utf-8", "replace")))
    return printable(name.rpartition("''")[2].strip(" .'\"")[-100:])


def _kind_of(name: str) -> str | None:
    """What the extension of `name` stands for, if it is one to beware of."""
    stem, dot, extension = name.lower().rpartition(".")
    if not dot:
        return None
    if _ARCHIVE.fullmatch(extension):
        return "archive"
    # host names and addresses stand as names too, and most end like a DOS program
    if extension == "com" and (not stem or "." in stem or "@" in stem):
        return None
    return "executable" if _EXECUTABLE.fullmatch(extension) else None
