"""razor: the real razor-report and razor-revoke, against a server of ours that speaks as they expect."""

from collections.abc import Callable
from pathlib import Path

import pytest
from checksumkit import HEAD, TEXT, job, trial
from fakeserver import fake
from razorkit import WANTS_MAIL, RazorServer, razor_home
from support import need

from stages.razor import Razor
from stages.reporting.terms import Terms
from trap.config import Duration

NOW = Terms(gather=Duration("0s"), min_traps=1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    need("razor-report")
    return razor_home(tmp_path / "razor")


@pytest.fixture
def settings(tmp_path: Path, home: Path) -> Callable[..., dict[str, object]]:
    def made(server: str = "127.0.0.1:1", **more: object) -> dict[str, object]:
        return {"home": str(home), "server": server, "terms": NOW, **more}

    return made


Settings = Callable[..., dict[str, object]]


async def test_a_signature_is_reported_once_logged_in(tmp_path: Path, settings: Settings) -> None:
    razor = RazorServer()
    async with fake(None, razor.talk) as server, trial(Razor, tmp_path, **settings(server.address)) as spam:
        (report,) = await spam.tell(job())
        assert (report.state, report.word) == ("sent", "accepted, 1 of 1 parts")
        assert report.recipient == f"Razor at {server.address}"
        assert len(razor.reports) == 1 and not razor.mails and razor.logins == 2  # the first tells nothing

        (report,) = await spam.take_back()
        assert report.state == "retracted"
        assert f"revoke {razor.reports[0]}" in razor.reports and not razor.mails


async def test_the_text_that_it_asks_for_is_redacted(tmp_path: Path, settings: Settings) -> None:
    razor = RazorServer()
    razor.answer = WANTS_MAIL
    async with fake(None, razor.talk) as server, trial(Razor, tmp_path, **settings(server.address)) as spam:
        (report,) = await spam.tell(job(TEXT + b"Unsubscribe one@trap.example\r\n"))
        assert report.state == "sent"
        (mail,) = razor.mails
        assert b"barrister" in mail and b"Unsubscribe" in mail and b"trap.example" not in mail


@pytest.mark.parametrize(
    ("answer", "text", "word"),
    [
        ("res=0", TEXT, "Razor did not accept it"),
        ("res=1", b"\r\n \r\n", "no text in it that Razor would know it by"),
    ],
)
async def test_what_it_does_not_take_has_failed(
    tmp_path: Path, settings: Settings, answer: str, text: bytes, word: str
) -> None:
    razor = RazorServer()
    razor.answer = answer
    async with fake(None, razor.talk) as server, trial(Razor, tmp_path, **settings(server.address)) as spam:
        (report,) = await spam.tell(job(text))
        assert (report.state, report.word) == ("failed", word)


async def test_without_an_identity_it_does_not_register_by_itself(
    tmp_path: Path, settings: Settings, home: Path
) -> None:
    (home / "identity").unlink()
    razor = RazorServer()
    async with fake(None, razor.talk) as server, trial(Razor, tmp_path, **settings(server.address)) as spam:
        (report,) = await spam.tell(job())
        assert report.state == "gathering" and "no identity that we may read" in report.word
        good, text = await spam.found()
        assert not good and "razor-admin -home=" in text
        assert server.accepted == 0


async def test_whom_nobody_lets_in_reports_nothing(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.clients.program.BAD_FOR", 0.0)
    razor = RazorServer()
    razor.login = False
    async with fake(None, razor.talk) as server, trial(Razor, tmp_path, **settings(server.address)) as spam:
        (report,) = await spam.tell(job())
        assert report.state == "gathering" and "Authentication failed for user=trap" in report.word
        razor.login = True
        (report,) = await spam.again()
        assert report.state == "sent" and len(razor.reports) == 1
        assert await spam.found() == (True, "razor-report, logged in")


async def test_a_server_that_does_not_let_us_in_is_left_alone_for_a_while(
    tmp_path: Path, settings: Settings
) -> None:
    """It is somebody else's."""
    razor = RazorServer()
    razor.login = False
    async with fake(None, razor.talk) as server, trial(Razor, tmp_path, **settings(server.address)) as spam:
        await spam.tell(job())
        for _ in range(3):
            (report,) = await spam.again()
        assert report.state == "gathering" and server.accepted == 1


async def test_a_server_that_falls_silent_is_not_told_again(tmp_path: Path, settings: Settings) -> None:
    razor = RazorServer()
    razor.silent = "r"
    more = settings(timeout=Duration("1s"))
    async with (
        fake(None, razor.talk) as server,
        trial(Razor, tmp_path, **{**more, "server": server.address}) as spam,
    ):
        (report,) = await spam.tell(job())
        assert report.state == "unsure"
        (report,) = await spam.again()
        assert report.state == "unsure" and not razor.reports


async def test_nobody_there(tmp_path: Path, settings: Settings) -> None:
    async with trial(Razor, tmp_path, **settings()) as spam:
        (report,) = await spam.tell(job())
        assert report.state == "gathering" and "not available at this time" in report.word


async def test_no_program(tmp_path: Path) -> None:
    async with trial(Razor, tmp_path, home="/nowhere", program="/nowhere/razor-report", terms=NOW) as spam:
        (report,) = await spam.tell(job())
        assert report.state == "gathering" and "no such file or directory" in report.word


async def test_one_message_is_never_taken_for_a_mailbox(tmp_path: Path, settings: Settings) -> None:
    """Of what begins as a mailbox does, each part would be reported as a mail."""
    razor = RazorServer()
    head = b"From joe@spammer.example Fri Nov 20 12:00:00 2026\r\n" + HEAD
    async with fake(None, razor.talk) as server, trial(Razor, tmp_path, **settings(server.address)) as spam:
        (report,) = await spam.tell(job(TEXT + b"\r\nFrom me\r\n\r\n" + TEXT, head))
        assert report.state == "sent" and len(razor.reports) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"home": "razor"}, "home: 'razor' should be a whole path"),
        ({"server": "/s"}, "server: '/s' is no server"),
        ({"server": "a b"}, "server: 'a b' is no server"),
        ({"program": "bin/razor"}, "'bin/razor' should be the path of a program"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Razor(object(), **wrong)  # type: ignore[arg-type]
