"""Public keys of DKIM and ARC, as they stand in the DNS (RFC 6376, 3.6.1; RFC 8301; RFC 8463).

Whoever sends mail chooses the key that it is checked with, so keys are bounded before anything is computed
with them: numbers of 16,384 bits would cost seconds for each signature.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from stages.authentication import taglist

MAX_RECORD = 16 << 10
"""Bytes of a key's record."""
MIN_BITS, MAX_BITS = 1024, 8192
"""Of RSA keys: smaller ones prove nothing (RFC 8301), larger ones only cost time."""
MAX_EXPONENT = 64
"""Bits of the exponent of an RSA key; all keys in use have 2 or 17."""
HOLDS_KEY = re.compile(rb"(?:^|;)\s*p\s*=")
"""What the record of a key has in it, and hardly any other."""
HASHES = {"sha1": SHA1(), "sha256": SHA256()}  # noqa: S303  # what is signed with it is told, not believed


class BadKey(ValueError):
    """A record that holds no key that can be used; as text, why."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key and what its record says of it.

    Attributes:
        kind: rsa or ed25519.
        bits: its size.
        hashes: those it may be used with; all when empty.
        testing: the domain only tries DKIM out.
        strict: it signs for its very domain, not for subdomains.
    """

    kind: str
    bits: int
    public: RSAPublicKey | Ed25519PublicKey
    hashes: frozenset[str] = frozenset()
    testing: bool = False
    strict: bool = False

    def signed(self, signature: bytes, digest: bytes, algorithm: str) -> bool:
        """Whether a signature of a hash was made with its private half.

        Args:
            signature: as bytes.
            digest: the hash of what was signed.
            algorithm: sha1 or sha256, that of the hash.
        """
        try:
            if isinstance(self.public, Ed25519PublicKey):
                self.public.verify(signature, digest)
            else:
                self.public.verify(signature, digest, PKCS1v15(), Prehashed(HASHES[algorithm]))
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True


def parse(record: bytes) -> Key:
    """Read the record of a key.

    Raises:
        BadKey: there is none in it, or none that can be used.
    """
    if len(record) > MAX_RECORD:
        raise BadKey(f"a record of {len(record)} bytes")
    try:
        tags = taglist.parse(record.decode("utf-8", "replace"))
    except taglist.BadTags as error:
        raise BadKey(str(error)) from error
    if tags.get("v", "DKIM1") != "DKIM1":
        raise BadKey("another version")
    if not {"*", "email"} & set(taglist.words(tags.get("s", "*"))):
        raise BadKey("it is not for mail")
    if "p" not in tags:
        raise BadKey("there is no key in the record")
    if not tags["p"]:
        raise BadKey("revoked")
    kind = tags.get("k", "rsa").lower()
    public = _public(kind, tags["p"])
    flags = taglist.words(tags.get("t", ""))
    return Key(
        kind,
        public.key_size if isinstance(public, RSAPublicKey) else 256,
        public,
        frozenset(taglist.words(tags["h"])) if "h" in tags else frozenset(),
        testing="y" in flags,
        strict="s" in flags,
    )


def _public(kind: str, text: str) -> RSAPublicKey | Ed25519PublicKey:
    try:
        raw = base64.b64decode(taglist.joined(text), validate=True)
        if kind == "ed25519":
            return Ed25519PublicKey.from_public_bytes(raw)
        if kind != "rsa":
            raise BadKey(f"of an unknown kind, {kind}")
        public = load_der_public_key(raw)
    except (binascii.Error, UnsupportedAlgorithm, ValueError) as error:
        raise error if isinstance(error, BadKey) else BadKey("it can't be read") from error
    if not isinstance(public, RSAPublicKey):
        raise BadKey("it is not of the kind that it says")
    if public.key_size > MAX_BITS:
        raise BadKey(f"{public.key_size} bits")
    if public.public_numbers().e.bit_length() > MAX_EXPONENT:
        raise BadKey("an exponent that nobody uses")
    return public
