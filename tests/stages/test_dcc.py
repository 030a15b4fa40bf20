"""dcc: with a script that plays what dccproc(8) tells of it.

Debian does not have DCC, and its servers are on the internet. So the script stands in: it is called as
dccproc is, writes down what it got, and answers as dccproc does with -H.
"""

from pathlib import Path

import pytest
from checksumkit import TEXT, job, trial
from hypothesis import given
from hypothesis import strategies as st
from support import Script

from stages.dcc import Dcc, summed
from trap.config import Duration

ANSWER = "X-DCC-trap-Metrics: mx 1480; bulk Body=many Fuz1=many\n\tFuz2=many"
STAND_IN = f"""\
echo "$@" >>{{log}}
case "$*" in *many*) cat >{{log}}.message;; *) cat >/dev/null;; esac
{{before}}
printf '%s\\n' '{ANSWER}'
"""


def stand_in(script: Script, log: Path, before: str = "") -> str:
    """A dccproc of ours."""
    return script(STAND_IN.format(log=log, before=before))


async def test_check_sums_are_reported_as_sent_to_many(tmp_path: Path, script: Script) -> None:
    log = tmp_path / "log"
    async with trial(Dcc, tmp_path, dccproc=stand_in(script, log), home="/var/dcc", whitelist="ours") as spam:
        (report,) = await spam.tell(job())
        assert (report.state, report.recipient) == ("sent", "DCC")
        assert report.word == "mx 1480; bulk Body=many Fuz1=many Fuz2=many"
        assert log.read_text().splitlines() == [
            "-H -x 0 -h /var/dcc -w ours -Q",  # is anybody there?
            "-H -x 0 -h /var/dcc -w ours -t many",
        ]
        assert await spam.found() == (True, report.word)


async def test_no_sum_is_made_of_what_one_recipient_alone_got(tmp_path: Path, script: Script) -> None:
    log = tmp_path / "log"
    head = b"Received: from a by b\r\nMessage-ID: <only.for@you>\r\nMIME-Version: 1.0\r\n"
    head += b"Content-Type: text/plain;\r\n charset=utf-8\r\nTo: one@trap.example\r\n"
    async with trial(Dcc, tmp_path, dccproc=stand_in(script, log)) as spam:
        await spam.tell(job(TEXT, head))
    shown = (tmp_path / "log.message").read_bytes()
    assert shown == b"MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n charset=utf-8\r\n\r\n" + TEXT


@pytest.mark.parametrize(
    ("before", "word"),
    [
        ("exit 0", "no server answered dccproc"),
        ("echo 'no DCC servers' >&2; exit 0", "no DCC servers"),
        ("exit 69", "exit code 69"),
        ("kill -9 $$", "killed by signal 9"),
        ("case $* in *many*) exit 0; esac", "no server answered dccproc"),
        ("case $* in *many*) sleep 9; esac", "no answer within"),
    ],
)
async def test_when_no_server_answers_it(tmp_path: Path, script: Script, before: str, word: str) -> None:
    """Nothing is lost: many is many, however often it is told."""
    program = stand_in(script, tmp_path / "log", before)
    async with trial(Dcc, tmp_path, dccproc=program, timeout=Duration("1s")) as spam:
        (report,) = await spam.tell(job())
        assert report.state == "gathering" and word in report.word


async def test_without_the_program_one_line_says_so(tmp_path: Path) -> None:
    async with trial(Dcc, tmp_path, dccproc="/nowhere/dccproc") as spam:
        (report,) = await spam.tell(job())
        assert report.state == "gathering" and "no such file or directory" in report.word
        good, text = await spam.found()
        assert not good and "install dccproc from https://www.dcc-servers.net/dcc/" in text


async def test_what_would_be_told_is_what_sums_are_made_of(tmp_path: Path) -> None:
    async with trial(Dcc, tmp_path) as spam:
        (told,) = await spam.reporter.preview(job())
        assert told.text == b"check sums of %d bytes:\n\r\n%b" % (len(TEXT) + 2, TEXT)


@given(st.binary(max_size=300))
def test_the_body_is_all_there(message: bytes) -> None:
    kept = summed(message)
    assert len(kept) <= len(message) + 2
    assert kept.endswith(message[len(message) - len(kept) + 2 :][-10:])


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="should be the path of a program, or its name"):
        Dcc(object(), dccproc="bin/dccproc")  # type: ignore[arg-type]
