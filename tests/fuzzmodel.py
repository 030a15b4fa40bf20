"""What must come of a session, found another way: from all its bytes at once, and with as little as will do.

The model knows neither packets nor time. It tells the code of every reply, and every message that must
have been stored. From where it can't tell (TLS has begun), it says so.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field

MAX_LINE = 12_288


@dataclass
class Limits:
    """Those of the sink that the model is compared with."""

    size: int
    rcpts: int
    errors: int
    junk: int
    commands: int
    lmtp: bool = False
    tls: bool = False


@dataclass
class Model:
    """One session."""

    limits: Limits
    codes: list[str] = field(default_factory=lambda: ["220"])
    stored: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    sure: bool = True
    """False: what came after this is not known."""
    over: bool = False
    crlf: bool = False
    refusals: int = 0
    junk: int = 0
    commands: int = 0
    sender: str | None = None
    rcpts: list[str] = field(default_factory=list)
    chunks: bytes | None = None
    asked: list[str] | None = None
    """What AUTH still wants to hear."""

    def hear(self, data: bytes) -> "Model":
        """All that a client says, from its first byte to its last."""
        while not self.over and self.sure and (end := data.find(b"\n")) >= 0:
            line, data = data[:end], data[end + 1 :]
            self.crlf = self.crlf or line.endswith(b"\r")
            self.commands += 1
            before = self.refusals, self.junk
            data = self._line(line.removesuffix(b"\r"), data)
            if not self.over and (before != (self.refusals, self.junk) or self.commands >= self._most):
                self._too_much()
        return self

    @property
    def _most(self) -> int:
        return self.limits.commands

    def _too_much(self) -> None:
        limits = self.limits
        if self.refusals >= limits.errors or self.junk >= limits.junk or self.commands >= limits.commands:
            self.codes.append("421")
            self.over = True

    def _say(self, code: str, times: int = 1) -> None:
        self.codes += [code] * times
        self.refusals += times if code[0] in "45" else 0

    def _line(self, line: bytes, rest: bytes) -> bytes:
        """One line; returns what is left after it and what belongs to it."""
        if self.asked is not None:
            self._answer(line)
        elif len(line) > MAX_LINE:
            self._say("500")
        else:
            words = line.decode("utf-8", "surrogateescape").split(None, 1)
            verb = words[0].upper() if words else ""
            argument = words[1].strip() if len(words) > 1 else ""
            if verb == "DATA":
                return self._data(rest)
            if verb == "BDAT":
                return self._bdat(argument, rest)
            if verb in {"CONNECT", "POST", "PUT"}:
                return self._http(verb, rest)
            self._command(verb, argument)
        return rest

    def _command(self, verb: str, argument: str) -> None:
        if verb in {"HELO", "EHLO", "LHLO"}:
            if (verb == "LHLO") == self.limits.lmtp:
                self._reset()
                self._say("250")
            else:
                self._say("500")
        elif verb == "MAIL":
            self._mail(argument)
        elif verb == "RCPT":
            self._rcpt(argument)
        elif verb in {"RSET", "NOOP", "VRFY", "HELP"}:
            self.junk += 1
            self._say({"VRFY": "252", "HELP": "214"}.get(verb, "250"))
            if verb == "RSET":
                self._reset()
        elif verb == "EXPN":
            self._say("502")
        elif verb == "AUTH":
            self._auth(argument)
        elif verb == "STARTTLS":
            self._starttls(argument)
        elif verb == "QUIT":
            self.codes.append("221")
            self.over = True
        else:
            self.junk += 1
            self._say("500")

    def _reset(self) -> None:
        self.sender, self.rcpts, self.chunks = None, [], None

    def _mail(self, argument: str) -> None:
        self._reset()
        found = self._path(argument, "FROM")
        if found is None:
            return self._say("501")
        sizes = [int(p[5:]) for p in found[1].split() if re.fullmatch(r"(?i:size)=[0-9]{1,20}", p)]
        if max(sizes, default=0) > self.limits.size:
            return self._say("552")
        self.sender = found[0]
        return self._say("250")

    def _rcpt(self, argument: str) -> None:
        if self.sender is None:
            return self._say("503")
        found = self._path(argument, "TO")
        if found is None or not found[0]:
            return self._say("501")
        if len(self.rcpts) >= self.limits.rcpts:
            return self._say("452")
        self.rcpts.append(found[0])
        return self._say("250")

    def _path(self, argument: str, word: str) -> tuple[str, str] | None:
        """Address and parameters, by going through them once."""
        if argument[: len(word)].upper() != word:
            return None
        rest = argument[len(word) :]
        bare = rest.lstrip()
        if bare.startswith(":"):
            bare = bare[1:].lstrip()
        elif bare == rest:
            return None
        if bare.startswith("<"):
            self.sure = self.sure and '"' not in bare  # quoted strings are tested elsewhere
            address, _, params = bare[1:].partition(">")
            return address, params
        at = next((at for at, c in enumerate(bare) if c.isspace() or c in "<>"), len(bare))
        return bare[:at], bare[at:]

    def _starttls(self, argument: str) -> None:
        if argument or not self.limits.tls:
            return self._say("501" if argument else "503")
        self.codes.append("220")
        self.sure = False
        return None

    def _auth(self, argument: str) -> None:
        mechanism, _, first = argument.strip().partition(" ")
        if not re.fullmatch(r"[A-Z][A-Z0-9_-]{0,19}|[a-z][a-z0-9_-]{0,19}|[A-Z][a-z]{0,19}", mechanism, re.A):
            return self._say("501")
        wants = {"PLAIN": ["plain"], "LOGIN": ["name", "password"], "CRAM-MD5": ["digest"]}
        self.asked = wants.get(mechanism.upper())
        if self.asked is None:
            return self._say("504")
        if first.strip() and mechanism.upper() != "CRAM-MD5":
            return self._answer(first.encode("utf-8", "replace"))
        return self.codes.append("334")

    def _answer(self, line: bytes) -> None:
        assert self.asked is not None
        line = line.strip()
        good = line == b"="
        if not good and line != b"*" and len(line) <= MAX_LINE:
            try:
                base64.b64decode(line, validate=True)
                good = True
            except binascii.Error:
                pass
        self.asked = self.asked[1:] if good else []
        if self.asked:
            return self.codes.append("334")
        self.asked = None
        return self._say("535" if good else "501")

    def _http(self, verb: str, rest: bytes) -> bytes:
        while self.commands < self._most and (end := rest.find(b"\n")) >= 0:
            line, rest = rest[:end], rest[end + 1 :]
            self.commands += 1
            if not line.rstrip(b"\r") or self.commands >= self._most:
                if verb == "CONNECT":
                    self.codes.append("220")
                return rest
        return rest if self.commands >= self._most else b""

    def _data(self, rest: bytes) -> bytes:
        if self.chunks is not None or not self.rcpts:
            self._say("503")
            return rest
        self.codes.append("354")
        if self.commands >= self._most:
            self._too_much()
            return b""
        found = end_of_data(rest, self.crlf)
        if found is None:
            self.over = True  # it never ended
            return b""
        message, rest, self.crlf = found
        self._end(message)
        return rest

    def _end(self, message: bytes, *, last: bool = True) -> None:
        each = len(self.rcpts) if self.limits.lmtp and last else 1
        if len(message) > self.limits.size:
            # One refusal, said to each.
            self.refusals += 1
            self.codes += ["552"] * each
        else:
            self.junk = 0
            assert self.sender is not None
            self.stored.append((self.sender, self.rcpts, message))
            self.codes += ["250"] * each
        self._reset()

    def _bdat(self, argument: str, rest: bytes) -> bytes:
        said = re.fullmatch(r"([0-9]{1,18})(?:\s+(LAST))?", argument, re.IGNORECASE | re.ASCII)
        if not said:
            self._say("501")
            self.over = True
            return b""
        size = int(said[1])
        refused = self.chunks is None and not self.rcpts
        if refused:
            self.refusals += 1
        whole = len(rest) >= size
        if self.commands >= self._most or self.refusals >= self.limits.errors:
            whole = whole and size == 0  # it is put out before anything else is heard
        chunk, rest = rest[:size], rest[size:]
        if not whole:
            self.over = not (self.commands >= self._most or self.refusals >= self.limits.errors)
            return b""
        if refused:
            self.codes.append("503")
            self._reset()
            return rest
        self.chunks = (self.chunks or b"") + chunk
        if said[2] or len(self.chunks) > self.limits.size:
            self._end(self.chunks, last=bool(said[2]))
        else:
            self.codes.append("250")
        return rest


def end_of_data(rest: bytes, crlf: bool) -> tuple[bytes, bytes, bool] | None:
    """A message after DATA, what follows it, and whether a CRLF was ever seen; None: it has no end."""
    text = (b"\r\n" if crlf else b"\n") + rest
    first = -1 if crlf else text.find(b"\r\n")
    if not crlf:
        end = text.find(b"\n.\n")
        if end >= 0 and not 0 <= first < end:
            return re.sub(rb"(?<=\n)\.", b"", text[: end + 1])[1:], text[end + 3 :], False
        if first < 0:
            return None
    start = max(first, 0)
    end = text.find(b"\r\n.\r\n", start)
    if end < 0:
        return None
    # Up to the first CRLF each line's dot is stuffing, but for one that stands alone.
    head = re.sub(rb"(?<=\n)\.(?!\Z)", b"", text[:start])
    tail = re.sub(rb"(?<=\r\n)\.|(?<=[^\r]\n)\.(?=\.)", b"", text[start : end + 2])
    return (head + tail)[1 if not crlf else 2 :], text[end + 5 :], True
