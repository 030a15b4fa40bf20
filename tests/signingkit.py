"""Keys of our own, and messages signed with them by dkimpy, which knows nothing of what checks them."""

import base64
import random
from functools import cache
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicNumbers,
    generate_private_key,
    rsa_crt_dmp1,
    rsa_crt_dmq1,
    rsa_crt_iqmp,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

DOMAIN = "sender.example"
MESSAGE = (
    b"From: Joe <joe@sender.example>\r\n"
    b"To: ann@trap.example\r\n"
    b"Subject:  cheap   pills\r\n"
    b"\tfor you\r\n"
    b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    b"Message-ID: <1@sender.example>\r\n"
    b"\r\n"
    b"Buy  now! \r\n"
    b"\tIt is\tcheap.\r\n"
    b"\r\n"
    b"\r\n"
)


@cache
def rsa(bits: int) -> RSAPrivateKey:
    """A key, the same one each time; also one that is so weak that nobody should make it any more."""
    return generate_private_key(65537, bits) if bits >= 1024 else _weak(bits)


def _weak(bits: int) -> RSAPrivateKey:
    p, q = _prime(bits // 2), _prime(bits // 2)
    d = pow(65537, -1, (p - 1) * (q - 1))
    parts = rsa_crt_dmp1(d, p), rsa_crt_dmq1(d, q), rsa_crt_iqmp(p, q)
    return RSAPrivateNumbers(p, q, d, *parts, RSAPublicNumbers(65537, p * q)).private_key()


def _prime(bits: int) -> int:
    while True:
        number = random.getrandbits(bits) | 1 | 3 << bits - 2
        if all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7, 11)):
            return number


def pem(bits: int = 1024) -> bytes:
    """Its private half, as dkimpy reads it."""
    return rsa(bits).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def record(bits: int = 1024, tags: str = "v=DKIM1; k=rsa; ") -> str:
    """Its public half, as it stands in the DNS."""
    public = rsa(bits).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"TXT {tags}p={base64.b64encode(public).decode('ascii')}"


def zone(bits: int = 1024, selector: str = "trap", domain: str = DOMAIN) -> dict[str, list[str]]:
    """A zone with the key in it."""
    return {f"{selector}._domainkey.{domain}": [record(bits)]}


def signed(message: bytes = MESSAGE, bits: int = 1024, **more: Any) -> bytes:
    """A message with a signature in front."""
    return signature(message, bits, **more) + message


def signature(message: bytes = MESSAGE, bits: int = 1024, **more: Any) -> bytes:
    """Only the signature."""
    settings = {"selector": b"trap", "domain": DOMAIN.encode("ascii"), **more}
    made: bytes = dkim.sign(message, privkey=pem(bits), **settings)
    return made


def sealed(message: bytes, domain: str, results: str = "spf=pass") -> bytes:
    """A message that somebody passed on with a seal of ARC; its last hop's results stand in it as well."""
    name = domain.encode("ascii")
    message = b"Authentication-Results: %s; %s\r\n" % (name, results.encode("ascii")) + message
    names = [b"from", b"to", b"subject", b"date"]
    made = dkim.arc_sign(message, b"trap", name, pem(), name, include_headers=names)
    return b"".join(made) + message
