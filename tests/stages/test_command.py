"""command: programs of one's own, by their exit codes; real ones and scripts."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import need

from stages.command import MAX_LINES, TINY, Command, fill
from trap.config import Duration, Size
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.stage import Drop, Pass, Unavailable

MAIL = b"From: <a@b.example>\r\nSubject: hello\r\n\r\nbuy pills\r\n"
SLACK = 3.0
"""Seconds that a loaded machine may add to a deadline."""


def job(message: bytes = MAIL, **envelope: Any) -> Job:
    return Job.from_message(message, Envelope(**envelope))


async def judged(stage: Command, mail: Job | None = None) -> Any:
    try:
        return await stage.process(mail or job())
    finally:
        stage.backends.close()


# -- exit codes are verdicts -------------------------------------------------------------------------


async def test_a_code_of_ok_passes(script):
    assert await judged(Command(argv=[script("cat >&2")])) == Pass({"code": 0})


async def test_a_code_of_drop_drops_for_its_reason(script):
    stage = Command(argv=[script("echo known; exit 1")], drop={"listed by razor": 1})
    assert await judged(stage) == Drop("listed by razor", {"code": 1, "output": ["known"]})


async def test_or_goes_to_a_queue(script):
    stage = Command(argv=[script("exit 1")], drop={"listed": 1}, to="listed")
    assert await judged(stage) == Pass({"code": 1}, to="listed")


async def test_grep_by_its_codes():
    """A real program that takes the message as its input: 0 when it is found, 1 when not."""
    stage = Command(argv=["grep", "-c", "pills"], ok=[1], drop={"pills": 0})
    assert await judged(stage) == Drop("pills", {"code": 0, "output": ["1"]})
    assert await judged(stage, job(b"Subject: hi\r\n\r\nnothing\r\n")) == Pass({"code": 1, "output": ["0"]})


async def test_the_message_as_a_file():
    stage = Command(argv=["/usr/bin/tail", "-n1", "--", "{file}"])
    assert await judged(stage) == Pass({"code": 0, "output": ["buy pills"]})


async def test_a_real_filter():
    """SpamAssassin's client, told to give up at once where nobody listens: EX_UNAVAILABLE."""
    argv = [need("spamc"), "-c", "-x", "-p", "1", "--connect-retries", "1"]
    with pytest.raises(Unavailable, match=r"spamc at .*: exit code 69"):
        await judged(Command(argv=argv, drop={"spam": 1}))


# -- a program that has not judged -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo no database >&2; exit 75", r"exit code 75: no database$"),
        ("exit 3", r"exit code 3 \(in none of ok, drop, unavailable\)$"),
        ("kill -SEGV $$", r"killed by signal 11"),
        ("exec yes", r"its output has no end"),
        ("exec missing-program", r"exit code 127 .*not found"),
    ],
)
async def test_every_code_means_something(script, text, words):
    """No code that nobody thought of lets mail through as judged, or loses it."""
    with pytest.raises(Unavailable, match=words):
        await judged(Command(argv=[script(text)]))


async def test_one_that_is_not_installed(tmp_path):
    stage = Command(argv=[f"{tmp_path}/missing"])
    with pytest.raises(Unavailable, match=r"missing at .*missing: no such file or directory"):
        await judged(stage)
    assert stage.backends.away


async def test_it_is_over_when_its_time_is(script):
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=r"no answer within|took longer"):
        await judged(Command(argv=[script("sleep 100 & wait")], timeout=Duration("300ms")))
    assert time.monotonic() - begun < 0.3 + SLACK


async def test_a_message_that_breaks_it_thrice_passes_unscanned(script):
    """Else one that crashes the program would hold up its queue for good."""
    stage = Command(argv=[script("if grep -q pills; then kill -SEGV $$; fi")])
    poison = job()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await stage.process(poison)
        assert isinstance(await stage.process(job(b"Subject: hello\r\n\r\n")), Pass)
    verdict = await judged(stage, poison)
    assert isinstance(verdict, Pass)
    assert "killed by signal 11" in verdict.notes["unscanned"]


async def test_a_program_that_blames_itself_blames_no_message(script):
    stage = Command(argv=[script("exit 75")])
    mail = job()
    for _ in range(5):
        with pytest.raises(Unavailable):
            await stage.process(mail)
    assert stage.backends.away
    stage.backends.close()


async def test_it_is_probed_until_it_is_back(script, tmp_path):
    """By a small message of ours; no mail is delayed to find out."""
    stage = Command(argv=[script(f"cat > {tmp_path}/seen; test -e {tmp_path}/up || exit 75")])
    for _ in range(3):
        with pytest.raises(Unavailable):
            await stage.process(job())
    assert stage.backends.away
    (tmp_path / "up").touch()
    async with asyncio.timeout(20):
        while stage.backends.away:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (tmp_path / "seen").read_bytes() == TINY
    assert await judged(stage) == Pass({"code": 0})


async def test_one_that_reports_is_probed_otherwise(script, tmp_path):
    """It must not report a message of ours."""
    report = script(f"touch {tmp_path}/reported")
    stage = Command(argv=[report], probe=["/bin/echo", "there"])
    (finding,) = await stage.backends.check()
    assert (finding.good, finding.text) == (True, "/bin/echo (exit code 0)")
    assert not (tmp_path / "reported").exists()


async def test_doctor_says_what_to_do(tmp_path):
    (finding,) = await Command(argv=[f"{tmp_path}/missing", "-q"]).backends.check()
    assert not finding.good
    assert "no such file" in finding.text
    assert f"try it by hand: {tmp_path}/missing -q < message" in finding.text


async def test_large_messages_pass_unscanned(script):
    verdict = await judged(Command(argv=[script("exit 1")], max_size=Size(10)))
    assert verdict == Pass({"unscanned": "larger than max_size, 10 bytes"})


# -- what it says ------------------------------------------------------------------------------------


async def test_lines_are_bounded_and_printable(script):
    verdict = await judged(Command(argv=[script(r"printf '\033[2Jred\n'; yes $(seq 200) | head -n 1000")]))
    first, *rest = verdict.notes["output"]
    assert first == r"\x1b[2Jred"
    assert len(rest) == MAX_LINES - 1
    assert {len(line) for line in rest} == {200}


async def test_a_pattern_finds_values(script):
    stage = Command(
        argv=[script("echo 'Spam: yes, score=7.5/5.0'")], pattern=r"score=(?P<score>[\d.]+)/(?P<of>\S+)"
    )
    assert await judged(stage) == Pass({"code": 0, "found": {"score": "7.5", "of": "5.0"}})


async def test_a_pattern_that_finds_nothing(script):
    assert await judged(Command(argv=[script("echo hm")], pattern="(?P<a>x)")) == Pass(
        {"code": 0, "output": ["hm"]}
    )


async def test_a_pattern_can_not_hang(script):
    """RE2: linear in the text, whatever the pattern."""
    stage = Command(argv=[script("head -c 16000 /dev/zero | tr '\\0' a")], pattern="(a+)+(a+)+$b")
    assert (await judged(stage)).notes["code"] == 0


async def test_json(script):
    stage = Command(argv=[script("""echo '{"score": 1.5, "why": ["\\u001b"]}'""")], json=True)
    assert await judged(stage) == Pass({"code": 0, "json": {"score": 1.5, "why": [r"\x1b"]}})


@pytest.mark.parametrize("said", ["{", "nan", ""])
async def test_what_is_no_json(script, said):
    verdict = await judged(Command(argv=[script(f"echo '{said}'")], json=True))
    assert verdict.notes["unread"] == "the output is no JSON"


# -- data is data ------------------------------------------------------------------------------------


async def test_what_a_client_said_is_data(script, tmp_path):
    evil = f"`touch {tmp_path}/owned`; $(touch {tmp_path}/owned) | touch {tmp_path}/owned\n-x"
    echo = script('for each; do printf "<%s>\\n" "$each"; done')
    stage = Command(argv=[echo, "{helo}", "--from={mail_from}", "{rcpt}", "{client_ip}"])
    rcpts = [Rcpt(address="first@trap.example"), Rcpt(address="second@trap.example")]
    verdict = await judged(stage, job(helo=evil, mail_from=evil, rcpts=rcpts, client_ip="192.0.2.1"))
    assert [line[0] for line in verdict.notes["output"]] == ["<"] * 4
    assert verdict.notes["output"][2:] == ["<first@trap.example>", "<192.0.2.1>"]
    assert not (tmp_path / "owned").exists()


@given(st.text(st.characters(codec=None), max_size=600))
def test_no_value_becomes_an_option_or_can_not_be_passed(said):
    known = {"helo": said}
    (bare,) = fill(["{helo}"], known)
    assert not bare.startswith(("-", "+", "@"))
    assert "\0" not in bare
    bare.encode()
    assert fill(["--x={helo}y"], known)[0].startswith("--x=")


def test_after_two_hyphens_everything_is_data():
    assert fill(["a", "--", "{helo}"], {"helo": "-rf"}) == ["a", "--", "-rf"]


# -- settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"argv": "razor-check -d"}, r"no shell is ever used; write a list: argv: \[razor-check, -d\]"),
        ({"argv": []}, "empty"),
        ({"argv": ["./x"]}, "should be the path of a program, or its name"),
        ({"argv": ["{helo}"]}, "should be the path of a program, or its name"),
        ({"argv": ["x", "{hello}"]}, r"there is no \{hello\}; there are file, id, client_ip, helo"),
        ({"argv": ["x", "\0"]}, "NUL"),
        ({"argv": ["x"], "ok": [300]}, "300 is no exit code"),
        ({"argv": ["x"], "drop": {"spam": [1, 0]}}, "exit code 0 stands in ok, too"),
        ({"argv": ["x"], "drop": {"spam": 1, "virus": [1]}}, "exit code 1 stands there twice"),
        ({"argv": ["x"], "ok": []}, "no exit code is a verdict"),
        ({"argv": ["x"], "pattern": "("}, "no regular expression: missing"),
    ],
)
def test_settings_that_make_no_sense(settings, words):
    with pytest.raises(ValueError, match=words):
        Command(**settings)
