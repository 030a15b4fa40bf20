"""`spamtrap inject`: 0 when the message is in the queue, 65 when it never will be, and 75 for all else."""

import errno
import itertools
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from clikit import Run
from faultkit import (
    CAN_FAIL,
    CHANGES,
    What,
    die_after,
    die_before,
    fail_with,
    faulty,
    in_child,
    short_write,
)
from hypothesis import given
from hypothesis import strategies as st

from trap import cli, fsio, inject
from trap.audit import audit
from trap.cli import inject as line_of
from trap.cli.app import App
from trap.cli.feed import inject as shown
from trap.config import Config
from trap.job import Job
from trap.queue import Spool

EML = b"Subject: a prize\r\n\r\nYou have won.\r\n"
BIG = b"x" * 300_000
"""More than a pipe holds: once it is written, somebody reads."""
SPAMTRAP = [sys.executable, "-m", "trap"]
pytestmark = pytest.mark.usefixtures("files_are_closed")


def jobs(home: Path) -> dict[str, list[Job]]:
    """What is in the queues, each job whole."""
    found: dict[str, list[Job]] = {}
    for path in sorted(home.glob("spool/*/new/*")):
        found.setdefault(path.parts[-3], []).append(Job.decode(path.stem, path.read_bytes()))
    return found


def only_job(home: Path) -> Job:
    ((job,),) = jobs(home).values()
    return job


def half_done(home: Path) -> list[Path]:
    """Files that are nobody's: half a message."""
    return list(home.glob("spool/tmp/*/*"))


def started(*arguments: str | bytes, **more: object) -> subprocess.CompletedProcess[bytes]:
    """The program in a process of its own, as a mail server runs it."""
    given: dict[str, object] = {"input": EML, "capture_output": True, "timeout": 60, **more}
    return subprocess.run([*SPAMTRAP, *arguments], check=False, **given)  # type: ignore[call-overload, no-any-return]


def told(done: subprocess.CompletedProcess[bytes]) -> str:
    """What it said of its failure: one line."""
    assert done.stdout == b""
    (text,) = done.stderr.decode().splitlines()
    assert text.startswith("spamtrap: not taken")
    return text


# The way in


def test_a_message_is_in_the_queue_with_its_envelope(home: Path) -> None:
    done = started(
        "inject",
        "--from=s@example.org",
        "--client-ip=IPv6:2001:DB8::1",
        "--helo=mx.example.org",
        "--queue-id=4XyZ",
        "--",
        "trap@example.com",
    )
    job = only_job(home)
    assert (done.returncode, done.stdout.decode().split()) == (0, [job.id])
    assert job.message == EML
    said = job.envelope
    assert (said.mail_from, said.client_ip, said.helo) == ("s@example.org", "2001:db8::1", "mx.example.org")
    assert (said.rcpt_tos, said.protocol, said.dialect) == (
        ["trap@example.com"],
        "inject",
        {"queue_id": "4XyZ"},
    )


def test_each_queue_that_recipients_lead_to_has_the_message(run: Run, home: Path) -> None:
    """As in the sink: one job a queue, with those recipients that lead there."""
    (home / "spamtrap.yaml").write_text(
        "pipeline: [first, second]\nstages: {apart: {workers: 0}}\n"
        "route: [{rcpt: 'ham@*', to: apart}, {rcpt: '*', listener: inject, to: second}]\n"
    )
    result = run("inject", "--", "a@x", "ham@x", "b@x", stdin=EML)
    found = {queue: [job.envelope.rcpt_tos for job in there] for queue, there in jobs(home).items()}
    assert found == {"second": [["a@x", "b@x"]], "apart": [["ham@x"]]}
    assert sorted(result.out.split()) == sorted(job.id for there in jobs(home).values() for job in there)
    run("inject", "--queue", "apart", "--", "a@x", "ham@x", stdin=EML)
    assert jobs(home)["apart"][1].envelope.rcpt_tos == ["a@x", "ham@x"]


def test_when_one_of_two_queues_fails_the_caller_is_told_that_the_other_has_it(run: Run, home: Path) -> None:
    (home / "spamtrap.yaml").write_text(
        "pipeline: [first]\nstages: {apart: {workers: 0}}\nroute: [{rcpt: 'ham@*', to: apart}]\n"
    )
    rename = fsio.rename

    def fail(source: str, target: str, **more: bool) -> None:
        if "/apart/" in target:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(source, target, **more)

    with mock.patch.object(fsio, "rename", fail):
        result = run("inject", "--", "a@x", "ham@x", stdin=EML)
    assert result.code == os.EX_TEMPFAIL
    assert "1 of 2 jobs are stored, and will be once more" in result.err
    assert list(jobs(home)) == ["first"]


def test_ten_thousand_recipients_are_as_many_jobs_as_the_sink_would_make(home: Path) -> None:
    rcpts = [f"trap{number}@example.com" for number in range(10_000)]
    assert started("inject", "--", *rcpts).returncode == 0
    found = [job.envelope.rcpt_tos for job in jobs(home)["first"]]
    assert [len(each) for each in found] == [1000] * 10
    assert list(itertools.chain(*found)) == rcpts


def test_recipients_are_cut_into_lots_by_their_length_too() -> None:
    lots = list(inject._lots(["x" * 100_000] * 4, 1000))
    assert [len(lot) for lot in lots] == [2, 2]
    assert list(inject._lots([], 1000)) == [[]]


def test_no_recipient_is_needed(run: Run, home: Path) -> None:
    assert run("inject", stdin=EML).code == 0
    assert only_job(home).envelope.rcpts == []


def test_whom_the_sink_refuses_is_taken(run: Run, home: Path) -> None:
    """The mail server has taken it already, and could only return it."""
    (home / "spamtrap.yaml").write_text("pipeline: [first]\naccept: {domains: {trap.example: {tag: typo}}}\n")
    run("inject", "--", "a@trap.example", "b@elsewhere.example", stdin=EML)
    assert [rcpt.tag for rcpt in only_job(home).envelope.rcpts] == ["typo", ""]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("192.0.2.1", "192.0.2.1"), ("::FFFF:192.0.2.1", "192.0.2.1"), ("unknown", ""), ("", ""), ("1\0", "")],
)
def test_what_a_mail_server_says_of_an_address_it_does_not_know_is_none(given: str, kept: str) -> None:
    assert inject._address(given) == kept


def test_with_fsync_the_file_and_its_directory_are_synced_before_0(home: Path) -> None:
    (home / "spamtrap.yaml").write_text("pipeline: [first]\nspool: {fsync: true}\n")
    synced: list[str] = []

    def note(call: Callable[..., object], fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}").rpartition("/")[2].partition(".")[0])
        call(fd)

    app = App(directory=home)
    with mock.patch("trap.fsio.os.fsync", lambda fd, call=os.fsync: note(call, fd)):
        (job_id,) = inject.take(app.config, app.spool, inject.Letter(message=[EML], rcpts=["a@x"]))
    app.spool.close()
    assert synced == [job_id, "new"]


def test_where_there_is_no_room_it_does_as_the_sink_does(run: Run, home: Path) -> None:
    (home / "spamtrap.yaml").write_text(
        "pipeline: [first]\naccept: {addresses: {k@x: {tag: kept}, d@x: {tag: typo}, '*@x': {tag: ''}}}\n"
        "spool: {max_waiting: 1, when_full: {default: tempfail, kept: shed, typo: accept-and-drop}}\n"
    )
    assert run("inject", "a@x", stdin=EML).code == 0
    full = run("inject", "a@x", stdin=EML)
    assert full.code == os.EX_TEMPFAIL
    assert full.err == "spamtrap: not taken, try again later: queue first: more than 1 wait\n"
    assert run("inject", "d@x", stdin=EML).code == 0
    assert only_job(home).envelope.rcpt_tos == ["a@x"]
    assert run("inject", "k@x", stdin=EML).code == 0
    assert only_job(home).envelope.rcpt_tos == ["k@x"]
    account = run("audit", "--json").json
    assert (account["accepted"], account["dropped"], account["shed"]) == (3, {"full": 1}, 1)
    assert account["balanced"]


# Every way to fail


FAILURES: dict[str, tuple[list[str], str]] = {
    "no such option": (["inject", "--form=a@x", "--", "b@x"], "no option '--form=a@x'"),
    "a recipient that looks like an option": (
        ["inject", "-rf@x"],
        "no option '-rf@x'; recipients stand behind",
    ),
    "an option without its value": (["inject", "b@x", "--from"], "--from needs a value"),
    "a mistake before the command": (["--cofnig", "x", "inject", "b@x"], "no option '--cofnig'"),
    "a word before the command": (["in", "inject", "b@x"], "no command 'in'"),
    "-- before the command": (["--", "inject", "b@x"], "no option '--'"),
    "no such queue": (["inject", "--queue", "frist", "b@x"], "no queue 'frist' (did you mean first?)"),
    "no configuration": (
        ["--config", "/nonexistent.yaml", "inject", "b@x"],
        "/nonexistent.yaml: No such file",
    ),
    "a directory as configuration": (["inject", "--config=/", "b@x"], "/: Is a directory"),
    "a name no file has": (["inject", "--config=\n", "b@x"], r"\n: No such file"),
    "no place for the spool": (["inject", "--dir", "/dev/null", "b@x"], "/dev/null"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_every_mistake_is_temporary_and_told_in_one_line(run: Run, home: Path, case: str) -> None:
    line, reason = FAILURES[case]
    result = run(*line, stdin=EML)
    assert (result.code, result.out) == (os.EX_TEMPFAIL, "")
    assert result.err.startswith("spamtrap: not taken, try again later: ")
    assert reason in result.err
    assert len(result.err.splitlines()) == 1
    assert jobs(home) == {}


CONFIGURATIONS = {
    "not YAML": "pipeline: [first",
    "no such setting": "reeper: {}",
    "not text": b"\xff\xfe",
    "nested too deep": "a: " + "[" * 100_000,
    "a spool in a file": "paths: {spool: /etc/passwd/spool}",
    "a spool of the kernel's": "paths: {spool: /proc/spool}",
    "a mail log in a file": "paths: {state: /etc/passwd/state}",
    "a user that is not there": "user: nobody-of-this-name",
    "a secret that can't be had": "accept: {refuse_unknown: 5%}\npaths: {state: /etc/passwd/state}",
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_a_broken_configuration_is_temporary(run: Run, tmp_path: Path, case: str) -> None:
    text = CONFIGURATIONS[case]
    file = tmp_path / "broken.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = run("--config", str(file), "inject", "--", "a@x", stdin=EML)
    assert result.code == os.EX_TEMPFAIL
    assert len(result.err.splitlines()) == 1


def test_a_message_too_large_is_the_one_that_can_never_be_taken(run: Run, home: Path) -> None:
    (home / "spamtrap.yaml").write_text("pipeline: [first]\nsmtp: {max_size: 1kB}\n")
    large = run("inject", "trap@example.com", stdin=b"x" * 1025)
    assert large.code == os.EX_DATAERR
    assert large.err == "spamtrap: not taken: larger than smtp.max_size, 1024 bytes\n"
    assert run("inject", "trap@example.com", stdin=b"x" * 1024).code == 0
    # A caller that can't write all of it may take that for the failure, and say something else.
    assert started("inject", "a@x", input=BIG).returncode == os.EX_DATAERR


def test_no_message_at_all_is_a_caller_that_failed(run: Run, home: Path) -> None:
    """A mail server hands over a header at least. Whatever it is that it has, it is to keep it."""
    result = run("inject", "a@x", stdin=b"")
    assert (result.code, "no message" in result.err) == (os.EX_TEMPFAIL, True)
    assert jobs(home) == {}


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ('exec "$@" inject a@x <&-', 75),
        ('exec "$@" inject a@x 2>&- <&-', 75),
        ('printf x | "$@" inject a@x >&-', 0),
        ('printf x | "$@" inject a@x > /dev/full', 0),
        ('printf x | "$@" inject a@x >&- 2>&-', 0),
        ('printf x | { "$@" inject a@x; echo $? >&3; } 3>&1 >/dev/null | read -r code; exit $code', 0),
    ],
)
def test_what_becomes_of_stdout_changes_nothing(home: Path, shell: str, code: int) -> None:
    """What is in the queue is in the queue: told otherwise, the caller would bring it again."""
    done = subprocess.run(
        ["/bin/sh", "-c", shell, "sh", *SPAMTRAP], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert len(jobs(home)) == (0 if code else 1)
    assert half_done(home) == []


def test_nobody_reads_what_it_prints(home: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*SPAMTRAP, "inject", "a@x"], input=EML, stdout=writer, stderr=writer, check=False)
    os.close(writer)
    assert done.returncode == 0
    assert only_job(home).message == EML


@pytest.mark.parametrize(
    ("module", "error"),
    [
        ("msgspec", "raise MemoryError"),
        ("yaml", "raise ImportError('half')"),
        ("trap.inject", "1 +"),
        ("trap.envelope", "exit(1)"),
    ],
)
def test_an_installation_that_is_broken_is_temporary(home: Path, module: str, error: str) -> None:
    """As while it is being upgraded."""
    code = (
        "import sys, types, importlib.abc, importlib.util\n"
        "class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        return importlib.util.spec_from_loader(name, self) if name == {module!r} else None\n"
        "    def exec_module(self, module):\n"
        f"        exec({error!r})\n"
        "sys.meta_path.insert(0, Broken())\n"
        "sys.argv = ['spamtrap', 'inject', 'a@x']\n"
        "from trap.cli import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=EML, capture_output=True, check=False)
    assert done.returncode == os.EX_TEMPFAIL
    told(done)


def limited(kind: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (most, most))


@pytest.mark.parametrize(
    ("kind", "most"),
    [(resource.RLIMIT_FSIZE, 100_000), (resource.RLIMIT_AS, 100 << 20), (resource.RLIMIT_NOFILE, 5)],
)
def test_limits_of_the_kernel_are_temporary(home: Path, kind: int, most: int) -> None:
    """A file too long, no memory, no files left."""
    started("status")
    (home / "spamtrap.yaml").write_text("pipeline: [first]\nsmtp: {max_size: 300MB}\n")
    done = started("inject", "a@x", input=b"x" * (1 << 27), preexec_fn=limited(kind, most))
    assert done.returncode == os.EX_TEMPFAIL, done.stderr
    told(done)
    assert jobs(home) == {}
    assert half_done(home) == []


# Whatever happens at whatever system call


def delivered(home: Path, at: int, what: What, names: frozenset[str]) -> int:
    """Deliver in a child, as the program does, with a fault at one call; returns what waitpid says."""
    (home / "message").write_bytes(EML)

    def act() -> None:
        stdin = (home / "message").open()
        with mock.patch.object(sys, "stdin", stdin), faulty(at, what, names):
            line_of.main(["--dir", str(home), "inject", "-f", "s@x", "--", "a@x", "ham@x"])

    return in_child(act)


def raise_it(error: type[BaseException]) -> Callable[..., object]:
    def fail(*_: object) -> object:
        raise error("out of the blue")

    return fail


def signalled(number: int) -> Callable[..., object]:
    """The call is made; a signal comes while it is."""

    def act(call: Callable[..., object], name: str, args: tuple[object, ...]) -> object:
        os.kill(os.getpid(), number)
        return call(*args)

    return act


FAULTS = {
    "no room": (fail_with(errno.ENOSPC), CAN_FAIL),
    "broken": (fail_with(errno.EIO), CHANGES),
    "read-only": (fail_with(errno.EROFS), CAN_FAIL),
    "half a line": (short_write, CAN_FAIL),
    "no memory": (raise_it(MemoryError), CHANGES),
    "a mistake of ours": (raise_it(RuntimeError), CHANGES),
    "control-C": (raise_it(KeyboardInterrupt), CHANGES),
    "an exit": (raise_it(SystemExit), CHANGES),
    "SIGTERM": (signalled(signal.SIGTERM), CHANGES),
    "SIGHUP": (signalled(signal.SIGHUP), CHANGES),
    "killed before": (die_before, CHANGES),
    "killed after": (die_after, CHANGES),
}
TWO_QUEUES = """
pipeline: [first]
stages: {apart: {workers: 0}}
route: [{rcpt: 'ham@*', to: apart}]
spool: {fsync: true}
"""


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_the_code_is_true(tmp_path: Path, fault: str) -> None:
    """0: it is in both its queues. Anything else is 75, and half a message is in none of them."""
    what, names = FAULTS[fault]
    calls = 0
    for at in itertools.count(1):
        home = tmp_path / str(at)
        home.mkdir()
        (home / "spamtrap.yaml").write_text(TWO_QUEUES)
        reached = home / "reached"

        def noted(
            call: Callable[..., object], name: str, args: tuple[object, ...], mark: Path = reached
        ) -> object:
            mark.touch()
            return what(call, name, args)

        code = delivered(home, at, noted, names)
        if not reached.exists():
            break
        calls = at
        found = {queue: [job.message for job in there] for queue, there in jobs(home).items()}
        if fault.startswith("killed"):
            assert code == -signal.SIGKILL
        elif fault.startswith("SIG"):
            assert code == 0, "it is on its way in: let it in"
        else:
            assert code in {0, os.EX_TEMPFAIL}
        assert all(messages == [EML] for messages in found.values())
        if code == 0:
            assert found.keys() == {"first", "apart"}
        settled(App(directory=home), home)
    assert calls > 10


def settled(app: App, home: Path) -> None:
    """The reaper comes by: nothing is left half done, and the account balances."""
    app.spool.recover()
    assert half_done(home) == []
    assert audit(app.config, app.spool).balanced
    app.spool.close()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM]
)
def test_a_signal_before_the_message_is_whole_is_temporary(home: Path, number: int) -> None:
    with reading(home) as process:
        process.send_signal(number)
        assert process.wait(30) == os.EX_TEMPFAIL
        assert process.stderr is not None
        assert process.stderr.read().decode().splitlines() == [
            f"spamtrap: not taken, try again later: ended by {signal.Signals(number).name}"
        ]
    assert jobs(home) == {}


def test_a_broken_pipe_ends_nothing(home: Path) -> None:
    """SIGPIPE is for those who write; whoever sends it to us has to send something else."""
    with reading(home) as process:
        process.send_signal(signal.SIGPIPE)
        process.communicate(timeout=30)
        assert process.returncode == 0
    assert only_job(home).message == BIG


def test_sigkill_before_the_message_is_whole_leaves_nothing(home: Path) -> None:
    with reading(home) as process:
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
    assert jobs(home) == {}
    assert half_done(home) == []


def reading(home: Path) -> "subprocess.Popen[bytes]":
    """A process that has read the beginning of a message, and waits for the rest."""
    process = subprocess.Popen(
        # Below nohup(1) it would be ignored: that is inherited, and kept.
        ["env", "--default-signal=HUP", *SPAMTRAP, "inject", "a@x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(BIG)
    process.stdin.flush()
    return process


# The line


ODD = [
    b"-f",
    b"--from=x",
    b"--",
    b"-",
    b"--help",
    b"`rm -rf`@x",
    b"$(reboot)@x",
    b"${IFS}@x",
    b"|cat@x",
    b'"a b"@x',
    b"a\nb@x",
    b"\xff\xfe@x",
    "grüße@x".encode(),
    b"",
    b"inject",
    b"; exit 0",
    b"x" * 100_000,
]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX", "de_DE.ISO-8859-1"])
def test_recipients_are_data_whatever_they_look_like(home: Path, locale: str) -> None:
    done = started(
        "inject", "--from", b"-\xff`id`", b"--helo=-rf", "--", *ODD, env={**os.environ, "LC_ALL": locale}
    )
    assert done.returncode == 0, done.stderr
    said = only_job(home).envelope
    assert [address.encode("utf-8", "surrogateescape") for address in said.rcpt_tos] == ODD
    assert said.mail_from.encode("utf-8", "surrogateescape") == b"-\xff`id`"
    assert said.helo == "-rf"


words = st.one_of(st.text(), st.sampled_from([word.decode("utf-8", "surrogateescape") for word in ODD]))


@given(sender=words, rcpts=st.lists(words))
def test_what_a_mail_server_fills_in_is_never_an_option(sender: str, rcpts: list[str]) -> None:
    line = line_of.read(["inject", f"--from={sender}", "--", *rcpts])
    assert line == line_of.Line({"sender": sender}, rcpts)


@given(words=st.lists(words))
def test_any_line_is_understood_or_a_temporary_failure(words: list[str]) -> None:
    try:
        line_of.read(["inject", *words])
    except inject.NotTaken as error:
        assert error.code == os.EX_TEMPFAIL
        assert str(error).startswith("not taken, try again later: ")


@pytest.mark.parametrize(
    ("words", "given", "rcpts"),
    [
        (["inject", "a", "-f", "s", "b"], {"sender": "s"}, ["a", "b"]),
        (["inject", "-fs", "a"], {"sender": "s"}, ["a"]),
        (["inject", "-f", "--", "a"], {"sender": "--"}, ["a"]),
        (["inject", "--from=", "--", "a"], {"sender": ""}, ["a"]),
        (["inject", "--from", "a", "--from=b=c"], {"sender": "b=c"}, []),
        (["--config=c", "--dir", "d", "inject"], {"config_file": "c", "directory": "d"}, []),
        (["--dir", "inject", "inject", "inject"], {"directory": "inject"}, ["inject"]),
        (["inject", "-", "a"], {}, ["-", "a"]),
    ],
)
def test_options_stand_anywhere_before_two_dashes(
    words: list[str], given: dict[str, str], rcpts: list[str]
) -> None:
    assert line_of.read(words) == line_of.Line(given, rcpts)


@pytest.mark.parametrize(
    "line", [["inject", "--help"], ["inject", "a", "--help"], ["--dir=x", "inject", "--help"]]
)
def test_help_is_clicks_and_ends_well(run: Run, line: list[str]) -> None:
    result = run(*line)
    assert result.code == 0
    assert "inject [OPTIONS] RCPT..." in result.out.splitlines()[0]
    assert "Exit code 0 when it is in the queue" in result.out


def test_help_behind_two_dashes_is_a_recipient(run: Run, home: Path) -> None:
    run("inject", "--", "--help", stdin=EML)
    assert only_job(home).envelope.rcpt_tos == ["--help"]


def test_the_version_is_told_before_the_command_only(run: Run, home: Path) -> None:
    assert run("--version", "inject").code == 0
    assert run("inject", "--version", stdin=EML).code == os.EX_TEMPFAIL


def test_help_shows_the_options_that_are_understood() -> None:
    spellings = {name for parameter in shown.params for name in parameter.opts if name.startswith("-")}
    assert spellings == set(line_of._SPELLINGS)


PLACES = [
    places
    for number in range(4)
    for places in itertools.combinations(["before", "behind", "variable"], number)
]


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("option", ["config", "dir"])
def test_config_and_dir_mean_the_same_as_to_every_other_command(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, places: tuple[str, ...]
) -> None:
    """Wherever they stand: before the command, behind it, in the environment, in several of these places."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def at(place: str) -> str:
        if option == "dir":
            return str(tmp_path / place)
        file = tmp_path / f"{place}.yaml"
        file.write_text(
            f"pipeline: [first]\npaths: {{spool: {tmp_path}/{place}/spool, state: {tmp_path}/state}}\n"
        )
        return str(file)

    if "variable" in places:
        monkeypatch.setenv(f"SPAMTRAP_{option.upper()}", at("variable"))
    before = [f"--{option}", at("before")] if "before" in places else []
    behind = [f"--{option}={at('behind')}"] if "behind" in places else []
    shown = run(*before, "config", "show", "--json", *behind).json
    with mock.patch.object(inject, "Intake", side_effect=OSError), mock.patch.object(Spool, "open") as opened:
        run(*before, "inject", *behind, stdin=EML)
    config: Config = opened.call_args.args[0]
    assert str(config.paths.spool) == shown["paths"]["spool"]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["inject"], "inject"),
        (["--dir", "inject", "status"], "status"),
        (["--dir", "status", "inject"], "inject"),
        (["archive", "ls", "inject"], "archive"),
        (["--what", "inject"], "inject"),
        (["queue", "show", "inject"], "queue"),
        (["nonsense"], ""),
        ([], ""),
    ],
)
def test_which_command_is_meant(words: list[str], command: str) -> None:
    assert cli.meant(words) == command


# What it costs


@pytest.mark.parametrize("module", ["click", "rich", "asyncio", "mailparser", "ssl", "trap.listening"])
def test_what_is_not_needed_is_not_loaded(home: Path, module: str) -> None:
    """It is started for each message; bench/inject.py measures it."""
    assert module not in loaded(home)


_LOADED: dict[str, set[str]] = {}


def loaded(home: Path) -> set[str]:
    """The modules that a delivery loads."""
    if "modules" not in _LOADED:
        code = (
            "import os, sys\nsys.argv = ['spamtrap', 'inject', 'a@x']\nend = os._exit\n"
            "os._exit = lambda code: (print(*sys.modules, file=sys.stderr, flush=True), end(code))\n"
            "from trap.cli import main; main()"
        )
        done = subprocess.run([sys.executable, "-c", code], input=EML, capture_output=True, check=True)
        _LOADED["modules"] = set(done.stderr.decode().split())
    return _LOADED["modules"]
