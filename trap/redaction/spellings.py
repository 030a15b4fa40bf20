"""Every way in which a name of the trap is spelt: as it is, coded, turned round, defanged, as a check sum.

The rule of what counts as a name stands here alone; who masks and who checks share it:

* An address counts wherever it stands, a domain too, with all its subdomains and what it is registered
  under. Of domains the first label counts as a word: mail to acme.example greets the "Acme user".
* An IP address counts where no letter or digit stands next to it.
* A word (a local part, a first label, what is protected) counts when it is telling: three characters
  or more, and none that `common` knows, which stand in mail to anybody. Those are told from the word
  only by what stands next to them: as parts of an address or a domain of the trap.
* What is short could be part of another word by chance. Below LONG characters it counts where it stands
  alone: with no letter or digit next to it.

What is partly coded, as j%6fe, is no spelling of its own: a decoded text shows it. CODED are those that
nobody has to look for who decodes.
"""

import base64
import codecs
import hashlib
import html
import ipaddress
import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol

from trap.redaction.vocabulary import common
from trap.traces import registrable

LONG = 8
"""Characters from which a name is found inside other words too."""
SHORTEST = 3
"""Characters of a word that is looked for at all."""
_TURNED = 6
"""Characters of a word that is looked for backwards and in rot13, too: shorter ones make words."""
_BASE64 = 8
"""Characters of base64 that nobody meets by chance, even in a large file; fewer have to stand alone."""
_FEWEST_BASE64 = 6
BASE64_START = (0, 2, 3)
"""First characters of base64 that also hold bits of what stands before, by its length modulo 3."""
_AT = ("@", "[@]", "(@)", "[at]", "(at)", "{at}", " at ", " [at] ", " (at) ", "_at_", "-at-", "=", "%", "#")
_DOT = (".", "[.]", "(.)", "{.}", "[dot]", "(dot)", "{dot}", " dot ", " [dot] ", " (dot) ", "_dot_", "-dot-")
_JOINTS = re.compile(r"[-._ ]")
_BETWEEN = ("", "-", "_", " ")
"""What may stand between the words of a name: joemiller, joe-miller."""
_JOINED = 6
"""Characters of such a form: shorter ones make words."""
_MAPPED = ("::ffff:", "0:0:0:0:0:ffff:", "64:ff9b::")
_FOR_DOT = "-_= +"
"""What stands for the dots of a name where they may not stand: VERP, names of hosts and files."""
# fmt: off
HASHES = (
    "md5", "sha1", "sha224", "sha256", "sha384", "sha512",
    "sha3_224", "sha3_256", "sha3_384", "sha3_512", "blake2b", "blake2s",
)
# fmt: on
"""Check sums that names hide in, as hashlib calls them."""
CODED = frozenset(("url", "qp", "entity", "escape"))
"""Kinds that a decoded text shows as plain."""
SUMS = frozenset((*HASHES, "crc32"))
"""Kinds of check sums: thousands a name, so that a table finds them better than a search for each."""


class Names(Protocol):
    """Who the trap is, as much as is looked for: see `trap.redaction.identities`."""

    @property
    def domains(self) -> frozenset[str]:
        """Domains of the trap."""

    @property
    def addresses(self) -> frozenset[str]:
        """Addresses."""

    @property
    def hosts(self) -> frozenset[str]:
        """Hosts that receive."""

    @property
    def ips(self) -> frozenset[str]:
        """Their addresses."""

    @property
    def words(self) -> frozenset[str]:
        """Local parts and what else is protected."""


class Spelling(NamedTuple):
    """One way to spell a name."""

    kind: str
    """plain, url, base64, sha256 ..."""
    pattern: bytes
    """In lower case, unless `exact`; text in UTF-8."""
    whole: bool = False
    """It counts only with no letter or digit next to it."""
    exact: bool = False
    """Its letters' case matters."""


def known(identities: Names) -> frozenset[str]:
    """All that is looked for: the names of the trap, and what follows from them."""
    found = {name.lower() for name in identities.ips}
    for domain in identities.domains | identities.hosts:
        found.update(_of_domain(domain.lower().strip(".")))
    for address in identities.addresses:
        local, at, domain = address.lower().rpartition("@")
        if at:
            found.update((f"{local}@{domain}", *_of_domain(domain), *_of_local(local)))
    found.update(word for said in identities.words for word in _of_local(said.lower()))
    return frozenset(name for name in found if len(name) >= SHORTEST)


def telling(word: str) -> bool:
    """Whether a word in lower case that stands alone can give the trap away.

    >>> telling("joe.miller"), telling("info"), telling("href"), telling("2024")
    (True, False, False, False)
    """
    return len(word) >= SHORTEST and not common(word)


def spellings(name: str) -> Iterator[Spelling]:
    """All spellings of one name: an address, a domain or host, an IP address, or a word.

    Args:
        name: in lower case, one of those that `known` returns.
    """
    if is_ip(name):
        yield from _of_ip(ipaddress.ip_address(name))
    else:
        yield from _spellings(name)


@lru_cache(maxsize=256)
def sums(name: str) -> tuple[tuple[str, bytes], ...]:
    """Check sums of a name in the spellings that are usual: kind and digest."""
    if is_ip(name):
        return ()
    local, at, _ = name.rpartition("@")
    said = [name, name.upper(), f"{name}\n", f"{name}\r\n"]
    if at:
        said += (f"mailto:{name}", f"<{name}>", f"{local.title()}@{name[len(local) + 1 :]}", name.title())
    else:
        said += (name.capitalize(), f"@{name}")
    found = []
    for raw in dict.fromkeys(text.encode("utf-8", "surrogateescape") for text in said):
        found += [(kind, hashlib.new(kind, raw, usedforsecurity=False).digest()) for kind in HASHES]
        if at:
            found.append(("crc32", zlib.crc32(raw).to_bytes(4, "big")))
    return tuple(found)


def is_ip(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _of_domain(domain: str) -> Iterator[str]:
    """A domain or host, what is registered of it, its label, and all as ASCII and as people read it."""
    for form in {domain, _alabels(domain), _ulabels(domain)} - {""}:
        yield form
        if "." not in form:
            continue
        above = registrable(form) or form
        yield above
        labels = [above.partition(".")[0], *form.removesuffix(above).split(".")]
        yield from (label for label in labels if telling(label) and len(label) > SHORTEST)


def _of_local(local: str) -> Iterator[str]:
    """A local part or protected word that tells, what stands before and behind a +, and all without dots."""
    bare, _, tag = local.partition("+")
    for word in {local, bare, tag, local.strip('."')}:
        if telling(word) and (word != tag or len(word) > SHORTEST):
            yield word
            joined = _JOINTS.sub("", word)
            if len(joined) >= _JOINED and telling(joined):
                yield joined


def _spellings(name: str) -> Iterator[Spelling]:
    raw = name.encode("utf-8", "surrogateescape")
    local, at, domain = name.rpartition("@")
    whole = len(name) < LONG and not at
    for form in dict.fromkeys((*_plain(local, at, domain), *_other_cases(name))):
        yield Spelling("plain", form.encode("utf-8", "surrogateescape"), len(form) < LONG and not at)
    yield from _coded(name, raw, whole)
    yield from _turned(name, at, whole)
    yield Spelling("hex", raw.hex().encode(), len(raw) < LONG)
    for codec in ("utf-16-le", "utf-16-be") if not whole else ():
        yield Spelling("utf-16", name.encode(codec, "surrogatepass"))
    yield from _in_base64(name)
    if (coded := _alabels(domain)) not in (domain, ""):
        yield Spelling("punycode", f"{local}{at}{coded}".encode("utf-8", "surrogateescape"), whole)
    for kind, digest in sums(name):
        yield Spelling(kind, digest.hex().encode(), True)
        for encode in (base64.b64encode, base64.urlsafe_b64encode) if kind != "crc32" else ():
            yield Spelling(kind, encode(digest).rstrip(b"="), True, exact=True)


def _plain(local: str, at: str, domain: str) -> Iterator[str]:
    """As people read it, also where @ and dots were made harmless, or may not stand."""
    if not at:
        yield from (domain.replace(".", dot) for dot in _DOT)
        if "." not in domain:
            yield from (form for sign in _BETWEEN if len(form := _JOINTS.sub(sign, domain)) >= _JOINED)
        if len(domain) >= LONG and "." in domain:
            yield from (domain.replace(".", dot) for dot in _FOR_DOT)
            yield domain.replace(".", "dot")  # a text without its spaces
        return
    for sign in _AT:
        yield f"{local}{sign}{domain}"
    for sign, dot in zip(_AT, _DOT, strict=False):
        yield f"{local}{sign}{domain.replace('.', dot)}"
    yield from (f"{local} at {domain.replace('.', ' dot ')}", f"{local}%40{domain}", f"{local}&#64;{domain}")


def _other_cases(name: str) -> Iterator[str]:
    """In capitals, where these are other bytes: what searches takes only letters of ASCII for the same."""
    if not name.isascii():
        yield from (name.upper(), name.title())


def _coded(name: str, raw: bytes, whole: bool) -> Iterator[Spelling]:
    """Each of its characters coded, or those that have to be."""
    hexed = [f"{byte:02x}" for byte in raw]
    url = "".join(f"%{digits}" for digits in hexed)
    usual = "".join(c if c.isalnum() else f"%{ord(c):02x}" for c in name if ord(c) < 256)
    for form in (url, url.replace("%", "%25"), usual, usual.replace("%", "%25")):
        yield Spelling("url", form.encode(), whole and form == name)
    yield Spelling("qp", "".join(f"={digits}" for digits in hexed).encode())
    yield Spelling("qp", usual.replace("%", "=").encode(), whole and usual == name)
    yield Spelling("entity", "".join(f"&#{ord(c)};" for c in name).encode())
    yield Spelling("entity", "".join(f"&#x{ord(c):x};" for c in name).encode())
    named = "".join({"@": "&commat;", ".": "&period;"}.get(c, html.escape(c)) for c in name)
    yield Spelling("entity", named.encode("utf-8", "surrogateescape"), whole and named == name)
    yield Spelling("escape", "".join(f"\\u{ord(c):04x}" for c in name if ord(c) < 65536).encode())
    yield Spelling("escape", "".join(f"\\x{digits}" for digits in hexed).encode())


def _turned(name: str, at: str, whole: bool) -> Iterator[Spelling]:
    """By rot13, and backwards by characters and by labels."""
    if not at and "." not in name and len(name) < _TURNED:
        return
    for kind, form in (
        ("rot13", codecs.encode(name, "rot13")),
        ("reversed", name[::-1]),
        ("reversed", codecs.encode(name[::-1], "rot13")),
    ):
        yield Spelling(kind, form.encode("utf-8", "surrogateescape"), whole)
    local, _, domain = name.rpartition("@")
    if "." in domain:
        turned = ".".join(reversed(domain.split(".")))
        forms = (f"{turned}{at}{local}", f"{local}{at}{turned}", f"{turned}.{local}") if at else (turned,)
        for form in forms:
            yield Spelling("reversed", form.encode("utf-8", "surrogateescape"), whole)


def _in_base64(name: str) -> Iterator[Spelling]:
    """What is the same whatever stands around it, for each of the three places it may begin."""
    found: dict[bytes, str] = {}
    for form in (name, name.upper(), name.capitalize()):
        raw = form.encode("utf-8", "surrogateescape")
        for pad, start in enumerate(BASE64_START):
            for kind, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
                core = encode(bytes(pad) + raw)[start : (pad + len(raw)) * 8 // 6]
                if len(core) >= _FEWEST_BASE64:
                    found.setdefault(core, kind)
    for core, kind in found.items():
        yield Spelling(kind, core, len(core) < _BASE64, exact=True)


def _of_ip(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Iterator[Spelling]:
    """An IP address: as it is, in its longer forms, turned round for the DNS, as one number."""
    plain = {address.compressed, address.exploded}
    if address.version == 4:
        octets = address.exploded.split(".")
        plain.update(address.exploded.replace(".", dot) for dot in ("[.]", "(.)", "-", "_", "[dot]"))
        plain.add("-".join(octets[::-1]))
        plain.update(_in_other_digits(list(map(int, octets))))
        plain.update(f"{mapped}{form}" for mapped in _MAPPED for form in _halves(address.packed))
    plain.add(f"[{address.compressed}]")
    for form in plain:
        yield Spelling("plain", form.encode(), True)
    turned = address.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    yield Spelling("reversed", turned.encode(), True)
    yield Spelling("hex", address.packed.hex().encode(), True)
    if address.version == 4:
        yield Spelling("decimal", str(int(address)).encode(), True)
    yield from (spelling for spelling in _in_base64(address.compressed) if not spelling.whole)


def _in_other_digits(octets: list[int]) -> Iterator[str]:
    """An address as some programs read it (inet_aton): in hexadecimal and octal digits, as one or four."""
    number = int.from_bytes(bytes(octets), "big")
    yield from (f"0x{number:08x}", f"0x{number:x}", f"0{number:o}")
    for form in ("0x{:x}", "0x{:02x}", "0{:o}", "{:04o}", "{:03d}"):
        yield ".".join(map(form.format, octets))


def _halves(packed: bytes) -> Iterator[str]:
    """An address of four bytes as the end of one of 16."""
    yield f"{int.from_bytes(packed[:2], 'big'):x}:{int.from_bytes(packed[2:], 'big'):x}"
    yield f"{packed[:2].hex()}:{packed[2:].hex()}"


def _alabels(domain: str) -> str:
    """A domain as the DNS has it; empty when that can't be told."""
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


def _ulabels(domain: str) -> str:
    """A domain as people read it; empty when that can't be told."""
    if "xn--" not in domain:
        return domain
    try:
        return domain.encode("ascii").decode("idna").lower()
    except UnicodeError:
        return ""
