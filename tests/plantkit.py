"""Mail that names somebody: each spelling of a name, and each place of a message it may be put in.

Neither knows what looks for names. A spelling is a text that stands for a name; a place makes a message
of a text.
"""

import base64
import bz2
import codecs
import gzip
import hashlib
import io
import json
import lzma
import quopri
import tarfile
import urllib.parse
import zipfile
import zlib
from binascii import b2a_uu
from collections.abc import Callable, Sequence
from random import Random

Spell = Callable[[str, Random], str]
Put = Callable[[str], bytes]


def _some(coded: Callable[[str], str]) -> Spell:
    """Code some characters, and not others."""
    return lambda name, random: "".join(coded(c) if random.random() < 0.5 else c for c in name)


def _base64(pad: int, safe: bool = False) -> Spell:
    encode = base64.urlsafe_b64encode if safe else base64.b64encode
    return lambda name, random: encode(random.randbytes(pad) + name.encode() + b";id=1").decode()


def _hash(kind: str, form: Callable[[str], str] = str) -> Spell:
    return lambda name, _: hashlib.new(kind, form(name).encode()).hexdigest()


def _hash64(kind: str) -> Spell:
    return lambda name, _: base64.b64encode(hashlib.new(kind, name.encode()).digest()).decode()


def _at_dot(at: str, dot: str) -> Spell:
    return lambda name, _: name.replace("@", at).replace(".", dot)


SPELLINGS: dict[str, Spell] = {
    "plain": lambda name, _: name,
    "upper": lambda name, _: name.upper(),
    "mixed": lambda name, random: "".join(random.choice((c.upper(), c.lower())) for c in name),
    "url": lambda name, _: urllib.parse.quote(name, safe=""),
    "url in full": lambda name, _: "".join(f"%{ord(c):02X}" for c in name),
    "url in part": _some(lambda c: f"%{ord(c):02x}"),
    "url twice": lambda name, _: urllib.parse.quote(urllib.parse.quote(name, safe=""), safe=""),
    "base64, aligned": _base64(0),
    "base64, one further": _base64(1),
    "base64, two further": _base64(2),
    "base64url": _base64(1, safe=True),
    "base64 of upper": lambda name, _: base64.b64encode(name.upper().encode()).decode(),
    "base64 of base64": lambda name, _: base64.b64encode(base64.b64encode(name.encode())).decode(),
    "hex": lambda name, _: name.encode().hex(),
    "hex, upper": lambda name, _: name.encode().hex().upper(),
    "rot13": lambda name, _: codecs.encode(name, "rot13"),
    "reversed": lambda name, _: name[::-1],
    "labels reversed": lambda name, _: "@".join(".".join(part.split(".")[::-1]) for part in name.split("@")),
    "md5": _hash("md5"),
    "sha1": _hash("sha1"),
    "sha224": _hash("sha224"),
    "sha256": _hash("sha256"),
    "sha384": _hash("sha384"),
    "sha512": _hash("sha512"),
    "sha3": _hash("sha3_256"),
    "blake2b": _hash("blake2b"),
    "md5 of upper": _hash("md5", str.upper),
    "sha256 with newline": _hash("sha256", "{}\n".format),
    "md5, upper": lambda name, _: hashlib.md5(name.encode()).hexdigest().upper(),
    "md5 in base64": _hash64("md5"),
    "sha256 in base64": _hash64("sha256"),
    "at and dot": _at_dot(" at ", " dot "),
    "at and dot in brackets": _at_dot("[at]", "[dot]"),
    "defanged": _at_dot("[@]", "[.]"),
    "VERP": _at_dot("=", "."),
    "entities": lambda name, _: "".join(f"&#{ord(c)};" for c in name),
    "entities in hex": _some(lambda c: f"&#x{ord(c):X};"),
    "named entities": _at_dot("&commat;", "&period;"),
    "JSON escapes": _some(lambda c: f"\\u{ord(c):04x}"),
    "spaced": lambda name, _: " ".join(name),
}


def _mail(content_type: str, body: bytes, coding: str = "8bit", more: str = "") -> bytes:
    head = (
        f"From: Offers <offers@sender.test>\r\nSubject: News for you\r\nMIME-Version: 1.0\r\n{more}"
        f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {coding}\r\n\r\n"
    )
    return head.encode() + body


def _headed(field: str) -> Put:
    return lambda text: f"{field.format(text)}\r\nSubject: News\r\n\r\nHello.\r\n".encode()


def _parts(*parts: bytes, kind: str = "mixed", preamble: str = "") -> bytes:
    joined = b"".join(b"--=_b\r\n" + part + b"\r\n" for part in parts)
    return _mail(
        f'multipart/{kind}; boundary="=_b"', preamble.encode() + b"\r\n" + joined + b"--=_b--\r\n", "7bit"
    )


def forwarded(messages: Sequence[bytes]) -> bytes:
    """Several messages in one."""
    return _parts(*(b"Content-Type: message/rfc822\r\n\r\n" + message for message in messages))


def attached(name: str, data: bytes, kind: str = "application/octet-stream") -> bytes:
    head = f'Content-Type: {kind}\r\nContent-Disposition: attachment; filename="{name}"\r\n'
    part = head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(data)
    return _parts(b"Content-Type: text/plain\r\n\r\nSee attachment.\r\n", part)


def _zip(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def _tar(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def _uuencoded(data: bytes) -> bytes:
    lines = b"".join(b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    return b"begin 644 list.txt\r\n" + lines.replace(b"\n", b"\r\n") + b"`\r\nend\r\n"


def _folded_word(text: str) -> str:
    """Two encoded words, the first of which ends somewhere in the middle."""
    half = len(text) // 2
    halves = (base64.b64encode(part.encode()).decode() for part in (text[:half], text[half:]))
    return "\r\n ".join(f"=?utf-8?B?{half}?=" for half in halves)


def _q_word(text: str) -> str:
    return f"=?iso-8859-1?Q?{''.join(c if c.isalnum() else f'={ord(c):02X}' for c in text)}?="


def _continued(text: str) -> str:
    first, rest = (urllib.parse.quote(part, safe="") for part in (text[:7], text[7:]))
    return f"filename*0*=utf-8''{first}; filename*1*={rest}"


def _report(text: str) -> bytes:
    status = "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a.test\r\n\r\n"
    status += f"Final-Recipient: rfc822; {text}\r\n"
    original = (
        f"Content-Type: message/rfc822\r\n\r\nSubject: original\r\nX-To: {text}\r\n\r\nHello {text}\r\n"
    )
    return _parts(status.encode(), original.encode(), kind="report; report-type=delivery-status")


def _pdf(text: str) -> bytes:
    stream = zlib.compress(f"BT ({text}) Tj ET".encode())
    return b"%%PDF-1.4\n1 0 obj\n<< /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (len(stream), stream)


PLACES: dict[str, Put] = {
    "subject": _headed("Subject: {}"),
    "display name": _headed('From: "{}" <a@sender.test>'),
    "Received for": _headed("Received: from a.test by b.test for <{}>; Mon, 1 Jan 2024 00:00:00 +0000"),
    "List-Unsubscribe": _headed("List-Unsubscribe: <http://news.test/u/{}>, <mailto:u@news.test>"),
    "Return-Path": _headed("Return-Path: <bounce-{}@news.test>"),
    "word in base64": lambda text: _headed("Subject: {}")(
        f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?="
    ),
    "two words": lambda text: _headed("Subject: {}")(_folded_word(text)),
    "word in Q": lambda text: _headed("Subject: {}")(_q_word(text)),
    "text": lambda text: _mail("text/plain", f"Dear {text},\r\nhello.\r\n".encode()),
    "text, lines broken": lambda text: _mail("text/plain", "\r\n".join([text[:9], text[9:]]).encode()),
    "text in quoted-printable": lambda text: _mail(
        "text/plain", quopri.encodestring(f"Dear {text},".encode()), "quoted-printable"
    ),
    "all in quoted-printable": lambda text: _mail(
        "text/plain",
        "".join(f"={ord(c):02X}" + ("=\r\n" if at % 20 == 19 else "") for at, c in enumerate(text)).encode(),
        "quoted-printable",
    ),
    "text in base64": lambda text: _mail(
        "text/plain", base64.encodebytes(f"Dear {text}, hello".encode()), "base64"
    ),
    "text in UTF-16": lambda text: _mail(
        "text/plain; charset=utf-16le", base64.encodebytes(f"Dear {text}".encode("utf-16-le")), "base64"
    ),
    "URL": lambda text: _mail("text/plain", f"http://news.test/?a=1&to={text}&b=2\r\n".encode()),
    "path of a URL": lambda text: _mail(
        "text/plain", f"https://news.test/track/{text}/pixel.gif\r\n".encode()
    ),
    "HTML text": lambda text: _mail(
        "text/html", f"<html><body><p>Dear <b>{text}</b>!</p></body></html>".encode()
    ),
    "HTML attribute": lambda text: _mail(
        "text/html", f'<img alt="x" src="http://a.test/o?u={text}">'.encode()
    ),
    "HTML comment": lambda text: _mail("text/html", f"<p>Hi</p><!-- {text} -->".encode()),
    "HTML in base64": lambda text: _mail(
        "text/html", base64.encodebytes(f'<a href="mailto:{text}">x</a>'.encode()), "base64"
    ),
    "JSON": lambda text: _mail("application/json", json.dumps({"to": text}).encode()),
    "alternative": lambda text: _parts(
        b"Content-Type: text/plain\r\n\r\nHi.",
        f"Content-Type: text/html\r\n\r\n<p>{text}</p>".encode(),
        kind="alternative",
    ),
    "preamble": lambda text: _parts(b"Content-Type: text/plain\r\n\r\nHi.", preamble=text),
    "header of a part": lambda text: _parts(
        f"Content-Type: text/plain\r\nContent-ID: <1.{text}>\r\n\r\nHi.".encode()
    ),
    "nested message": lambda text: _parts(
        b"Content-Type: message/rfc822\r\n\r\n" + PLACES["HTML text"](text)
    ),
    "nested twice": lambda text: _parts(
        b"Content-Type: message/rfc822\r\n\r\n" + PLACES["text in base64"](text)
    ),
    "nested, coded": lambda text: attached(
        "m.eml", PLACES["text in quoted-printable"](text), "message/rfc822"
    ),
    "report": _report,
    "attached text": lambda text: attached("a.txt", f"name;{text};1".encode(), "text/csv"),
    "name of a file": lambda text: attached(text.replace('"', "'") + ".doc", b"hello"),
    "continued name": lambda text: _headed("Content-Disposition: attachment; {}")(_continued(text)),
    "uuencode": lambda text: _mail("text/plain", b"Look:\r\n" + _uuencoded(f"for {text}".encode())),
    "zip": lambda text: attached("a.zip", _zip("a.txt", f"for {text}".encode()), "application/zip"),
    "zip in zip": lambda text: attached("a.zip", _zip("b.zip", _zip("a.txt", f"for {text}".encode()))),
    "name in zip": lambda text: attached("a.zip", _zip(f"{text}.txt", b"hello")),
    "gzip": lambda text: attached("a.gz", gzip.compress(f"for {text}".encode())),
    "bzip2": lambda text: attached("a.bz2", bz2.compress(f"for {text}".encode())),
    "xz": lambda text: attached("a.xz", lzma.compress(f"for {text}".encode())),
    "tar": lambda text: attached("a.tar", _tar("a.txt", f"for {text}".encode())),
    "PDF": lambda text: attached("a.pdf", _pdf(text), "application/pdf"),
    "document": lambda text: attached(
        "a.docx", _zip("word/document.xml", f"<w:t>{text[:5]}</w:t><w:t>{text[5:]}</w:t>".encode())
    ),
}
