"""deploy/postfix with a real Postfix: whatever happens to the trap, no mail is lost and none is returned.

Its files are taken as they are, but for places and names, and without soft_bounce: that nothing is returned
is to be our own doing.
"""

import contextlib
import os
import pwd
import random
import re
import select
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from postfixkit import Postfix, running, write
from support import eventually, free_port

from trap.config import Config
from trap.configfile import parse
from trap.job import Job
from trap.queue import Spool

REPOSITORY = Path(__file__).parent.parent
FILES = REPOSITORY / "deploy" / "postfix"
WAYS = ["pipe", "lmtp"]
USER = "nobody"
MOST = 200_000
"""Bytes of a message that the trap takes here."""
BESIDE = 65_536
"""Bytes by which the recipe has Postfix take less."""
WAITING = 2000
"""Jobs that may wait."""
FOR_TESTS = """
myhostname = mx.trap.example
mydestination = alias.example
alias_maps = texthash:{0}/etc/aliases
local_recipient_maps =
mynetworks = 127.0.0.0/8
local_header_rewrite_clients =
default_transport = discard
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
transport_retry_time = 1s
smtpd_client_connection_count_limit = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
"""
RECEIVED = re.compile(rb"Received: [^\r\n]*(?:\r\n\t[^\r\n]*)*\r\n")
QUEUE_ID = re.compile(rb"\tby \S+ \(Postfix\) with \S+ id (\w+)")


class Deployed:
    """A Postfix with both ways into a trap, and that trap.

    Attributes:
        postfix: the Postfix.
        homes: way -> where its trap keeps everything.
    """

    def __init__(self, directory: Path) -> None:
        self.homes = {way: directory / way for way in WAYS}
        self.port, self.lossy = free_port(), free_port()
        self.program = directory / "spamtrap"
        self.postfix: Postfix
        self.sink: subprocess.Popen[bytes] | None = None
        for home in self.homes.values():
            home.mkdir()
            (home / "spamtrap.yaml").write_text(
                f"pipeline: [first]\nlisten: [{{lmtp: '127.0.0.1:{self.port}'}}]\n"
                f"smtp: {{max_size: {MOST}}}\nspool: {{max_waiting: {WAITING}, reserve: 1%}}\n"
            )
        self._write_program()

    def _write_program(self) -> None:
        """What pip writes as bin/spamtrap, for a Python that another user may run."""
        paths = [str(REPOSITORY), sysconfig.get_path("purelib")]
        home = str(self.homes["pipe"])
        told = f"import os, sys\nsys.path[:0] = {paths}\nos.environ['SPAMTRAP_DIR'] = {home!r}\n"
        for python in (sys.executable, f"/usr/bin/python3.{sys.version_info[1]}"):
            self.program.write_text(f"#!{python}\n{told}from trap.cli import main\nmain()\n")
            self.program.chmod(0o755)
            with contextlib.suppress(PermissionError, FileNotFoundError):
                if not subprocess.run(
                    [self.program, "--version"], user=USER, extra_groups=[], check=False
                ).returncode:
                    return
        pytest.skip(f"the user {USER} can't run this Python")

    def config(self, way: str) -> Config:
        return parse((self.homes[way] / "spamtrap.yaml").read_text() + f"paths: {self._paths(way)}")

    def _paths(self, way: str) -> str:
        home = self.homes[way]
        return f"{{spool: {home}/spool, archive: {home}/archive, state: {home}/state}}"

    def main(self) -> str:
        """main.cf of the recipe, for these domains and this trap."""
        text = (FILES / "main.cf").read_text()
        text = text.replace(
            "relay_domains = trap.example", "relay_domains = pipe.example lmtp.example lost.example"
        )
        text = text.replace("/etc/postfix/spamtrap-transport", "{0}/etc/spamtrap-transport")
        assert f"message_size_limit = {Config().smtp.max_size - BESIDE}\n" in text
        return re.sub(r"message_size_limit = \d+", f"message_size_limit = {MOST - BESIDE}", text) + FOR_TESTS

    def master(self) -> str:
        """master.cf of the recipe, for this program; without its net."""
        text = (FILES / "master.cf").read_text().replace("  -o soft_bounce=yes\n", "")
        text = text.replace("/usr/local/bin/spamtrap", str(self.program))
        return text.replace("user=spamtrap", f"user={USER}") + "\nlocal unix - n n - - local\n"

    def aliases(self) -> str:
        """The line for a .forward, as an alias."""
        guide = (FILES.parent / "README.md").read_text()
        line = re.search(r'^"\|/usr/local/bin/spamtrap .*$', guide, re.MULTILINE)
        assert line
        return "trap " + line[0].replace("/usr/local/bin/spamtrap", str(self.program)) + "\n"

    def transport(self) -> str:
        """The table of the recipe, with both its ways."""
        text = (FILES / "spamtrap-transport").read_text().replace("127.0.0.1:2524", f"127.0.0.1:{self.port}")
        text = text.replace("#trap.example", "pipe.example").replace("\ntrap.example", "\nlmtp.example")
        return text + f"lost.example spamtrap-lmtp:inet:127.0.0.1:{self.lossy}\n"

    def start_sink(self) -> None:
        """The trap that listens for LMTP."""
        log = (self.homes["lmtp"] / "sink.log").open("ab")
        self.sink = subprocess.Popen(
            [sys.executable, "-m", "trap", "--dir", self.homes["lmtp"], "sink"],
            stdout=log,
            stderr=log,
            cwd=REPOSITORY,
        )
        log.close()

        def answers() -> bool:
            with (
                contextlib.suppress(OSError, smtplib.SMTPException),
                smtplib.LMTP("127.0.0.1", self.port) as probe,
            ):
                return probe.noop()[0] == 250
            return False

        eventually(answers, what="the sink greets")

    def kill_sink(self) -> None:
        if self.sink:
            self.sink.kill()
            self.sink.wait()
            self.sink = None

    def jobs(self, way: str) -> list[Job]:
        """What is in the trap, each job whole."""
        found = sorted((self.homes[way] / "spool/first/new").glob("*"))
        return [Job.decode(path.stem, path.read_bytes()) for path in found]

    def empty(self) -> None:
        """Take everything out of the trap, as its workers would."""
        for home in self.homes.values():
            for path in (home / "spool").glob("first/new/*"):
                path.unlink()

    def fill(self, way: str) -> None:
        """Put so many jobs into the trap that no more may wait, until it sees that."""
        (self.homes[way] / "spool/first/new").mkdir(parents=True, exist_ok=True)
        for number in range(WAITING):
            (self.homes[way] / f"spool/first/new/{number:016d}{number:08x}.0").touch()
        eventually(lambda: way == "pipe" or self._refuses(), what="the sink looks again")

    def _refuses(self) -> bool:
        """Whether the sink has no room."""
        with smtplib.LMTP("127.0.0.1", self.port) as probe:
            probe.ehlo()
            probe.mail("s@example.org")
            probe.rcpt("probe@lmtp.example")
            with contextlib.suppress(smtplib.SMTPServerDisconnected):
                if probe.docmd("DATA")[0] == 452:
                    return True
            probe.close()
            return False


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    with contextlib.ExitStack() as stack:
        started = stack.enter_context(_deployed())
        yield started


@contextlib.contextmanager
def _deployed() -> Iterator[Deployed]:
    if os.geteuid():
        pytest.skip("only root can start Postfix")
    directory = Path("/tmp") / f"spamtrap-deployed-{os.getpid()}"
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    try:
        trap = Deployed(directory)
        user = pwd.getpwnam(USER)
        for path in [trap.homes["pipe"], *trap.homes["pipe"].iterdir()]:
            os.chown(path, user.pw_uid, user.pw_gid)
        subprocess.run(
            [trap.program, "status"], user=USER, extra_groups=[], stdout=subprocess.DEVNULL, check=True
        )
        trap.start_sink()
        try:
            with running(trap.main(), trap.master()) as postfix:
                write(postfix.directory / "etc/spamtrap-transport", trap.transport())
                write(postfix.directory / "etc/aliases", trap.aliases())
                postfix.command("postfix", "reload")
                trap.postfix = postfix
                yield trap
        finally:
            trap.kill_sink()
    finally:
        shutil.rmtree(directory)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, deployed: Deployed) -> Iterator[str]:
    """Each way into the trap, which is empty; afterwards no mail was returned, whatever the test did."""
    deployed.empty()
    yield str(request.param)
    assert deployed.postfix.returns() == []
    if deployed.sink is None:
        deployed.start_sink()
    deployed.empty()
    deployed.postfix.delivers_all()
    assert deployed.postfix.returns() == []


def message(number: int, body: bytes = b"You have won.\r\n") -> bytes:
    return b"Subject: prize %d\r\nFrom: s@example.org\r\n\r\n" % number + body


def send(postfix: Postfix, way: str, count: int, first: int = 0) -> list[bytes]:
    """Messages as a spammer sends them, four sessions at a time; returns what was taken."""
    sent = [message(number) for number in range(first, first + count)]

    def some(at: int) -> None:
        with postfix.smtp() as client:
            for each in sent[at::4]:
                client.sendmail("s@example.org", [f"trap@{way}.example"], each)

    senders = [threading.Thread(target=some, args=(at,)) for at in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return sent


def as_sent(job: Job) -> bytes:
    """The message without the one header field that Postfix adds."""
    received = RECEIVED.match(job.message)
    assert received, job.message[:300]
    return job.message[received.end() :]


def queue_id(job: Job) -> str:
    """Postfix's name for a message: what tells a second delivery from a second message."""
    found = QUEUE_ID.search(job.message)
    assert found
    return found[1].decode()


# What arrives


BODIES = {
    "plain": b"You have won.\r\n",
    "dots": b".\r\n..\r\n.x\r\n",
    "From": b"From here on\r\n>From there\r\n\r\nFrom \r\n",
    "eight bits": bytes(range(128, 256)) + b"\r\n",
    "controls": bytes(set(range(1, 32)) - {10, 13}) + b"\x7f\r\n",
    "a long line": b"x" * 50_000 + b"\r\n",
    "blanks": b" \t \r\n\r\n\r\n",
    "nothing": b"",
    "many lines": b"\r\n" * 30_000,
}


def test_every_byte_arrives(deployed: Deployed, way: str) -> None:
    sent = [message(number, body) for number, body in enumerate(BODIES.values())]
    with deployed.postfix.smtp() as client:
        for each in sent:
            client.sendmail("s@example.org", [f"trap@{way}.example"], each, ["BODY=8BITMIME"])
    deployed.postfix.delivers_all()
    assert sorted(map(as_sent, deployed.jobs(way))) == sorted(sent)


def test_the_null_sender_arrives_as_such(deployed: Deployed, way: str) -> None:
    with deployed.postfix.smtp() as client:
        client.sendmail("", [f"trap@{way}.example"], message(0))
    deployed.postfix.delivers_all()
    (job,) = deployed.jobs(way)
    assert job.envelope.mail_from == ""


def test_pipe_tells_who_the_client_was(deployed: Deployed, way: str) -> None:
    with deployed.postfix.smtp() as client:
        client.helo("-rf.example")
        client.sendmail("s@example.org", [f"trap@{way}.example"], message(0))
    deployed.postfix.delivers_all()
    (job,) = deployed.jobs(way)
    if way == "pipe":
        assert (job.envelope.client_ip, job.envelope.helo) == ("127.0.0.1", "-rf.example")
        assert job.envelope.dialect == {"queue_id": queue_id(job)}


ODD = [
    '"-f"',
    '"--from=x"',
    '"--"',
    "`touch${IFS}%s`",
    '"$(touch %s)"',
    '"; touch %s"',
    '"| touch %s"',
    '"a b"',
    '"a\\"b"',
    '"a\\\\b"',
    '"a@b"',
    "a+b",
    "a!b",
    "x'y",
    "a%%b",
    "-rf",
    "--help",
]


def test_recipients_are_data_whatever_they_look_like(deployed: Deployed, way: str) -> None:
    mark = deployed.homes["pipe"] / "obeyed"
    rcpts = [f"{local.replace('%s', str(mark)).replace('%%', '%')}@{way}.example" for local in ODD]
    taken = []
    with deployed.postfix.smtp() as client:
        client.helo("client.example")
        for rcpt in rcpts:
            client.docmd('MAIL FROM:<"$(touch x)"@example.org>')
            if client.docmd(f"RCPT TO:<{rcpt}>")[0] == 250:  # Postfix has its own opinion of dashes
                client.data(message(0))
                taken.append(rcpt)
            client.rset()
    assert len(taken) > 8
    deployed.postfix.delivers_all()
    assert sorted(rcpt for job in deployed.jobs(way) for rcpt in job.envelope.rcpt_tos) == sorted(taken)
    assert {job.envelope.mail_from for job in deployed.jobs(way)} == {'"$(touch x)"@example.org'}
    assert not mark.exists()


def test_one_message_for_many_is_one_job(deployed: Deployed, way: str) -> None:
    rcpts = [f"trap{number}@{way}.example" for number in range(40)]
    with deployed.postfix.smtp() as client:
        client.sendmail("s@example.org", rcpts, message(0))
    deployed.postfix.delivers_all()
    (job,) = deployed.jobs(way)
    assert sorted(job.envelope.rcpt_tos) == sorted(rcpts)


def test_a_message_too_large_is_turned_away_at_the_door(deployed: Deployed, way: str) -> None:
    """So the trap never has to say what only a bounce could answer."""
    most = MOST - BESIDE
    lines = b"\r\n" * (most // 2)
    with deployed.postfix.smtp() as client, pytest.raises(smtplib.SMTPResponseException) as refused:
        client.sendmail("s@example.org", [f"trap@{way}.example"], message(0, lines))
    assert refused.value.smtp_code == 552
    largest = message(0, lines[: most - 1000])
    with deployed.postfix.smtp() as client:
        client.sendmail("s@example.org", [f"trap@{way}.example"], largest)
    deployed.postfix.delivers_all()
    (job,) = deployed.jobs(way)
    assert as_sent(job) == largest


def test_the_line_for_a_forward_file(deployed: Deployed) -> None:
    """local(8) adds fields of its own, and gives the line to a shell."""
    deployed.empty()
    with deployed.postfix.smtp() as client:
        client.helo("client.example")
        client.sendmail('"`id`"@example.org', ["trap@alias.example"], message(0))
    deployed.postfix.delivers_all()
    (job,) = deployed.jobs("pipe")
    assert job.envelope.rcpt_tos == ["trap@alias.example"]
    assert "id" in job.envelope.mail_from and "uid=" not in job.envelope.mail_from
    with broken(deployed), deployed.postfix.smtp() as client:
        client.sendmail("", ["trap@alias.example"], message(1))
        eventually(lambda: {entry["queue_name"] for entry in deployed.postfix.queue} == {"deferred"})
    deployed.postfix.delivers_all()
    assert deployed.postfix.returns() == []
    assert len(deployed.jobs("pipe")) == 2


# What goes wrong


@contextlib.contextmanager
def broken(deployed: Deployed) -> Iterator[None]:
    """A mistake stands in the configuration meanwhile."""
    file = deployed.homes["pipe"] / "spamtrap.yaml"
    good = file.read_text()
    file.write_text(f"reeper: 1\n{good}")
    try:
        yield
    finally:
        file.write_text(good)


def test_more_at_once_than_it_can_take_wait_their_turn(deployed: Deployed, way: str) -> None:
    sent = send(deployed.postfix, way, 25 if way == "pipe" else 150)
    deployed.postfix.delivers_all(60)
    assert sorted(map(as_sent, deployed.jobs(way))) == sorted(sent)


def test_a_full_spool_makes_it_wait_until_there_is_room(deployed: Deployed, way: str) -> None:
    deployed.fill(way)
    sent = send(deployed.postfix, way, 4)
    postfix = deployed.postfix
    # Of one look: at the next one Postfix may be trying again, and then it tells no reason.
    looks = []

    def all_deferred() -> bool:
        looks.append(postfix.queue)
        return len(looks[-1]) == 4 and all(
            entry["queue_name"] == "deferred" and all("delay_reason" in rcpt for rcpt in entry["recipients"])
            for entry in looks[-1]
        )

    eventually(all_deferred, what="all four are deferred")
    reasons = {rcpt["delay_reason"] for entry in looks[-1] for rcpt in entry["recipients"]}
    if way == "pipe":
        assert all("not taken, try again later: queue first: more than" in reason for reason in reasons)
    else:
        assert all(" said: 452 " in reason for reason in reasons)
    deployed.empty()
    postfix.delivers_all()
    assert sorted(map(as_sent, deployed.jobs(way))) == sorted(sent)


def test_a_broken_configuration_makes_it_wait(deployed: Deployed) -> None:
    """Whoever edits it meanwhile loses no mail, and sends none to forged senders."""
    deployed.empty()
    with broken(deployed):
        sent = send(deployed.postfix, "pipe", 2)
        eventually(lambda: "no such setting (did you mean reaper?)" in deployed.postfix.log)
    deployed.postfix.delivers_all()
    assert deployed.postfix.returns() == []
    assert sorted(map(as_sent, deployed.jobs("pipe"))) == sorted(sent)


def test_no_trap_at_all_makes_it_wait(deployed: Deployed) -> None:
    deployed.empty()
    deployed.kill_sink()
    sent = send(deployed.postfix, "lmtp", 2)
    eventually(lambda: deployed.postfix.log.count("Connection refused") >= 1)
    deployed.start_sink()
    deployed.postfix.delivers_all()
    assert deployed.postfix.returns() == []
    assert sorted(map(as_sent, deployed.jobs("lmtp"))) == sorted(sent)


def test_what_comes_twice_because_our_250_was_lost_is_told(deployed: Deployed) -> None:
    """The trap has it, the mail server does not know, and so brings it again: LMTP can't do better."""
    deployed.empty()
    with losing_the_first_250(deployed.lossy, deployed.port):
        send(deployed.postfix, "lost", 1)
        deployed.postfix.delivers_all()
    first, second = deployed.jobs("lmtp")
    assert first.message == second.message
    assert first.id != second.id
    (told,) = re.findall(rf"{queue_id(first)}: .*status=deferred \((.*)\)", deployed.postfix.log)
    assert told.endswith("message may be sent more than once")
    assert deployed.postfix.returns() == []


@contextlib.contextmanager
def losing_the_first_250(port: int, behind: int) -> Iterator[None]:
    """A line to the trap that breaks when the first message is taken, before the mail server hears of it."""
    lost = False

    def serve() -> None:
        nonlocal lost
        with contextlib.suppress(OSError):  # the server is closed
            while True:
                client, _ = server.accept()
                with client, socket.create_connection(("127.0.0.1", behind)) as trap:
                    both = {client: trap, trap: client}
                    while data := (ready := select.select(both, [], [])[0][0]).recv(65_536):
                        if ready is trap and b"queued as" in data and not lost:
                            lost = True
                            break
                        both[ready].sendall(data)

    with socket.create_server(("127.0.0.1", port)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_killed_again_and_again_nothing_is_lost_and_twice_is_told(deployed: Deployed, way: str) -> None:
    """SIGKILL, which nobody can answer for: what was on its way comes again, and maybe was there already.

    Twice is told by Postfix's name for the message, the same in both jobs, and by Postfix's log, which says
    for this name that it was deferred.
    """
    killing = threading.Event()
    killed: list[int] = []
    killer = threading.Thread(target=_kill, args=(deployed, way, killing, killed))
    killer.start()
    sent: list[bytes] = []
    try:
        while len(killed) < 6:
            assert len(sent) < 1000, "it is killed often enough"
            sent += send(deployed.postfix, way, 5 if way == "pipe" else 20, len(sent))
            time.sleep(0.2)
    finally:
        killing.set()
        killer.join()
    if deployed.sink is None:
        deployed.start_sink()
    deployed.postfix.delivers_all(60)
    found = deployed.jobs(way)
    assert {as_sent(job) for job in found} == set(sent), "nothing is lost"
    for name, times in Counter(map(queue_id, found)).items():
        if times > 1:
            told = re.findall(rf"{name}: .*status=deferred \((.*)\)", deployed.postfix.log)
            assert len(told) >= times - 1
    assert len({queue_id(job) for job in found}) == len(sent), "what is there twice has one name"
    spool = Spool.open(deployed.config(way))
    spool.recover()
    assert list((deployed.homes[way] / "spool/tmp").glob("*/*")) == []
    spool.close()


def _kill(deployed: Deployed, way: str, enough: threading.Event, killed: list[int]) -> None:
    """SIGKILL whatever takes mail in, at any moment of its life, until it is enough."""
    while not enough.is_set() and len(killed) < 12:
        time.sleep(random.uniform(0.01, 0.12))
        if way == "lmtp":
            if deployed.sink is None:
                deployed.start_sink()
                time.sleep(random.uniform(0.0, 0.1))
            assert deployed.sink is not None
            killed.append(deployed.sink.pid)
            deployed.kill_sink()
        else:
            for pid in _injecting(deployed):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)


def _injecting(deployed: Deployed) -> list[int]:
    """The processes that Postfix has started for us."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(deployed.program).encode() in entry.read_bytes().split(b"\0")[:2]:
                found.append(int(entry.parent.name))
    return found
