"""The face the trap shows: the replies of a well-known mail server, so that probes see an ordinary one.

What each server says is data, in trap/facewords.py. Here it is made into replies, bytes with CRLF
that are ready to be sent, once for a sink; only what tells of a client or a message is filled in
later. What a client said is repeated in printable ASCII and cut, so that it can't begin a line of
its own.

    >>> face = Face(Config(smtp=Smtp(hostname="mx.trap.example", face="sendmail")))
    >>> face.no_such_user("bob\\r\\n250 ok@trap.example")
    b'550 5.1.1 <bob??250 ok@trap.example>... User unknown\\r\\n'
"""

import re
import time
from collections.abc import Callable
from email.utils import formatdate

from trap.config import Config, Smtp
from trap.facewords import WORDS, Words

ECHO = 200
"""Bytes of what a client said that are repeated to it at most: a reply line has 512 (RFC 5321, 4.5.3.1.5)."""
_PRINTABLE = bytes(code if 32 <= code < 127 else ord("?") for code in range(256))
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BLANK = re.compile(r"\{[a-z]+\}")

Fixed = Callable[[], bytes]
Echoing = Callable[[str], bytes]


def printable(said: str) -> bytes:
    """What a client said as it may stand in a reply: cut, in ASCII, anything else as "?"."""
    return said[:ECHO].encode("ascii", "replace").translate(_PRINTABLE)


class Face:
    """Replies in the words of one server. The attributes are called like methods.

    Args:
        config: smtp.face, smtp.auth, smtp.max_size and hostname are used.
    """

    def __init__(self, config: Config) -> None:
        words = WORDS[config.smtp.face]
        known = {"{host}": printable(config.hostname).decode(), "{max}": str(int(config.smtp.max_size))}

        def line(text: str) -> str:
            return (
                _BLANK.sub(lambda blank: known.get(blank[0], blank[0]), text).replace("\n", "\r\n") + "\r\n"
            )

        def fixed(text: str) -> Fixed:
            reply = line(text).encode()
            return lambda: reply

        def echoing(text: str) -> Echoing:
            head, blank, tail = (part.encode() for part in line(text).partition("{said}"))
            return (lambda said: head + printable(said) + tail) if blank else (lambda _said: head)

        self._greeting(words, config.smtp, line)
        self.mail_ok = echoing(words.mail_ok)
        self.rcpt_ok = echoing(words.rcpt_ok)
        self.data_go = fixed(words.data_go)
        self._queued = line(words.queued).replace("%", "%%").replace("{id}", "%s")
        self._queue_id = _QUEUE_IDS[config.smtp.face]
        self.rset = fixed(words.rset)
        self.noop = fixed(words.noop)
        self.vrfy = echoing(words.vrfy)
        self.expn = fixed(words.expn)
        self.help = fixed(words.help)
        self.quit = fixed(words.quit)
        self.unknown_verb = echoing(words.unknown_verb)
        self.line_too_long = fixed(words.line_too_long)
        self.mail_syntax = fixed(words.mail_syntax)
        self.rcpt_syntax = fixed(words.rcpt_syntax)
        self.no_address = fixed(words.no_address)
        self.mail_first = fixed(words.mail_first)
        self.rcpt_first = fixed(words.rcpt_first)
        self.no_valid_recipients = fixed(words.no_valid_recipients)
        self.no_such_user = echoing(words.no_such_user)
        self.too_many_recipients = fixed(words.too_many_recipients)
        self.declared_too_large = fixed(words.declared_too_large)
        self.too_large = fixed(words.too_large)
        self.no_room = fixed(words.no_room)
        self.not_offered = fixed(words.not_offered)
        self.starttls_ready = fixed(words.starttls_ready)
        self.starttls_not_now = fixed(words.starttls_not_now)
        self.starttls_unknown = fixed(words.starttls_unknown)
        self.starttls_argument = fixed(words.starttls_argument)
        self._bdat_ok = echoing(words.bdat_ok)
        self.bdat_syntax = fixed(words.bdat_syntax)
        self.bdat_begun = fixed(words.bdat_begun)
        self._wrong = (fixed(words.wrong_protocol), fixed(words.wrong_protocol_lmtp))
        self.auth_ok = fixed(words.auth_ok)
        self.auth_failed = fixed(words.auth_failed)
        self.auth_syntax = fixed(words.auth_syntax)
        self.auth_unknown = echoing(words.auth_unknown)
        self.auth_aborted = fixed(words.auth_aborted)
        self._hang_ups = {
            (code, cause): line(_with_code(code, text)).encode()
            for cause, text in words.hang_up.items()
            for code in (421, 521)
        }

    def _greeting(self, words: Words, smtp: Smtp, line: Callable[[str], str]) -> None:
        """Prepare what is said to those who come."""
        self._banner = line(words.banner).removesuffix("\r\n")
        self._banner_at = -1
        self._banner_now = b""
        self._helo = line(words.helo)
        self._ehlo = line("250-" + words.ehlo)
        offers = [line(offer) for offer in words.offers.split(", ")]
        if smtp.auth not in {"offer", "accept"}:
            offers = [offer for offer in offers if not offer.startswith("AUTH ")]
        self._offers = {
            starttls: _several([offer for offer in offers if starttls or offer != "STARTTLS\r\n"])
            for starttls in (False, True)
        }

    def banner(self, hint: str = "") -> bytes:
        """The first line.

        Args:
            hint: a word about the trap's state for people who look, put at its end.
        """
        if self._banner_at != (now := int(time.time())):
            self._banner_at = now
            self._banner_now = self._banner.replace("{now}", formatdate(now, localtime=True)).encode()
        return self._banner_now + (b" " + printable(hint) if hint else b"") + b"\r\n"

    def helo(self, name: str, ip: str) -> bytes:
        """To HELO by a client that calls itself `name` and comes from `ip`."""
        return _introduced(self._helo, name, ip)

    def ehlo(self, name: str, ip: str, *, starttls: bool) -> bytes:
        """To EHLO and LHLO; STARTTLS is among the offers when it may be begun now."""
        return _introduced(self._ehlo, name, ip) + self._offers[starttls]

    def queued(self, job_id: str) -> bytes:
        """To a message that is stored.

        Args:
            job_id: told as it is by the plain face; by others in the form of that server's own ids.
        """
        return (self._queued % self._queue_id(job_id)).encode()

    def bdat_ok(self, size: int) -> bytes:
        """To a chunk of `size` bytes that is not the last."""
        return self._bdat_ok(str(size))

    def wrong_protocol(self, lmtp: bool) -> bytes:
        """To the greeting of the other protocol; `lmtp` is what is spoken here."""
        return self._wrong[lmtp]()

    def hang_up(self, code: int, cause: str) -> bytes:
        """The last words to a client that is put out.

        Args:
            code: 421, come again later, or 521, do not.
            cause: timeout, errors, commands, duration, slow, shutdown, busy, internal or rate.
        """
        return self._hang_ups[code, cause]


def _several(lines: list[str]) -> bytes:
    """Lines that follow a first one, in the manner of SMTP: the last one has a blank after its code."""
    return "".join(["250-" + one for one in lines[:-1]] + ["250 " + lines[-1]]).encode()


def _introduced(reply: str, name: str, ip: str) -> bytes:
    if "{" not in reply:
        return reply.encode()
    # In one pass: a client may well be called "{ip}".
    told = {"{ip}": ip, "{name}": printable(name).decode() or f"[{ip}]"}
    return _BLANK.sub(lambda blank: told[blank[0]], reply).encode()


def _with_code(code: int, text: str) -> str:
    """A text for code 421 as it is said with `code`; an enhanced code (RFC 3463) follows in its class."""
    if code == 421:
        return text
    digit = r"^421|(?<=^421 )4(?=\.)|(?<=#)4(?=\.)"
    return re.sub(digit, lambda part: str(code) if part[0] == "421" else "5", text)


def _digits(number: int, base: int, width: int) -> str:
    """The last `width` digits of a number, in base 62 or below."""
    made = ""
    for _ in range(width):
        number, digit = divmod(number, base)
        made = _BASE62[digit] + made
    return made


# A job id is seconds and microseconds in decimal, then 32 random bits in hex (trap.job.new_id).


def _plain_id(job_id: str) -> tuple[str, ...]:
    return (job_id,)


def _postfix_id(job_id: str) -> tuple[str, ...]:
    """Microseconds and inode, both in hex (short queue ids)."""
    return (f"{int(job_id[10:16]):05X}{0x20000 + int(job_id[16:], 16) % 0x3F0000:X}",)


def _exim_id(job_id: str) -> tuple[str, ...]:
    """Seconds, process and fraction in base 62, as since Exim 4.97."""
    pid = 300 + int(job_id[16:], 16) % 4_000_000
    fraction = int(job_id[10:16]) * 2
    return (f"{_digits(int(job_id[:10]), 62, 6)}-{_digits(pid, 62, 11)}-{_digits(fraction, 62, 4)}",)


def _sendmail_id(job_id: str) -> tuple[str, ...]:
    """Year, month, day, hour, minute and second, a sequence number, the process."""
    at, chance = time.gmtime(int(job_id[:10])), int(job_id[16:], 16)
    moment = (at.tm_year - 1900, at.tm_mon - 1, *at[2:6])
    pid = 300 + chance % 32_000
    return ("".join(_BASE62[part % 60] for part in moment) + _digits(chance >> 20, 60, 2) + f"{pid:06d}",)


def _exchange_id(job_id: str) -> tuple[str, ...]:
    """A message id of its own, as mail gets that has none, and the number of its row."""
    return f"{int(job_id[:16]):x}{job_id[16:]}", job_id[4:15]


def _qmail_id(job_id: str) -> tuple[str, ...]:
    """Seconds and the process of qmail-queue."""
    return job_id[:10], str(300 + int(job_id[16:], 16) % 32_000)


_QUEUE_IDS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "plain": _plain_id,
    "postfix": _postfix_id,
    "exim": _exim_id,
    "sendmail": _sendmail_id,
    "exchange": _exchange_id,
    "qmail": _qmail_id,
}
