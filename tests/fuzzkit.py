"""Hostile sessions: what they are made of, how they are cut into packets, and what is checked of each."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

from fuzzmodel import Limits, Model
from wirekit import STEPS, Outcome, Sessions, Step, alive

SETTINGS = """
smtp: {max_size: 3000, max_recipients: 3, auth: offer}
limits: {errors: 8, junk: 12, commands: 60}
spool: {spill_above: 1200}
"""
LIMITS = Limits(size=3000, rcpts=3, errors=8, junk=12, commands=60)

COMMANDS = [
    b"EHLO x\r\n",
    b"EHLO\n",
    b"HELO me\r\n",
    b"helo\n",
    b"LHLO x\r\n",
    b"MAIL FROM:<a@x>\r\n",
    b"MAIL FROM:<>\r\n",
    b"MAIL FROM:<a@x> SIZE=3001\r\n",
    b"mail from: a@x BODY=8BITMIME\n",
    b"MAIL\tFROM\xc3\xbc\r\n",
    b"MAIL FROM:<\xff\0@x> X=1\r\n",
    b"MAIL\r\n",
    b"RCPT TO:<b@y>\r\n",
    b"RCPT TO:<c@y>\r\n",
    b"rcpt to:d@y\n",
    b"RCPT TO:<>\r\n",
    b"RCPT\r\n",
    b"DATA\r\n",
    b"DATA\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY a\r\n",
    b"EXPN a\r\n",
    b"HELP\r\n",
    b"QUIT\r\n",
    b"STARTTLS\r\n",
    b"STARTTLS now\r\n",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH LOGIN\r\n",
    b"AUTH CRAM-MD5\r\n",
    b"AUTH FOO\r\n",
    b"AUTH\r\n",
    b"YWJj\r\n",
    b"*\r\n",
    b"=\r\n",
    b"BDAT 3\r\nabc",
    b"BDAT 5 LAST\r\n.\r\n.\r",
    b"BDAT 0\r\n",
    b"BDAT 0 last\r\n",
    b"BDAT 4000\r\n",
    b"BDAT 99999999999999\r\n",
    b"BDAT x\r\n",
    b"CONNECT x:25 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"\x16\x03\x01\x02\0\x01\0",
    b"\r\n",
    b"\n",
    b"\0",
    b"text",
    b"NOOP " + b"x" * 12_282 + b"\r\n",
    b"NOOP " + b"x" * 12_284 + b"\r\n",
    b"y" * 13_000 + b"\r\n",
]
BODIES = [
    b".\r\n",
    b"\r\n.\r\n",
    b"\r\n.\r\n",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\n.\r\n",
    b"\n.\r",
    b"\r.\r",
    b"\r.\n",
    b"\r\n.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"..",
    b".",
    b"\r",
    b"\n",
    b"\r\n..\r\n",
    b"\n..\n",
    b"text",
    b"\xff\0",
    b"z" * 700,
    b"z" * 2000,
    b"Subject: x\r\n\r\nbuy\r\n",
]
_DAMAGE = (b"", b"\r", b"\n", b".", b"\0", b" ", b"<", b":")
BEGIN = [b"EHLO x\r\n", b"MAIL FROM:<a@x>\r\n", b"RCPT TO:<b@y>\r\n", b"DATA\r\n"]
_REPLY = re.compile(rb"(\d{3})([ -])[^\r\n]*\r\n")
_HTTP = b"HTTP/1.0 200 Connection established\r\n\r\n"
_OF_PACKETS = {"pipelining", "after_data", "pregreet"}
DISTURBANCES = frozenset({"lost", "stop", "wait", "full", "tls", "eof"})
"""After these the model can say no more than what was stored at least, or at most."""


class Complaints(logging.Handler):
    """Whatever the sink has to tell its operator."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def complaints() -> Iterator[list[logging.LogRecord]]:
    """What the sink logs meanwhile."""
    handler, logger = Complaints(), logging.getLogger("trap")
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def said(random: Random) -> bytes:
    """All bytes of one session: more or less a dialogue, and its messages."""
    parts: list[bytes] = []
    for _ in range(random.choice((1, 1, 2, 3))):
        if random.random() < 0.75:
            begin = BEGIN[random.randrange(2) :]
            if random.random() < 0.25:
                begin = [line.replace(b"\r\n", b"\n") for line in begin]
            parts += begin
            parts += random.choices(BODIES, k=random.randrange(8))
            if random.random() < 0.8:
                parts.append(b"\r\n.\r\n")
        parts += random.choices(COMMANDS, k=random.randrange(6))
    if random.random() < 0.3:
        at = random.randrange(len(parts) + 1)
        parts.insert(at, random.choice(COMMANDS) * random.choice((2, 3, 20)))
    data = b"".join(parts)
    if random.random() < 0.15:
        data = _damaged(random, data)
    return data


def _damaged(random: Random, data: bytes) -> bytes:
    """Some bytes lost, doubled or changed."""
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(data) + 1)
        piece = random.choice(
            (b"", b"\r", b"\n", b".", b"\0", b" ", b"<", b":", bytes([random.randrange(256)]))
        )
        data = data[:at] + piece + data[at + random.randrange(2) :]
    return data


def packets(random: Random, data: bytes) -> list[bytes]:
    """The bytes as they may arrive."""
    way = random.random()
    if way < 0.2 or not data:
        return [data] if data else []
    if way < 0.3 and len(data) < 400:
        return [data[at : at + 1] for at in range(len(data))]
    if way < 0.5:
        return data.splitlines(keepends=True)
    cuts = sorted({random.randrange(len(data)) for _ in range(random.randrange(1, 12))} | {0})
    return [data[a:b] for a, b in zip(cuts, [*cuts[1:], len(data)], strict=True)]


def happenings(random: Random, pieces: Sequence[bytes]) -> list[Step]:
    """The same, with what else may happen in between."""
    steps: list[Step] = list(pieces)
    if random.random() < 0.5:
        for _ in range(random.randrange(1, 5)):
            steps.insert(random.randrange(len(steps) + 1), random.choice(STEPS))
    return steps


def codes(said: bytes) -> list[str]:
    """The code of each reply; an AssertionError where what was said is no reply."""
    said = said.replace(_HTTP, b"")
    found, at = [], 0
    while at < len(said):
        line = _REPLY.match(said, at)
        assert line, f"no reply: {said[at : at + 80]!r}"
        if line[2] == b" ":
            found.append(line[1].decode())
        at = line.end()
    return found


def check(outcome: Outcome, script: Sequence[Step], limits: Limits) -> None:
    """Compare with the model what came of a session."""
    heard = codes(outcome.said)
    stored = [(one.envelope.mail_from, one.envelope.rcpt_tos, one.message) for one in outcome.stored]
    ways = {step for step in script if isinstance(step, str)}
    data = b"".join(step for step in script if isinstance(step, bytes))
    model = Model(limits).hear(data)
    if not ways & DISTURBANCES and model.sure:
        assert heard == model.codes
        assert stored == model.stored
        return
    if "tls" in ways or not model.sure:
        return  # what is said after STARTTLS depends on packets
    if "full" in ways:
        at = iter(model.stored)
        assert all(one in at for one in stored), "what was stored was never said"
        return
    assert stored == model.stored[: len(stored)], "a message was split, merged or changed"


class Fuzzer:
    """Plays hostile sessions at several doors.

    Attributes:
        sessions, replies, messages: how many there were.
    """

    def __init__(self) -> None:
        self.sessions = self.replies = self.messages = 0
        self.doors: list[tuple[Sessions, Limits, bytes]] = [
            (Sessions(SETTINGS), LIMITS, b""),
            (Sessions(SETTINGS, lmtp=True), _with(lmtp=True), b""),
            (Sessions(SETTINGS, tls=True, delay=20), _with(tls=True), b""),
            (
                Sessions(SETTINGS, balancers=["10.0.0.0/8"]),
                LIMITS,
                b"PROXY TCP4 192.0.2.1 127.0.0.1 1024 25\r\n",
            ),
        ]

    def session(self, random: Random) -> None:
        """One session, checked; what it was is told when it went wrong."""
        door = random.choice(self.doors)
        data = said(random)
        script = happenings(random, packets(random, door[2] + data))
        early = bool(script) and isinstance(script[0], bytes) and random.random() < 0.2
        self.play(door, script, b"EH" if early and not door[2] else b"")
        if random.random() < 0.1 and not any(isinstance(step, str) for step in script):
            self.alike(door, data, random)

    def play(self, door: tuple[Sessions, Limits, bytes], script: list[Step], early: bytes = b"") -> Outcome:
        sessions, limits, header = door
        outcome = sessions.play(script, early)
        self.sessions += 1
        self.replies += outcome.said.count(b"\r\n")
        self.messages += len(outcome.stored)
        assert not alive, "a connection lives on"
        heard = _without(header, script)
        if heard is not None:
            check(outcome, heard, limits)
        return outcome

    def alike(self, door: tuple[Sessions, Limits, bytes], data: bytes, random: Random) -> None:
        """The same bytes in other packets have the same outcome."""
        if b"STARTTLS" in data.upper():
            return
        one, other = (self.play(door, list(packets(random, door[2] + data))) for _ in range(2))
        assert one.said == other.said
        assert [_essence(stored) for stored in one.stored] == [_essence(stored) for stored in other.stored]

    def close(self) -> None:
        for sessions, _, _ in self.doors:
            sessions.close()


def _with(*, lmtp: bool = False, tls: bool = False) -> Limits:
    return Limits(LIMITS.size, LIMITS.rcpts, LIMITS.errors, LIMITS.junk, LIMITS.commands, lmtp, tls)


def _without(header: bytes, script: list[Step]) -> list[Step] | None:
    """A script less what a load balancer said; None when that did not come whole."""
    left = len(header)
    rest: list[Step] = []
    for step in script:
        if isinstance(step, str):
            if left and step in DISTURBANCES:
                return None
            rest.append(step)
        else:
            rest.append(step[left:])
            left -= min(left, len(step))
    return None if left else rest


def _essence(stored: object) -> object:
    """What was stored, less what depends on packets and clocks."""
    queue, envelope, message = stored  # type: ignore[misc]
    kept = envelope.to_map()
    for name in ("connected_at", "first_command_at", "received_at"):
        kept.pop(name, None)
    dialect = kept.pop("dialect", {})
    kept["dialect"] = {
        name: dialect[name] for name in dialect.keys() - {"pipelining", "after_data", "pregreet"}
    }
    return queue, kept, message
