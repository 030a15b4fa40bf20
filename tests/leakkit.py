"""A second opinion on what a message tells: a search for names by brute force, written for tests alone.

It shares nothing with what masks names and what checks them. It takes a message apart by the standard
library's means, spells each name in every way it knows, and looks whether any of that is in any of what
it found. It is slow, simple, and meant to be read.
"""

import base64
import binascii
import bz2
import codecs
import email.errors
import email.header
import email.message
import gzip
import hashlib
import html
import html.parser
import io
import lzma
import quopri
import re
import tarfile
import unicodedata
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress

DEEP = 5
"""Things in things that are taken apart."""
HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "sha3_512", "blake2b", "blake2s")
ALONE = 8
"""Characters below which a name has to stand alone."""


def leaks(message: bytes, names: Iterable[str]) -> list[tuple[str, str]]:
    """Names that a message tells in any spelling, each with how it is spelt.

    Args:
        message: or any other file.
        names: addresses, domains, words, IP addresses; in lower case.
    """
    texts = list(dict.fromkeys(everything(message)))
    plain = "\n\n".join(text.lower() for text in texts)
    as_is = "\n\n".join(texts)
    found = []
    for name in names:
        for kind, spelt in spelt_in_any_case(name):
            if is_in(spelt, plain, alone=len(spelt) < ALONE):
                found.append((name, kind))
        for kind, spelt in spelt_exactly(name):
            if is_in(spelt, as_is, alone=len(spelt) < ALONE):
                found.append((name, kind))
    return found


def is_in(spelt: str, text: str, alone: bool) -> bool:
    if spelt not in text:
        return False
    edge = r"(?<![a-zA-Z0-9])", r"(?![a-zA-Z0-9])"
    return not alone or bool(re.search(edge[0] + re.escape(spelt) + edge[1], text))


# Who a message of the corpus is for.

TO = (
    "to",
    "cc",
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-to",
    "x-rcpt-to",
    "apparently-to",
)
ADDRESS = re.compile(r"[\w.+=-]{1,64}@[a-z0-9-]{2,63}(?:\.[a-z0-9-]{1,63})*", re.IGNORECASE)


def recipients(message: bytes) -> set[str]:
    """All addresses that a message says it is for, in lower case."""
    fields = email.message_from_bytes(message)
    said = [str(value) for name in TO for value in fields.get_all(name, ())]
    said += re.findall(r"\bfor\s+<?([^\s<>;]+@[^\s<>;]+)", " ".join(map(str, fields.get_all("received", ()))))
    return {address.lower() for text in said for address in ADDRESS.findall(text)}


# What a name may be spelt as.


def spelt_in_any_case(name: str) -> Iterator[tuple[str, str]]:
    yield "plain", name
    local, at, domain = name.rpartition("@")
    if not name.replace(".", "").isdigit() and len(name) > 5:
        yield "rot13", codecs.encode(name, "rot13")
        yield "reversed", name[::-1]
    if "." in domain and not domain.replace(".", "").isdigit():
        yield "labels reversed", local + at + ".".join(domain.split(".")[::-1])
        for dot in ("[.]", "(.)", "[dot]", "(dot)", " dot ", " (dot) ", " [dot] "):
            yield "defanged", f"{local}{at}{domain}".replace(".", dot)
    if at:
        for sign in ("=", "[at]", "(at)", " at ", " (at) ", " [at] ", "[@]"):
            yield "defanged", f"{local}{sign}{domain}"
        yield "defanged", f"{local} at {domain.replace('.', ' dot ')}"
    with suppress(UnicodeError):
        yield "punycode", local + at + domain.encode("idna").decode()
    raw = name.encode()
    if len(raw) > 4:
        yield "hex", raw.hex()
    if name.replace(".", "").isdigit():
        return
    for hashed in variants(name):
        for kind in HASHES:
            yield kind, hashlib.new(kind, hashed.encode()).hexdigest()


def spelt_exactly(name: str) -> Iterator[tuple[str, str]]:
    if len(name) < 6:
        return
    for form in (name, name.upper(), name.title(), name.capitalize()):
        for before in range(3):
            # Of what stands around it only the middle is certain: the groups that hold nothing else.
            coded = base64.b64encode(b"\0" * before + form.encode() + b"\0\0").decode()
            core = coded[(0, 2, 3)[before] : (before + len(form.encode())) * 8 // 6]
            if len(core) >= ALONE:
                yield "base64", core
                yield "base64", core.replace("+", "-").replace("/", "_")
    for hashed in variants(name):
        for kind in ("md5", "sha1", "sha256"):
            digest = hashlib.new(kind, hashed.encode()).digest()
            yield kind, base64.b64encode(digest).decode().rstrip("=")
            yield kind, base64.urlsafe_b64encode(digest).decode().rstrip("=")


def variants(name: str) -> list[str]:
    return [name, name.upper(), f"mailto:{name}", f"{name}\n"] if "@" in name else [name, name.upper()]


# What a message can be taken apart into.


def everything(data: bytes, deep: int = DEEP) -> Iterator[str]:
    """All texts in a file that may be a message, in no order, in many forms each."""
    yield from forms(data.decode("utf-8", "replace"), deep)
    if b"\0" in data:
        yield data.replace(b"\0", b"").decode("latin-1")
    if not deep:
        return
    for inner in unpacked(data):
        yield from everything(inner, deep - 1)
    if re.match(rb"\s*[!-9;-~]+:", data):
        message = email.message_from_bytes(data)
        for part in message.walk():
            for field, value in part.items():
                yield from forms(f"{field}: {words(str(value))}", deep - 1)
                if "*" in str(value):
                    for key, said in part.get_params(header=field) or ():
                        yield f"{key} {said if isinstance(said, str) else said[2]}"
            if part.is_multipart():
                continue
            for body in bodies(part):
                charset = part.get_content_charset() or "utf-8"
                with suppress(LookupError, ValueError):
                    yield from forms(body.decode(charset, "replace"), deep - 1)
                yield from everything(body, deep - 1)


def words(value: str) -> str:
    try:
        return str(email.header.make_header(email.header.decode_header(value)))
    except (ValueError, LookupError, email.errors.MessageError):
        return value


def bodies(part: email.message.Message) -> Iterator[bytes]:
    """The body of a part, decoded as is asked for and in the other ways."""
    for coding in (None, "base64", "quoted-printable", "x-uuencode"):
        if coding is not None:
            del part["Content-Transfer-Encoding"]
            part["Content-Transfer-Encoding"] = coding
        with suppress(ValueError, binascii.Error):
            body = part.get_payload(decode=True)
            if isinstance(body, bytes):
                yield body
        if coding is None and "content-transfer-encoding" in part:
            return


def forms(text: str, deep: int) -> Iterator[str]:
    """A text as it is, and with what is coded in it decoded, again and again."""
    for _ in range(5):
        yield text
        yield re.sub(r"\s", "", text)
        yield re.sub(r"\s", "", re.sub(r"<[^<>]*>", "", text))
        shown = browsed(text) if "<" in text else ""
        if shown:
            yield shown
            yield re.sub(r"\s", "", shown)
        folded = unicodedata.normalize("NFKC", text)
        yield "".join(c for c in folded if unicodedata.category(c) not in ("Cf", "Mn"))
        if deep > 0:
            yield from inside(text, deep - 1)
        decoded = html.unescape(urllib.parse.unquote(text))
        decoded = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), decoded)
        decoded = re.sub(r"\\x([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), decoded)
        if re.search(r"=[0-9A-Fa-f]{2}|=\n|=\r\n", text):
            yield quopri.decodestring(text.encode("utf-8", "replace")).decode("utf-8", "replace")
            if deep > 0:
                again = quopri.decodestring(text.encode("utf-8", "replace")).decode("utf-8", "replace")
                if again != text:
                    yield from forms(again, deep - 1)
        if decoded == text:
            return
        text = decoded


class _Shown(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.values: list[str] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.values += [value for _, value in attrs if value]


def browsed(text: str) -> str:
    """What a browser shows of a document, and the values of its attributes."""
    parser = _Shown()
    with suppress(AssertionError):  # HTMLParser's way to say that it can't
        parser.feed(text[:500_000])
        parser.close()
    return "".join(parser.texts) + "\n" + "\n".join(parser.values)


def inside(text: str, deep: int) -> Iterator[str]:
    """What runs of base64 and hex say."""
    for run in dict.fromkeys(re.findall(r"[A-Za-z0-9+/_-]{8,2000}", text)):
        for start in range(4):
            piece = run[start:].replace("-", "+").replace("_", "/")
            with suppress(ValueError):
                said = base64.b64decode(piece[: len(piece) // 4 * 4] + pad(piece))
                if re.search(rb"[ -~]{5}", said):
                    yield said.decode("utf-8", "replace")
                    if deep > 0 and len(said) > 12:
                        yield from inside(said.decode("utf-8", "replace"), deep - 1)
    for run in dict.fromkeys(re.findall(r"[0-9a-fA-F]{10,2000}", text)):
        for start in (0, 1):
            digits = run[start:]
            yield bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("latin-1")


def pad(piece: str) -> str:
    rest = piece[len(piece) // 4 * 4 :]
    return rest + "=" * (4 - len(rest)) if len(rest) > 1 else ""


def unpacked(data: bytes) -> Iterator[bytes]:
    """Members of archives."""
    with suppress(
        OSError, ValueError, EOFError, zlib.error, RuntimeError, NotImplementedError, zipfile.BadZipFile
    ):
        if data.startswith(b"PK"):
            zipped = zipfile.ZipFile(io.BytesIO(data))
            for member in zipped.infolist()[:100]:
                yield member.filename.encode()
                with zipped.open(member) as file:
                    yield file.read(1_000_000)
    with suppress(OSError, EOFError, zlib.error):
        if data.startswith(b"\x1f\x8b"):
            yield gzip.GzipFile(fileobj=io.BytesIO(data)).read(1_000_000)
    with suppress(OSError, EOFError, ValueError):
        if data.startswith(b"BZh"):
            yield bz2.BZ2Decompressor().decompress(data, 1_000_000)
    with suppress(lzma.LZMAError, EOFError):
        if data.startswith(b"\xfd7zXZ"):
            yield lzma.LZMADecompressor().decompress(data, 1_000_000)
    with suppress(tarfile.TarError, OSError, EOFError, ValueError):
        if data[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for entry in archive:
                    yield entry.name.encode()
                    if found := archive.extractfile(entry):
                        yield found.read(1_000_000)
    if data.startswith(b"%PDF"):
        for stream in re.finditer(rb"stream\r?\n(.*?)endstream", data, re.DOTALL):
            with suppress(zlib.error):
                yield zlib.decompressobj().decompress(stream[1], 1_000_000)
