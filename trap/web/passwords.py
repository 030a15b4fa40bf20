"""Passwords and tokens, kept as hashes only. What they look like is in trap/configweb.py."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from trap.configweb import PASSWORD

_COST = 15
"""scrypt's N is 2**15: 32 MiB and about 60 ms a try."""
_MAX = 1000


def hashed(password: str) -> str:
    """What is written into the configuration for a password (scrypt, RFC 7914)."""
    salt = secrets.token_bytes(16)
    return f"scrypt:{_COST}:{salt.hex()}:{_key(password, salt, _COST).hex()}"


def is_right(password: str, known: str) -> bool:
    """Whether a password is the one that was hashed. Takes about 60 ms, also for one that is not."""
    match = PASSWORD.fullmatch(known)
    if not match:
        return False
    key = _key(password, bytes.fromhex(match[2]), int(match[1]))
    return hmac.compare_digest(key, bytes.fromhex(match[3]))


def new_token() -> tuple[str, str]:
    """A token for a program, and what is written into the configuration for it."""
    token = "st_" + secrets.token_urlsafe(32)
    return token, hashed_token(token)


def hashed_token(token: str) -> str:
    """How the configuration keeps a token."""
    return "sha256:" + hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def owner(token: str, tokens: Mapping[str, str]) -> str | None:
    """The program a token belongs to."""
    tried = hashed_token(token)
    found = [name for name, known in tokens.items() if hmac.compare_digest(known, tried)]
    return found[0] if found else None


def _key(password: str, salt: bytes, cost: int) -> bytes:
    data = password[:_MAX].encode("utf-8", "surrogateescape")
    return hashlib.scrypt(data, salt=salt, n=1 << cost, r=8, p=1, maxmem=1 << 28, dklen=32)
