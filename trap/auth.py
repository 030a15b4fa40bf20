"""AUTH (RFC 4954) as a trap hears it: who tries to log in, by which mechanism, and with what.

The name a client gives is kept in the clear, for it names the account that is attacked. Of the
password, or of the answer that was computed from it, only a hash is kept, keyed with the trap's
own secret: equal guesses are seen to be equal, and what was guessed is not in the archive.

    >>> from trap.config import Config, Smtp
    >>> talk = attempt("LOGIN", Face(Config(smtp=Smtp(face="plain"))), b"secret", accept=False)
    >>> next(talk), talk.send(b"Ym9i")
    (b'334 VXNlcm5hbWU6\\r\\n', b'334 UGFzc3dvcmQ6\\r\\n')
    >>> try:
    ...     talk.send(b"MTIzNA==")
    ... except StopIteration as end:
    ...     end.value[0], end.value[1]["user"]
    (b'535 5.7.8 Authentication failed\\r\\n', 'bob')
"""

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Callable, Generator
from typing import Any

from trap.face import Face

MAX_LINE = 12_288
"""Bytes of one answer of a client: what RFC 4954 (section 4) asks servers to take."""
MAX_NAME = 320
"""Characters kept of a name."""
_MECHANISM = re.compile(r"[A-Z][A-Z0-9_-]{0,19}|[a-z][a-z0-9_-]{0,19}|[A-Z][a-z]{0,19}", re.ASCII)
"""Names of mechanisms (RFC 4422, 3.1) in the spellings that are seen. What mixes upper and lower case may
well be base64 of a password whose mechanism was left out: that is neither recorded nor repeated."""

_TELLING = re.compile(r"\s*(?:\S+\s+)??(?:AUTH|LOGIN|PASS)|.*?\sPASS(?=\s)", re.IGNORECASE)
"""The begin of a line, up to a word that a password may follow."""

Talk = Generator[bytes, bytes, tuple[bytes, dict[str, Any]]]
_Part = Generator[bytes, bytes, dict[str, Any]]


class _Ended(Exception):
    """The talk is over before its end, for a reason that is recorded."""


def attempt(argument: str, face: Face, key: bytes, *, accept: bool) -> Talk:
    """Hear one attempt.

    Args:
        argument: what stood after AUTH: a mechanism, maybe with the client's first words.
        face: says the replies.
        key: the password is hashed with it (trap.keys).
        accept: whether the attempt shall succeed once it is heard.

    Yields:
        Challenges (334); each is answered by the client's line, without its end.

    Returns:
        The last reply, and what to record: `mechanism`, then as far as they were said `user`,
        `authorize` (on whose behalf), `password` (hash in hex, or "" for an empty one), and `error`
        when it came to no end: `syntax`, `base64`, `aborted`, `long`, or `mechanism`, one we do not speak.
    """
    mechanism, _, first = argument.strip().partition(" ")
    if not _MECHANISM.fullmatch(mechanism):
        return face.auth_syntax(), {"mechanism": "", "error": "syntax"}
    fact: dict[str, Any] = {"mechanism": mechanism.upper()}
    hear = _MECHANISMS.get(fact["mechanism"])
    if hear is None:
        return face.auth_unknown(fact["mechanism"]), fact | {"error": "mechanism"}
    try:
        fact |= yield from hear(first.strip(), key)
    except _Ended as end:
        cause = str(end)
        reply = face.auth_aborted() if cause == "aborted" else face.auth_syntax()
        return reply, fact | {"error": cause}
    return (face.auth_ok() if accept else face.auth_failed()), fact


def hashed(secret: bytes, key: bytes) -> str:
    """What is kept of a password: the same for equal ones, and nothing without the key."""
    return hashlib.blake2b(secret, key=key, digest_size=16).hexdigest() if secret else ""


def harmless(line: str, *, after_auth: bool) -> str:
    """What may be kept and repeated of a line that was no command.

    After AUTH it may be a password that came too late: then nothing. POP3 and FTP say theirs with PASS,
    IMAP with LOGIN or AUTHENTICATE behind a tag, and AUTH=PLAIN is a spelling of AUTH: then what comes
    before it.
    """
    if after_auth:
        return ""
    found = _TELLING.match(line)
    return found[0].strip() if found else line


def _ask(challenge: bytes) -> Generator[bytes, bytes, bytes]:
    """Say a challenge and hear the answer to it."""
    said = yield b"334 " + base64.b64encode(challenge) + b"\r\n"
    return _decoded(said)


def _decoded(said: bytes) -> bytes:
    """One answer of a client, which is base64, or "*" to give up, or "=" for nothing (RFC 4954, 4)."""
    said = said.strip()
    if said == b"*":
        raise _Ended("aborted")
    if said == b"=":
        return b""
    if len(said) > MAX_LINE:
        raise _Ended("long")
    try:
        return base64.b64decode(said, validate=True)
    except binascii.Error:
        # Without its cause: that would name what was said, and this is a password.
        raise _Ended("base64") from None


def _name(said: bytes) -> str:
    return said.decode("utf-8", "replace")[:MAX_NAME]


def _plain(first: str, key: bytes) -> _Part:
    """PLAIN (RFC 4616): on whose behalf, who, and the password, parted by NUL.

    With a NUL at the wrong place, or too few of them, the password is still what comes last: it shall
    not be taken for a name.
    """
    said = _decoded(first.encode("utf-8", "replace")) if first else (yield from _ask(b""))
    parts = said.split(b"\0", 2)
    if len(parts) == 3 and parts[0] and not parts[2]:
        parts.pop()
    password, user, authorize = [*reversed(parts), b"", b""][:3]
    fact = {"user": _name(user), "password": hashed(password, key)}
    return fact | {"authorize": _name(authorize)} if authorize else fact


def _login(first: str, key: bytes) -> _Part:
    """LOGIN, which was never more than a draft: name and password one after the other."""
    user = _decoded(first.encode("utf-8", "replace")) if first else (yield from _ask(b"Username:"))
    password = yield from _ask(b"Password:")
    return {"user": _name(user), "password": hashed(password, key)}


def _cram_md5(_first: str, key: bytes) -> _Part:
    """CRAM-MD5 (RFC 2195). The challenge is always the same, and so is what equal passwords make of it."""
    one, two = struct.unpack("!II", hashlib.blake2b(b"challenge", key=key, digest_size=8).digest())
    said = yield from _ask(b"<%d.%d@mail>" % (one, two))
    user, _, digest = said.rpartition(b" ")
    return {"user": _name(user), "password": hashed(digest, key)}


_MECHANISMS: dict[str, Callable[[str, bytes], _Part]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
}
