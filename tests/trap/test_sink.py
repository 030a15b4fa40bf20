"""The sink as a process: sockets, privileges, TLS, real clients, no room, kills, and no way out."""

import ast
import contextlib
import hashlib
import os
import pwd
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sinkkit import run as run_loop
from support import eventually, lack, need

from trap.job import Job
from trap.replay import Plan, replay
from trap.sources import letters

REPOSITORY = Path(__file__).parents[2]
START = "import sys; from pathlib import Path; from trap.configfile import load; from trap.sink import run;"
GO = "sys.exit(run(load(Path(sys.argv[1]))))"
RUN = f"{START} {GO}"
NOBODY = pwd.getpwnam("nobody")
# All imports come first: a developer's Python may lie where nobody else may read.
AS_NOBODY = f"import os, encodings.idna; {START} os.setgid({NOBODY.pw_gid}); os.setuid({NOBODY.pw_uid}); {GO}"
ACTIVATED = "import os; os.environ['LISTEN_PID'] = str(os.getpid()); " + RUN
SMALL = b"Subject: small\r\n\r\n..\r\n.\r\nend"


class Sink:
    """A running sink. Its lines on stdout are read as they come."""

    def __init__(self, base: Path, yaml: str, code: str = RUN, listeners: int = 1, **popen: object) -> None:
        self.base = base
        where = f"paths: {{spool: {base}/spool, archive: {base}/archive, state: {base}/state}}\n"
        (base / "trap.yaml").write_text(f"pipeline: [first]\n{where}{yaml}")
        env = {**os.environ, "PYTHONWARNINGS": "error", **popen.pop("env", {})}
        arguments = [sys.executable, "-c", code, str(base / "trap.yaml")]
        self.process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=env,
            **popen,
        )
        self.lines = [self.process.stdout.readline().strip() for _ in range(listeners)]

    @property
    def port(self) -> int:
        """Of the first listener."""
        found = re.search(r":(\d+)", self.lines[0])
        assert found, self.process.stderr.read()
        return int(found[1])

    def jobs(self, queue: str = "first") -> list[Job]:
        """What was stored, oldest first."""
        files = sorted((self.base / "spool" / queue / "new").iterdir())
        return [Job.decode(file.name[:24], file.read_bytes()) for file in files]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Stop it; return its exit code and all it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=15)
        return self.process.returncode, errors


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Sink]]:
    """Starts sinks below tmp_path, and sees to it that none is left."""
    started: list[Sink] = []

    def begin(yaml: str = "listen: [{port: 0}]", base: Path = tmp_path, **more: object) -> Sink:
        started.append(Sink(base, yaml, **more))
        return started[-1]

    yield begin
    for sink in started:
        sink.stop(signal.SIGKILL)


def deliver(port: int, message: bytes = SMALL, rcpt: str = "trap@trap.example") -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.sendmail("spammer@example.com", rcpt, message)


def reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# Life


def test_it_says_where_it_listens_takes_a_message_and_stops_when_asked(start):
    sink = start("listen: [{port: 0, name: edge}, {port: 0, protocol: lmtp}]", listeners=2)
    assert re.fullmatch(r"sink: smtp on 127\.0\.0\.1:\d+ \(edge\)", sink.lines[0])
    assert re.fullmatch(r"sink: lmtp on 127\.0\.0\.1:\d+", sink.lines[1])
    deliver(sink.port)
    (job,) = sink.jobs()
    assert job.message == SMALL + b"\r\n"
    assert job.envelope.listener == "edge"
    assert job.envelope.server_port == sink.port
    assert job.envelope.client_port > 0
    assert job.envelope.connected_at <= job.envelope.first_command_at <= job.envelope.received_at
    assert abs(time.time() - job.envelope.received_at) < 60
    assert sink.stop() == (0, "")
    assert not list((sink.base / "spool/tmp").iterdir())


def test_many_may_knock_while_it_is_busy(start):
    """A full queue of the kernel's would make each of them wait for a second."""
    sink = start()
    os.kill(sink.process.pid, signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        for _ in range(min(300, int(Path("/proc/sys/net/core/somaxconn").read_text()))):
            stack.enter_context(socket.create_connection(("127.0.0.1", sink.port), timeout=5))
    os.kill(sink.process.pid, signal.SIGCONT)


def test_at_sigterm_a_message_on_its_way_is_finished(start):
    sink = start()
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as client:
        client.mail("a@x")
        client.rcpt("b@y")
        client.putcmd("data")
        assert client.getreply()[0] == 354
        sink.process.terminate()
        eventually(lambda: not reachable(sink.port))
        client.send(b"late\r\n.\r\n")
        assert client.getreply()[0] == 250
        assert client.getreply()[0] == 421
    assert sink.stop() == (0, "")
    assert [job.message for job in sink.jobs()] == [b"late\r\n"]


@pytest.mark.parametrize(
    ("yaml", "code", "said"),
    [
        ("listen: [{port: %(taken)d}]", 69, "can't listen on 127.0.0.1:%(taken)d: Address already in use"),
        ("listen: [{host: 192.0.2.1, port: 0}]", 69, "Cannot assign requested address"),
        ("listen: [{host: no.such.host.invalid}]", 69, "can't listen on no.such.host.invalid:2525"),
        ("listen: [{host: a..b}]", 69, "can't listen on a..b:2525"),
        ("user: no-such-user", 67, "there is no user 'no-such-user'"),
        ("tls: {cert: /nowhere/cert.pem, key: /nowhere/key.pem}", 73, "can't use its certificate"),
    ],
)
def test_what_stops_the_start_is_one_line_and_an_exit_code(start, yaml, code, said):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        known = {"taken": taken.getsockname()[1]}
        if "%(" not in yaml and "listen" not in yaml:
            yaml += "\nlisten: [{port: 0}]"
        sink = start(yaml % known if "%(" in yaml else yaml)
        status, errors = sink.stop()
    assert (status, errors.count("\n")) == (code, 1), errors
    assert said % known if "%(" in said else said in errors


# Real clients and real mail


async def _replay(base: Path, port: int, connections: int) -> None:
    outcome = await replay(Plan("127.0.0.1", port, connections), list(letters(base)))
    assert outcome.failed == []


def test_every_message_of_the_corpus_is_stored_byte_for_byte(start, corpus):
    sink = start()
    run_loop(_replay(corpus, sink.port, 20))
    stored = sorted(hashlib.sha256(job.message).hexdigest() for job in sink.jobs())
    assert stored == sorted(file.stem for file in corpus.glob("*/*.eml"))


def test_killed_and_started_again_nothing_acknowledged_is_lost(start, tmp_path):
    folder = tmp_path / "mail"
    folder.mkdir()
    for at in range(1500):
        (folder / f"{at}.eml").write_bytes(b"%d" % at * (at % 50 + 1))
    sinks = [start()]
    listen = f"listen: [{{port: {sinks[0].port}}}]"
    replaying = threading.Thread(target=lambda: run_loop(_replay(folder, sinks[0].port, 10)))
    replaying.start()
    for wanted in (100, 400, 700):
        eventually(lambda wanted=wanted: len(os.listdir(tmp_path / "spool/first/new")) > wanted)
        sinks[-1].stop(signal.SIGKILL)
        sinks.append(start(listen))
    replaying.join(60)
    assert {job.message for job in sinks[-1].jobs()} == {file.read_bytes() for file in folder.iterdir()}


def test_swaks_with_starttls(start):
    swaks = need("swaks")
    sink = start()
    common = [swaks, "--server", f"127.0.0.1:{sink.port}", "-f", "a@example.com", "-t", "b@trap.example"]
    for more in (["-tls"], ["--pipeline"], ["--helo", "Me", "--protocol", "SMTP"]):
        done = subprocess.run(
            [*common, *more, "--body", "hello"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    tls, esmtp, smtp = sink.jobs()
    assert tls.envelope.tls_version.startswith("TLSv1.")
    assert tls.envelope.tls_cipher
    assert (esmtp.envelope.tls_version, esmtp.envelope.helo_verb) == ("", "EHLO")
    assert (smtp.envelope.helo, smtp.envelope.helo_verb) == ("Me", "HELO")


def test_smtp_source(start):
    source = need("smtp-source")
    sink = start()
    for more in ([], ["-d"]):  # a connection each, and connections kept
        arguments = ["-s", "10", "-m", "100", "-l", "3000", "-f", "a@x", "-t", "b@y", *more]
        subprocess.run([source, *arguments, f"127.0.0.1:{sink.port}"], check=True, timeout=30)
    assert len(sink.jobs()) == 200
    assert {job.size for job in sink.jobs()} <= set(range(3000, 3400))


def test_curl(start, tmp_path):
    curl = need("curl")
    sink = start()
    (tmp_path / "mail").write_bytes(b"Subject: x\r\n\r\n.dot\r\n")
    arguments = ["-sS", "--mail-from", "a@x", "--mail-rcpt", "b@y", "-T", str(tmp_path / "mail")]
    subprocess.run([curl, *arguments, f"smtp://127.0.0.1:{sink.port}/me"], check=True, timeout=30)
    assert [job.message for job in sink.jobs()] == [b"Subject: x\r\n\r\n.dot\r\n"]
    assert sink.jobs()[0].envelope.helo == "me"


def test_lmtp_over_a_unix_socket_also_in_the_place_of_a_dead_one(start, tmp_path):
    yaml = f"listen: [{{unix: {tmp_path}/lmtp, protocol: lmtp}}]\naccept: {{domains: [trap.example]}}"
    start(yaml).stop(signal.SIGKILL)
    assert (tmp_path / "lmtp").exists()
    sink = start(yaml)
    assert sink.lines == [f"sink: lmtp on {tmp_path}/lmtp"]
    with smtplib.LMTP(str(tmp_path / "lmtp")) as client:
        client.sendmail("a@x", ["c@elsewhere.example"], SMALL)  # refused, it could only be returned
    (job,) = sink.jobs()
    assert (job.envelope.protocol, job.envelope.client_ip) == ("lmtp", "")
    other = start(yaml)
    assert other.stop()[0] == 69  # a living one keeps its place


# TLS


def test_its_own_certificate_is_made_once_and_kept_private(start, tmp_path):
    sink = start("listen: [{port: 0}]\nsmtp: {hostname: mx.trap.example}")
    with smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        assert client.starttls(context=ssl._create_unverified_context())[0] == 220
        client.ehlo()
        assert not client.has_extn("starttls")
        client.sendmail("a@x", "b@y", SMALL)
    (job,) = sink.jobs()
    assert job.envelope.tls_version.startswith("TLSv1.")
    files = [tmp_path / "state/tls" / name for name in ("cert.pem", "key.pem")]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    before = [file.read_bytes() for file in files]
    sink.stop()
    files[0].unlink()  # as a crash between the two would leave it
    start().stop()
    both_new = [file.read_bytes() for file in files]
    assert all(a != b for a, b in zip(before, both_new, strict=True))
    again = start(f"listen: [{{port: 0}}]\ntls: {{cert: {files[0]}, key: {files[1]}}}")
    context = ssl.create_default_context(cafile=files[0])
    context.check_hostname = False
    with smtplib.SMTP("127.0.0.1", again.port) as client:
        client.starttls(context=context)
    again.stop()
    assert [file.read_bytes() for file in files] == both_new


def test_what_is_said_in_the_clear_after_starttls_is_ignored(start):
    sink = start()
    with socket.create_connection(("127.0.0.1", sink.port)) as plain:
        assert plain.recv(1000).startswith(b"220")
        plain.sendall(b"STARTTLS\r\nMAIL FROM:<injected@x>\r\nRCPT TO:<b@y>\r\n")
        assert plain.recv(1000).startswith(b"220 2.0.0 Ready")
        context = ssl._create_unverified_context()
        with context.wrap_socket(plain) as secret, secret.makefile("rwb") as file:
            file.write(b"RCPT TO:<b@y>\r\n")
            file.flush()
            assert file.readline().startswith(b"503")


def test_a_failed_handshake_ends_the_session_and_nothing_else(start):
    sink = start()
    with socket.create_connection(("127.0.0.1", sink.port)) as plain:
        plain.recv(1000)
        plain.sendall(b"STARTTLS\r\n")
        assert plain.recv(1000).startswith(b"220")
        plain.sendall(b"this is no handshake\r\n" * 10)
        with contextlib.suppress(ConnectionError):
            while plain.recv(1000):
                pass
    deliver(sink.port)
    assert sink.stop() == (0, "")


def test_tls_can_be_switched_off(start, tmp_path):
    sink = start("listen: [{port: 0}]\ntls: {enabled: false}")
    with smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.ehlo()
        assert not client.has_extn("starttls")
    assert not (tmp_path / "state/tls").exists()


# No room


def _tmpfs(where: Path, options: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs")
    where.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", where], capture_output=True, check=False
    )
    if done.returncode:
        lack(f"no tmpfs can be mounted: {done.stderr.decode()}")


@pytest.mark.parametrize("options", ["size=1m", "size=100m,nr_inodes=30"])
@pytest.mark.parametrize("reserve", ["0", "20%"])
def test_a_full_tmpfs_is_452_until_there_is_room_again(start, tmp_path, options, reserve):
    _tmpfs(tmp_path / "spool", options)
    try:
        sink = start(f"listen: [{{port: 0}}]\nspool: {{reserve: {reserve}}}")
        with smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as client:
            sent = 0
            while True:
                try:
                    client.sendmail("a@x", "b@y", b"x" * 30_000 + b"\r\n")
                except smtplib.SMTPDataError as error:
                    assert error.smtp_code == 452, error
                    break
                sent += 1
            assert 3 < sent < 40
            assert len(sink.jobs()) == sent
            for job in list((tmp_path / "spool/first/new").iterdir())[:10]:
                job.unlink()
            time.sleep(0.11)  # the file system is asked no more often than ten times a second
            client.sendmail("a@x", "b@y", SMALL)
        assert [job.message for job in sink.jobs()][-1] == SMALL + b"\r\n"
        assert sink.stop()[1].count("answered 452") == 1
        assert not list((tmp_path / "spool/tmp").iterdir())
    finally:
        subprocess.run(["umount", "-l", tmp_path / "spool"], check=False)


def test_a_spool_on_a_disk_is_synced(start):
    sink = start("listen: [{port: 0}]\nspool: {fsync: true}")
    deliver(sink.port)
    assert len(sink.jobs()) == 1
    assert sink.stop() == (0, "")


# Privileges


def test_sockets_handed_over_by_systemd(start):
    with socket.create_server(("127.0.0.1", 0)) as handed, socket.create_server(("127.0.0.1", 0)) as named:
        os.set_inheritable(handed.fileno(), True)
        fds = (handed.fileno(), named.fileno())

        def place() -> None:
            first, second = os.dup(fds[0]), os.dup(fds[1])
            os.dup2(first, 3)
            os.dup2(second, 4)

        sink = start(
            "listen: [{port: 1, name: inside, protocol: lmtp}]",
            code=ACTIVATED,
            listeners=2,
            env={"LISTEN_FDS": "2", "LISTEN_FDNAMES": "trap.socket:inside"},
            pass_fds=(3, 4),
            preexec_fn=place,
        )
        ports = [sock.getsockname()[1] for sock in (handed, named)]
        assert sink.lines == [
            f"sink: smtp on 127.0.0.1:{ports[0]}",
            f"sink: lmtp on 127.0.0.1:{ports[1]} (inside)",
        ]
        deliver(ports[0])
        with smtplib.LMTP("127.0.0.1", ports[1]) as client:
            client.sendmail("a@x", "b@y", SMALL)
        assert [job.envelope.listener for job in sink.jobs()] == [f"127.0.0.1:{ports[0]}", "inside"]


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(start, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        sink = start(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert systemd.recv(100) == b"READY=1"
        sink.stop()
        assert systemd.recv(100) == b"STOPPING=1"


@pytest.fixture
def open_base() -> Iterator[Path]:
    """A directory that another user may enter, for tests that need root."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        os.chmod(base, 0o755)
        yield Path(base)


def test_root_is_given_up_once_the_port_is_bound(start, open_base):
    sink = start("listen: [{port: 0}]\nuser: nobody", base=open_base)
    deliver(sink.port)
    status = Path(f"/proc/{sink.process.pid}/status").read_text()
    assert f"Uid:\t{NOBODY.pw_uid}\t{NOBODY.pw_uid}\t{NOBODY.pw_uid}\t{NOBODY.pw_uid}\n" in status
    assert f"Gid:\t{NOBODY.pw_gid}\t{NOBODY.pw_gid}\t{NOBODY.pw_gid}\t{NOBODY.pw_gid}\n" in status
    for made in ("spool", "spool/first/new", "state/maillog/mail.log", "state/tls/key.pem"):
        assert (open_base / made).stat().st_uid == NOBODY.pw_uid
    assert sink.stop() == (0, "")
    again = start("listen: [{port: 0}]\nuser: nobody", base=open_base, code=AS_NOBODY)  # it is nobody already
    deliver(again.port)
    assert len(again.jobs()) == 2


def test_without_root_there_are_things_it_may_not(start, open_base):
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > 25:
        status, errors = start("listen: [{port: 25}]", base=open_base, code=AS_NOBODY).stop()
        assert (status, errors) == (77, "sink: can't listen on 127.0.0.1:25: Permission denied\n")
    status, errors = start("listen: [{port: 0}]\nuser: root", base=open_base, code=AS_NOBODY).stop()
    assert (status, errors) == (77, "sink: user: only root may become root\n")
    status, errors = start(base=open_base, code=AS_NOBODY).stop()
    assert status == 77
    assert "Permission denied" in errors


# No way out


def test_the_sink_has_no_means_to_open_a_connection():
    """Of all modules that it loads from this project, none names a way to speak to a mail server."""
    show = (
        "import sys, trap.sink; print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('trap')))"
    )
    files = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    named = {Path(file).stem for file in files.stdout.split()}
    assert {"sink", "smtp", "session"} <= named
    assert not {"smtpclient", "replay"} & named
    ways_out = {
        "open_connection",
        "create_connection",
        "sock_connect",
        "smtplib",
        "connect_ex",
        "gethostbyname",
    }
    for file in files.stdout.split():
        tree = ast.parse(Path(file).read_text())
        words = {getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(tree)}
        words |= {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert not words & ways_out, file
        if "connect" in words:
            # To UNIX sockets: is the owner of this one alive, and sd_notify.
            assert Path(file).name == "listening.py"
            assert "AF_UNIX" in words


def test_only_replay_uses_the_client():
    importers = {
        file.name
        for folder in ("trap", "stages")
        for file in (REPOSITORY / folder).rglob("*.py")
        if re.search(r"smtpclient import|import smtpclient|trap\.smtpclient\b(?!`)", file.read_text())
    }
    assert importers == {"replay.py"}
