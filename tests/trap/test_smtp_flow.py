"""What packets, pauses and crowds do to a connection: played without a socket (tests/wirekit.py)."""

import errno
import gc
import os
import socket
import time
import weakref
from collections.abc import Callable, Iterator

import pytest
from fuzzkit import codes
from wirekit import HIGH_WATER, Loop, Sessions, Transport, Watched

from trap.connection import MAX_LINE, MAX_OUT
from trap.sockets import peek

BEGIN = b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n"
END = b"x\r\n.\r\n"
PROXY = b"PROXY TCP4 192.0.2.1 127.0.0.1 1024 25\r\n"


@pytest.fixture
def make() -> Iterator[Callable[..., Sessions]]:
    """Makes doors, and closes them."""
    made: list[Sessions] = []

    def door(*args: object, **more: object) -> Sessions:
        made.append(Sessions(*args, **more))
        return made[-1]

    yield door
    for sessions in made:
        sessions.close()


class Client:
    """One connection that is looked at while it lasts."""

    def __init__(self, sessions: Sessions) -> None:
        self.loop = Loop()
        self.wire = Watched(sessions.door, self.loop)
        self.transport = Transport(self.wire, "10.0.0.1", self.loop)
        self.wire.connection_made(self.transport)
        self.sessions = sessions

    def say(self, data: bytes) -> list[str]:
        """The codes of the answers."""
        del self.transport.said[:]
        self.transport.inbox.append(data)
        self.transport.pump()
        return codes(bytes(self.transport.said))

    def wait(self, seconds: float) -> list[str]:
        """The same, for what the sink says by itself when the patrol comes by."""
        del self.transport.said[:]
        self.loop.pass_time(seconds)
        if self.wire in self.sessions.door.wires:
            self.wire.visit(self.loop.now, self.sessions.door.stress.policy)
        self.transport.pump()
        return codes(bytes(self.transport.said))

    @property
    def gone(self) -> bool:
        return self.transport.wire is None


# Who does not read is not served


def test_replies_that_nobody_reads_are_not_piled_up(make):
    """A packet of greetings alone would make many times its size of replies, and a second of work."""
    client = Client(make())
    client.transport.deaf = True
    client.say(b"EHLO\n" * 50_000)
    assert len(client.transport.said) < HIGH_WATER + 2 * MAX_OUT
    assert not client.transport.reading
    client.transport.hears()
    client.transport.pump()
    assert client.transport.reading
    assert len(codes(bytes(client.transport.said))) == 50_000
    assert client.say(b"NOOP\r\n") == ["250"]


def test_much_that_is_said_at_once_waits_for_its_turn(make):
    """Ten thousand messages in a packet would hold up everybody else for a second."""
    sessions = make()
    client = Client(sessions)
    client.transport.inbox.append((BEGIN + END) * 1000)
    stored = []
    while client.transport.inbox or client.loop.soon:
        before = len(sessions.spool.stored)
        if not client.transport.hand_over():
            client.loop.soon.pop(0)()
        stored.append(len(sessions.spool.stored) - before)
    assert sum(stored) == 1000
    assert max(stored) < 300
    assert client.say(b"NOOP\r\n") == ["250"]


def test_who_stopped_to_read_while_the_disk_was_slow_is_heard_again(make):
    sessions = make()
    sessions.intake.slow = True
    client = Client(sessions)
    client.transport.deaf = True
    client.say(b"EHLO\n" * (HIGH_WATER // 150) + BEGIN + END)
    client.wire.pause_writing()  # the last replies were too many for it
    client.transport.hears()
    client.wire.resume_writing()  # while the message is not stored
    sessions.intake.finish()
    assert client.say(b"NOOP\r\n") == ["250"]


def test_who_does_not_read_is_not_heard_because_the_disk_is_done(make):
    sessions = make()
    sessions.intake.slow = True
    client = Client(sessions)
    client.say(BEGIN + END)
    client.wire.pause_writing()
    sessions.intake.finish()
    assert not client.transport.reading
    client.wire.resume_writing()
    assert client.transport.reading


# The patrol is patient with whom we keep waiting, and with nobody else


def test_who_talks_before_a_late_banner_is_not_slow(make):
    client = Client(make("limits: {deadline: 1s}", delay=20))
    client.say(BEGIN[:20])
    assert client.wait(19) == []
    assert client.wait(1) == ["220", "250"]
    assert client.say(BEGIN[20:] + END) == ["250", "354", "250"]


def test_a_silent_client_has_its_late_banner_although_that_is_later_than_its_time_out(make):
    client = Client(make("smtp: {timeout: 5s}", delay=20))
    assert client.wait(19) == []
    assert client.wait(1) == ["220"]
    assert client.wait(6) == ["421"]


def test_who_waits_for_a_turn_is_not_slow_but_must_read_in_time(make):
    client = Client(make("smtp: {timeout: 600s}\nlimits: {deadline: 60s}"))
    client.transport.deaf = True
    client.say(b"NO")
    client.wait(50)
    client.say(b"OP\n" + b"EHLO\n" * 10_000)
    client.wait(50)
    assert not client.wire._over_at
    client.wait(11)
    assert client.sessions.door.gate.refused == {"timeout": 1}


def test_a_line_must_be_whole_in_time_however_it_drips(make):
    client = Client(make("limits: {deadline: 10s}"))
    client.say(b"NOOP\r\nNO")
    for _ in range(5):
        assert client.say(b"x") == []
        assert client.wait(2) == []
    assert client.wait(0.1) == ["421"]
    assert client.gone


@pytest.mark.parametrize(
    "begin", [b"y" * (MAX_LINE * 2), b"CONNECT x:25 HTTP/1.1\r\nHost", b"AUTH LOGIN\r\nYW"]
)
def test_no_line_is_exempt(make, begin):
    client = Client(make("limits: {deadline: 10s}"))
    client.say(begin)
    assert client.wait(9) == []
    assert client.wait(2) == ["421"]


def test_a_message_that_drips_is_slow_after_a_grace(make):
    client = Client(make("limits: {min_rate: 10}"))
    assert client.say(BEGIN) == ["250", "250", "354"]
    client.say(b"x" * 200)
    assert client.wait(19) == []
    assert client.wait(2) == ["421"]
    assert client.sessions.door.gate.refused["slow"] == 1


def test_a_message_that_never_ends_has_its_time_too(make):
    client = Client(make("limits: {min_rate: 1, duration: 60s}\nsmtp: {max_size: 1000}"))
    client.say(BEGIN)
    for _ in range(6):
        client.say(b"x" * 10_000)
        assert client.wait(10) == []
    assert client.wait(1) == ["421"]
    assert client.sessions.intake.memory.held == 0


def test_who_does_not_hear_our_last_words_is_cut_off(make):
    client = Client(make("smtp: {timeout: 100s}"))
    client.transport.deaf = True
    client.say(b"NOOP\r\n")
    client.wait(101)
    assert not client.gone
    client.wait(101)
    assert client.gone


# Lines


@pytest.mark.parametrize("cut", [1, 7, MAX_LINE, MAX_LINE + 1, MAX_LINE + 2, MAX_LINE + 3])
@pytest.mark.parametrize("length", [MAX_LINE, MAX_LINE + 1, MAX_LINE + 5, 3 * MAX_LINE])
def test_a_long_line_is_understood_or_refused_alike_in_one_packet_and_in_many(make, length, cut):
    line = b"NOOP" + b" " * (length - 4) + b"\r\n"
    sessions = make()
    whole = sessions.play([line + BEGIN + END])
    parts = sessions.play([*(line[at : at + cut] for at in range(0, len(line), cut)), BEGIN + END])
    assert whole.said == parts.said
    assert codes(whole.said)[1] == ("250" if length <= MAX_LINE else "500")
    for outcome in (whole, parts):
        assert outcome.stored[0].envelope.commands == 4
        assert "bare_lf" not in outcome.stored[0].envelope.dialect


def test_an_answer_to_auth_may_be_as_long_as_its_rfc_allows(make):
    client = Client(make("smtp: {auth: offer}"))
    assert client.say(b"AUTH PLAIN\r\n") == ["334"]
    assert client.say(b"A" * MAX_LINE + b"\r\n") == ["535"]
    assert client.say(b"AUTH PLAIN\r\n") == ["334"]
    assert client.say(b"A" * (MAX_LINE + 4) + b"\r\n") == ["501"]


# Crowds


def test_recipients_are_held_in_memory_so_what_they_say_is_bounded_too(make):
    client = Client(make("limits: {errors: 0}"))
    client.say(BEGIN.partition(b"RCPT")[0])
    rcpt = b"RCPT TO:<b@y> X=" + b"x" * 12_000 + b"\r\n"
    assert client.say(rcpt * 20) == ["250"] * 11 + ["452"] * 9
    assert client.say(b"DATA\r\n" + END) == ["354", "250"]
    assert client.say(BEGIN + END) == ["250", "250", "354", "250"]


def test_who_guesses_passwords_one_after_the_other_is_put_out(make):
    client = Client(make("smtp: {auth: offer}\nlimits: {errors: 3}"))
    for _ in range(2):
        assert client.say(b"AUTH LOGIN\r\nYQ==\r\nYg==\r\n") == ["334", "334", "535"]
    assert client.say(b"AUTH LOGIN\r\nYQ==\r\nYg==\r\nAUTH LOGIN\r\n") == ["334", "334", "535", "421"]


@pytest.mark.parametrize("slow", [False, True])
def test_a_message_with_the_last_command_has_its_answer_before_the_end(make, slow):
    sessions = make("limits: {commands: 3}")
    sessions.intake.slow = slow
    client = Client(sessions)
    said = BEGIN.replace(b"DATA", b"BDAT 0 LAST")
    assert client.say(said) == (["250", "250"] if slow else ["250", "250", "250", "421"])
    sessions.intake.finish()
    client.transport.pump()
    assert codes(bytes(client.transport.said)) == ["250", "250", "250", "421"]
    assert client.gone


def test_messages_that_are_too_large_are_errors_like_others(make):
    client = Client(make("smtp: {max_size: 10}\nlimits: {errors: 2}"))
    big = b"x" * 20 + b"\r\n.\r\n"
    assert client.say(BEGIN + big + BEGIN + big + BEGIN) == ["250", "250", "354", "552"] * 2 + ["421"]
    assert client.gone


def test_who_is_turned_away_behind_a_load_balancer_leaves_no_message(make):
    sessions = make("limits: {per_address: 1}", balancers=["10.0.0.0/8"])
    one = Client(sessions)
    assert one.say(PROXY) == ["220"]
    other = Client(sessions)
    assert other.say(PROXY + BEGIN + END) == ["421"]
    assert other.gone
    assert not sessions.spool.stored
    assert one.say(BEGIN + END) == ["250", "250", "354", "250"]


def test_who_talks_right_behind_a_load_balancers_header_talks_before_the_banner(make):
    (stored,) = make(balancers=["10.0.0.0/8"]).play([PROXY + BEGIN + END]).stored
    assert stored.envelope.dialect["pregreet"]
    assert stored.envelope.dialect["proxy"] == "10.0.0.1"
    assert (stored.envelope.client_ip, stored.envelope.client_port) == ("192.0.2.1", 1024)
    assert stored.envelope.server_ip == "127.0.0.1"


def test_one_who_is_refused_for_lack_of_room_leaves_nothing_in_memory(make):
    """An exception knows the frames that it went through: kept, it keeps a connection and its message."""
    sessions = make()
    gc.disable()
    try:
        client = Client(sessions)
        there = weakref.ref(client.wire)
        sessions._inside("full", client.wire)
        assert client.say(BEGIN + END)[-1] == "452"
        client.transport.abort()
        client.transport.pump()
        del client
        assert there() is None
    finally:
        gc.enable()


# Those who hold others up


@pytest.mark.parametrize("cut", range(1, 12))
def test_the_end_of_an_http_header_is_found_in_pieces(make, cut):
    client = Client(make())
    said = b"POST / HTTP/1.0\r\na: b\r\nc\r\n\r\nNOOP\r\n"
    client.say(said[:-cut])
    client.say(said[-cut:])
    assert bytes(client.transport.said).endswith(b"250 2.0.0 Ok\r\n")
    assert client.wire.session.commands == 5


def test_an_http_header_without_end_does_not_hold_others_up(make):
    """It took a second for 20 MB, in which nobody else was heard."""
    client = Client(make())
    client.say(b"POST / HTTP/1.0\r\n")
    began = time.process_time()
    for _ in range(20):
        client.wire.data_received(b"a:\n" * 80_000)
    assert time.process_time() - began < 0.2
    assert client.wire.session.commands == 1 + 20 * 80_000


# When the client began to talk


def test_the_first_command_is_the_client_s(make):
    """What a balancer says is not, nor is the end of the wait for the banner."""
    client = Client(make(delay=1.0))
    assert client.wait(1.0) == ["220"]
    assert not client.wire.session.first_command_at
    client.say(b"NOOP\r\n")
    assert client.wire.session.first_command_at
    client = Client(make(balancers=["10.0.0.0/8"]))
    assert client.say(PROXY) == ["220"]
    assert not client.wire.session.first_command_at
    client = Client(make(balancers=["10.0.0.0/8"]))
    client.say(PROXY + b"NOOP\r\n")
    assert client.wire.session.first_command_at


def test_who_is_early_is_greeted_when_no_file_can_be_opened(monkeypatch):
    def dup(_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"HELO")
        assert peek(here.fileno(), here.family) == b"HE"
        monkeypatch.setattr(os, "dup", dup)
        assert peek(here.fileno(), here.family) == b""


# Passwords


@pytest.mark.parametrize("auth", ["off", "record", "offer", "accept"])
@pytest.mark.parametrize(
    "said",
    [
        b"AUTH LOGIN\r\nYm9i\r\naHVudGVyMg==\r\naHVudGVyMg==\r\n",
        b"AUTH PLAIN AGJvYgBodW50ZXIy\r\nAGJvYgBodW50ZXIy\r\n",
        b"AUTH NTLM\r\naHVudGVyMg==\r\nhunter2\r\n",
        b"AUTH aHVudGVyMg==\r\n",
        b"AUTH=PLAIN aHVudGVyMg==\r\n",
        b"USER bob\r\nPASS hunter2\r\n",
        b"LOGIN bob hunter2\r\n",
        b"a1 LOGIN bob hunter2\r\n",
        b"\tPASS\thunter2\r\n",
    ],
)
def test_what_may_be_a_password_is_kept_nowhere(make, auth, said, caplog):
    sessions = make(f"smtp: {{auth: {auth}}}")
    client = Client(sessions)
    client.say(said + BEGIN + END)
    (stored,) = sessions.spool.stored
    told = repr((stored, client.wire.session.dialect, client.wire.session.errors, caplog.text))
    for secret in ("hunter2", "aHVudGVyMg", "AGJvYgBodW50ZXIy", "odW50ZXIy"):
        assert secret not in told
    assert secret not in repr(client.wire)
