"""Mail that leaves, seen from the server that gets it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peerkit import LOOPBACK, Peer
from support import free_port

from stages.clients.mailer import Mailer
from stages.clients.manner import Manner
from trap.config import Duration
from trap.reports import Later, Refused
from trap.stage import Unavailable
from trap.tls import own_certificate

MAIL = b"Subject: hi\r\n\r\nbody\r\n"
ME, YOU, ELSE = "me@sender.example", "you@peer.example", "else@peer.example"


def nothing() -> None:
    """Nobody keeps a book."""


def mailer(peer: Peer, timeout: float = 5, shun: tuple[str, ...] = (), **manner: object) -> Mailer:
    """One that speaks to the peer so."""
    return Mailer("peer", peer.address, Manner(**manner), Duration(timeout), shun)  # type: ignore[arg-type]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of localhost, signed by itself, and its key."""
    return own_certificate(tmp_path_factory.mktemp("tls"), "localhost", None)


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def test_a_message_arrives_and_the_answer_is_told(peer: Peer) -> None:
    mail = mailer(peer)
    assert await mail.send(ME, [YOU, ELSE], MAIL, nothing) == "250 queued"
    mail.backends.close()
    assert [(taken.rcpts, taken.data) for taken in peer.taken] == [([YOU, ELSE], MAIL)]
    assert peer.heard[1] == f"MAIL FROM:<{ME}> SIZE={len(MAIL)}"


async def test_we_greet_with_our_address_and_never_with_the_name_of_the_host(peer: Peer) -> None:
    mail = mailer(peer)
    await mail.send("", [YOU], MAIL, nothing)
    mail.backends.close()
    assert peer.heard[:2] == [f"EHLO [{LOOPBACK}]", f"MAIL FROM:<> SIZE={len(MAIL)}"]


async def test_the_name_to_greet_with_can_be_set_but_not_to_one_of_the_traps(peer: Peer) -> None:
    mail = mailer(peer, helo="out.example.net")
    await mail.send("", [YOU], MAIL, nothing)
    mail.backends.close()
    assert peer.heard[0] == "EHLO out.example.net"
    with pytest.raises(ValueError, match="would tell everybody where the trap is"):
        mailer(peer, shun=("trap.example",), helo="mx.Trap.Example")


async def test_a_server_that_calls_itself_like_the_trap_would_tell_everybody_and_gets_nothing(
    peer: Peer,
) -> None:
    peer.name = "MX.trap.example"
    mail = mailer(peer, shun=("trap.example",))
    with pytest.raises(Unavailable, match=r"calls itself MX\.trap\.example"):
        await mail.send("", [YOU], MAIL, nothing)
    [finding] = await mail.backends.check()
    mail.backends.close()
    assert not finding.good and "have it use another one" in finding.text
    assert not any(line.startswith("MAIL") for line in peer.heard)


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (b"a\nb\rc\r\nd", b"a\r\nb\r\nc\r\nd\r\n"),
        (b".\r\n..\r\n.a\r\n", b".\r\n..\r\n.a\r\n"),
        (b"\n.\n\r\n.\rQUIT\r", b"\r\n.\r\n\r\n.\r\nQUIT\r\n"),
        (b"nul \0 and \xff\r\n", b"nul \0 and \xff\r\n"),
        (b"", b"\r\n"),
    ],
)
async def test_what_smtp_cannot_carry_is_made_lines_and_nothing_else_changes(
    peer: Peer, sent: bytes, arrives: bytes
) -> None:
    mail = mailer(peer)
    await mail.send(ME, [YOU], sent, nothing)
    mail.backends.close()
    assert [taken.data for taken in peer.taken] == [arrives]


@given(lines=st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b""))))
def test_lines_arrive_to_the_byte(lines: list[bytes]) -> None:
    message = b"".join(line + b"\r\n" for line in [*lines, b"."])

    async def sent() -> bytes:
        async with Peer() as peer:
            mail = mailer(peer)
            await mail.send(ME, [YOU], message, nothing)
            mail.backends.close()
            return peer.taken[0].data

    assert asyncio.run(sent()) == message


async def test_a_server_that_takes_binary_mail_gets_every_byte(peer: Peer) -> None:
    peer.offers += ["CHUNKING", "BINARYMIME"]
    mail = mailer(peer)
    await mail.send(ME, [YOU], b"a\nb\rc\0\r\n.\r\nd", nothing)
    await mail.send(ME, [YOU], MAIL, nothing)
    mail.backends.close()
    assert [taken.data for taken in peer.taken] == [b"a\nb\rc\0\r\n.\r\nd", MAIL]
    assert "BODY=BINARYMIME" in peer.taken[0].mail and "BODY" not in peer.taken[1].mail
    assert "DATA" in peer.heard


@pytest.mark.parametrize(
    ("offers", "message", "to", "why"),
    [
        (["SIZE 10"], MAIL, YOU, "takes 10 bytes at most"),
        (["SIZE 0"], b"\xe4\r\n", YOU, "takes no 8-bit mail"),
        (["8BITMIME"], MAIL, "jürgen@peer.example", "other than ASCII"),
        ([], MAIL, "a@b> SIZE=1", "is no address"),
        ([], MAIL, "a@b\r\nDATA", "is no address"),
    ],
)
async def test_what_a_server_cannot_take_is_not_encoded_anew_but_refused(
    peer: Peer, offers: list[str], message: bytes, to: str, why: str
) -> None:
    peer.offers = offers
    mail = mailer(peer)
    with pytest.raises(Refused, match=why):
        await mail.send(ME, [to], message, nothing)
    mail.backends.close()
    assert not any(line.startswith("MAIL") for line in peer.heard)


async def test_addresses_beyond_ascii_are_announced(peer: Peer) -> None:
    mail = mailer(peer)
    await mail.send(ME, ["jürgen@peer.example"], "hü\r\n".encode(), nothing)
    mail.backends.close()
    assert peer.taken[0].mail.endswith("BODY=8BITMIME SMTPUTF8")


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize(("reply", "raised"), [("451 come again", Later), ("554 never", Refused)])
async def test_a_no_is_told_and_the_connection_goes_on(
    peer: Peer, at: str, reply: str, raised: type[Exception]
) -> None:
    peer.replies[at] = [reply]
    commits: list[int] = []
    mail = mailer(peer)
    with pytest.raises(raised, match=reply):
        await mail.send(ME, [YOU], MAIL, lambda: commits.append(1))
    assert bool(commits) is (at == ".")
    assert await mail.send(ME, [YOU], MAIL, nothing) == "250 queued"
    mail.backends.close()
    assert len(peer.taken) == peer.connections == 1
    assert ("RSET" in peer.heard) is (at != ".")


async def test_nobody_gets_what_one_recipient_may_not_have(peer: Peer) -> None:
    peer.replies["RCPT"] = ["250 ok", "550 unknown"]
    mail = mailer(peer)
    with pytest.raises(Refused, match="unknown"):
        await mail.send(ME, [YOU, ELSE], MAIL, nothing)
    mail.backends.close()
    assert not peer.taken and "DATA" not in peer.heard


@pytest.mark.parametrize(
    "reply", ["530 Must issue STARTTLS first", "535 wrong password", "banana", "354", "999 ?"]
)
async def test_what_is_no_fault_of_the_message_counts_as_away(peer: Peer, reply: str) -> None:
    peer.replies["MAIL"] = reply
    mail = mailer(peer)
    with pytest.raises(Unavailable, match=reply.split(maxsplit=1)[0]):
        await mail.send(ME, [YOU], MAIL, nothing)
    mail.backends.close()


@pytest.mark.parametrize(
    ("verb", "silence"),
    [
        *[(verb, bad) for verb in ("", "EHLO", "MAIL", "DATA") for bad in ("", None, "250-" + "x" * 70_000)],
        ("", "554 go away"),
        ("EHLO", "554 go away"),
    ],
)
async def test_a_server_that_breaks_the_conversation_before_the_message_has_not_got_it(
    peer: Peer, verb: str, silence: str | None
) -> None:
    peer.replies |= {verb: silence, "HELO": silence}
    commits: list[int] = []
    mail = mailer(peer, timeout=0.2)
    with pytest.raises(Unavailable):
        await mail.send(ME, [YOU], MAIL, lambda: commits.append(1))
    mail.backends.close()
    assert not commits


@pytest.mark.parametrize("silence", ["", None, "354 more", "x" * 70_000])
async def test_a_server_that_breaks_it_after_the_message_is_not_asked_twice(
    peer: Peer, silence: str | None
) -> None:
    async with Peer() as spare:
        peer.replies["."] = [silence]
        mail = Mailer("peer", [peer.address, spare.address], Manner(), Duration(0.6))
        commits: list[int] = []
        with pytest.raises(Unavailable, match="between"):
            await mail.send(ME, [YOU], MAIL, once(commits))
        mail.backends.close()
        assert commits == [1] and not spare.taken and sum(line == "DATA" for line in peer.heard) == 1


def once(calls: list[int]) -> Callable[[], None]:
    """A commit as books have it."""

    def commit() -> None:
        if calls:
            raise Unavailable("broken off between the last byte and the answer")
        calls.append(1)

    return commit


async def test_a_kept_connection_that_was_closed_meanwhile_costs_no_message(peer: Peer) -> None:
    mail = mailer(peer)
    await mail.send(ME, [YOU], MAIL, nothing)
    peer.replies["MAIL"] = [""]
    assert await mail.send(ME, [YOU], MAIL, nothing) == "250 queued"
    mail.backends.close()
    assert peer.connections == 2


async def test_what_a_server_offered_is_not_asked_of_one_that_has_hung_up(peer: Peer) -> None:
    mail = mailer(peer)
    await mail.send(ME, [YOU], MAIL, nothing)
    peer.hang_up()
    await asyncio.sleep(0.05)
    assert await mail.send(ME, [YOU], b"\xe4\r\n", nothing) == "250 queued"
    mail.backends.close()
    assert peer.taken[1].mail.endswith("BODY=8BITMIME")


async def test_an_old_server_is_greeted_in_the_old_way(peer: Peer) -> None:
    peer.replies["EHLO"] = "502 what?"
    mail = mailer(peer)
    await mail.send(ME, [YOU], MAIL, nothing)
    mail.backends.close()
    assert peer.heard[:3] == [f"EHLO [{LOOPBACK}]", f"HELO [{LOOPBACK}]", f"MAIL FROM:<{ME}>"]


@pytest.mark.parametrize("starttls", ["offered", "required", "never"])
async def test_starttls(tls: ssl.SSLContext, starttls: str, certificate: tuple[Path, Path]) -> None:
    async with Peer(tls) as peer:
        address = f"localhost:{peer.port}"
        manner = Manner(starttls=starttls, ca_file=str(certificate[0]))  # type: ignore[arg-type]
        mail = Mailer("peer", address, manner, Duration(5))
        await mail.send(ME, [YOU], MAIL, nothing)
        mail.backends.close()
        assert ("STARTTLS" in peer.heard) is (starttls != "never")
        assert peer.heard.count("EHLO [127.0.0.1]") == (1 if starttls == "never" else 2)


async def test_tls_that_is_required_is_not_done_without(peer: Peer) -> None:
    mail = mailer(peer, starttls="required")
    with pytest.raises(Unavailable, match="does not offer STARTTLS"):
        await mail.send(ME, [YOU], MAIL, nothing)
    mail.backends.close()


@pytest.mark.parametrize("implicit", [False, True])
async def test_a_certificate_is_looked_at_where_tls_is_required(
    tls: ssl.SSLContext, certificate: tuple[Path, Path], implicit: bool
) -> None:
    async with Peer(tls, implicit=implicit) as peer:
        address = peer.address.replace(LOOPBACK, "localhost")
        for manner, trusted in (
            (Manner(starttls="required"), False),
            (Manner(starttls="required", verify=False), True),
            (Manner(starttls="required", ca_file=str(certificate[0])), True),
        ):
            mail = Mailer("peer", address, manner, Duration(5))
            if trusted:
                await mail.send(ME, [YOU], MAIL, nothing)
            else:
                with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
                    await mail.send(ME, [YOU], MAIL, nothing)
            mail.backends.close()
        assert len(peer.taken) == 2


async def test_we_log_in_where_a_password_is_given(peer: Peer, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("joe:pass:word\n")
    peer.offers.append("AUTH PLAIN")
    mail = mailer(peer, password_file=str(tmp_path / "secret"))
    await mail.send(ME, [YOU], MAIL, nothing)
    mail.backends.close()
    assert peer.heard[1] == "AUTH PLAIN AGpvZQBwYXNzOndvcmQ="
    peer.replies["AUTH"] = "535 no"
    with pytest.raises(Unavailable, match="535 no"):
        await mail.send(ME, [YOU], MAIL, nothing)
    mail.backends.close()


async def test_a_password_is_not_told_in_the_clear_to_another_host(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("joe:password\n")
    peer.offers.append("AUTH PLAIN")
    monkeypatch.setattr("stages.clients.smtp.is_near", lambda _: False)
    mail = mailer(peer, password_file=str(tmp_path / "secret"))
    with pytest.raises(Unavailable, match="not told the password"):
        await mail.send(ME, [YOU], MAIL, nothing)
    mail.backends.close()
    assert not any(line.startswith("AUTH") for line in peer.heard)


@pytest.mark.parametrize(
    ("manner", "why"),
    [
        ({"helo": "two words"}, "helo: 'two words' is no name"),
        ({"ca_file": "/nowhere"}, "ca_file: /nowhere: No such file"),
        ({"password_file": "/nowhere"}, "password_file: .*No such file"),
        ({"password_file": "/dev/null"}, "does not begin with user:password|first line is not user:password"),
    ],
)
def test_mistakes_in_settings_are_told(manner: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Mailer("peer", f"{LOOPBACK}:{free_port()}", Manner(**manner), Duration(5))  # type: ignore[arg-type]


async def test_a_probe_tells_who_is_there(peer: Peer) -> None:
    mail = mailer(peer)
    [finding] = await mail.backends.check()
    mail.backends.close()
    assert finding.good and finding.text == "peer.example"
    assert peer.heard[:2] == [f"EHLO [{LOOPBACK}]", "NOOP"]
