"""The queues that bench/queues.py compares: ours, the bare system calls, and those of others.

Each is a `Subject` with four deeds: put a job of some size; drop: claim, read and remove one; move:
claim and read one and put it into a second queue, changed; clear: remove one that was moved.
"""

import mailbox
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from kit import OURS, PEERS, Missing, compiled, program

from trap import fsio
from trap.claim import Claim, Consumer
from trap.config import Config, paths_below
from trap.envelope import Envelope, Rcpt
from trap.job import encode
from trap.maillog import MailLog
from trap.queue import Spool

RAW, RAW_C = "raw from Python", "raw from C"
BARE, DIRQ, DIRQUEUE = "spamtrap, no log", "dirq QueueSimple", "IPC::DirQueue"
ENVELOPE = Envelope(
    listener="mx",
    client_ip="192.0.2.1",
    client_port=40000,
    server_ip="192.0.2.2",
    server_port=25,
    helo="mx.spam.example",
    helo_verb="EHLO",
    mail_from="a@spam.example",
    mail_params=["SIZE=10240"],
    rcpts=[Rcpt(address="b@trap.example", tag="typo")],
    connected_at=1_700_000_000.123456,
    first_command_at=1_700_000_000.234567,
    received_at=1_700_000_000.345678,
    commands=4,
)
NOTES = {"first": {"count": 1, "campaign": "abcdef0123456789"}}


Deed = Callable[[], object]
Pair = tuple[Callable[[bytes], object], Callable[[], bytes]]
"""A queue's put, and its claim, read and remove."""


class Subject:
    """One queue.

    Args:
        deeds: by name. Where the first claim lists the queue for all, "list" is that listing alone.
        close: what ends it.
    """

    def __init__(self, deeds: dict[str, Deed], close: Deed = lambda: None) -> None:
        self.deeds = deeds
        self.close = close

    def do(self, deed: str, count: int) -> float:
        """Do it so many times; the seconds it took."""
        act = self.deeds[deed]
        start = time.perf_counter()
        for _ in range(count):
            act()
        return time.perf_counter() - start


class Remote(Subject):
    """A queue in a process of its own, which is told a deed and a number in a line, and times itself."""

    def __init__(self, command: list[str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        super().__init__({}, self._end)

    def do(self, deed: str, count: int) -> float:
        """Tell it, and hear the seconds it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{deed} {count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def _end(self) -> None:
        self._process.communicate()


def ours(base: Path, size: int) -> Subject:
    """The trap's: with envelope, notes, and a line of the mail log for each deed."""
    spool = Spool.open(Config(pipeline=["first", "second"], paths=paths_below(base)))
    return _trap(spool, ENVELOPE, NOTES, size, Claim.job)


class Silent(MailLog):
    """A log that keeps nothing."""

    def _write(self, line: object, reason: str = "") -> None:
        pass


def ours_bare(base: Path, size: int) -> Subject:
    """The trap's queue in dirq's own task: bytes, without envelope, notes and log."""
    spool = Spool(base / "spool", Silent(base / "log"), ["first", "second"])
    return _trap(spool, Envelope(), None, size, lambda claim: fsio.read(claim.path))


def _trap(
    spool: Spool, envelope: Envelope, notes: dict[str, Any] | None, size: int, read: Callable[[Claim], object]
) -> Subject:
    worker, last, message = spool["first"].consumer(), spool["second"].consumer(), b"x" * size

    def claimed(consumer: Consumer) -> Claim:
        claim = consumer.claim()
        assert claim
        read(claim)
        return claim

    def close() -> None:
        worker.close()
        last.close()
        spool.close()
        spool.log.close()

    return Subject(
        {
            "put": lambda: spool.put("first", envelope, message),
            "drop": lambda: claimed(worker).drop("duplicate", 0.001),
            "move": lambda: claimed(worker).forward(["second"], notes, 0.001),
            "clear": lambda: claimed(last).drop("seen"),
            "list": spool["first"].waiting,
        },
        close,
    )


def raw_from_python(base: Path, size: int) -> Subject:
    """The bare system calls, made from Python: what a directory queue must at least do."""
    tmp, new, work, following = (f"{base}/{name}" for name in ("tmp", "new", "work", "next"))
    for directory in (tmp, new, work, following):
        os.makedirs(directory)
    plain, noted = (encode(ENVELOPE, notes, b"x" * size) for notes in ({}, NOTES))
    puts, claims, moves, ends = count(), count(), count(), count()

    def write(path: str, pieces: list[bytes]) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.writev(fd, pieces)
        os.close(fd)

    def put() -> None:
        name = f"{next(puts):024d}.0"
        write(f"{tmp}/{name}", plain)
        os.rename(f"{tmp}/{name}", f"{new}/{name}")

    def claim() -> str:
        name = f"{next(claims):024d}.0"
        os.rename(f"{new}/{name}", f"{work}/{name}")
        fd = os.open(f"{work}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        os.read(fd, os.fstat(fd).st_size)
        os.close(fd)
        return name

    def move() -> None:
        name = claim()
        write(f"{tmp}/{name}", noted)
        os.rename(f"{tmp}/{name}", f"{work}/{name}")
        os.rename(f"{work}/{name}", f"{following}/{next(moves):024d}.0")

    return Subject(
        {
            "put": put,
            "drop": lambda: os.unlink(f"{work}/{claim()}"),
            "move": move,
            "clear": lambda: os.unlink(f"{following}/{next(ends):024d}.0"),
        }
    )


def raw_from_c(base: Path, size: int) -> Subject:
    for name in ("tmp", "new", "work", "next"):
        os.makedirs(f"{base}/{name}")
    return Remote([compiled(PEERS / "rawqueue.c"), str(base), str(size)])


def ipc_dirqueue(base: Path, size: int) -> Subject:
    """Perl's IPC::DirQueue, unordered, which is its fast way."""
    perl = program("perl", "perl")
    if subprocess.run([perl, "-MIPC::DirQueue", "-e1"], capture_output=True, check=False).returncode:
        raise Missing("IPC::DirQueue (CPAN; Debian has no package of it)")
    return Remote([perl, str(PEERS / "dirqueue.pl"), str(base), str(size)])


def pair(first: Pair, second: Pair, size: int, close: Deed = lambda: None) -> Subject:
    """Two queues of a kind."""
    (put, take), (put_next, take_next), message = first, second, b"x" * size
    deeds: dict[str, Deed] = {
        "put": lambda: put(message),
        "drop": take,
        "move": lambda: put_next(take()),
        "clear": take_next,
    }
    return Subject(deeds, close)


def endless(names: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Names from one listing after the other: a listing for as many claims as there were names."""
    while True:
        yield from names()


def dirq_simple(base: Path, size: int) -> Subject:
    """Python's dirq, QueueSimple: bare bytes."""
    module = imported("dirq.QueueSimple", "dirq")

    def queue(path: str) -> Pair:
        queue = module.QueueSimple(path)
        names = endless(lambda: queue)

        def take() -> bytes:
            name = next(names)
            assert queue.lock(name)
            data: bytes = queue.get(name)
            queue.remove(name)
            return data

        return queue.add, take

    return pair(queue(f"{base}/first"), queue(f"{base}/second"), size)


def dirq_schema(base: Path, size: int) -> Subject:
    """Python's dirq, Queue: a directory a job, a file a field."""
    module = imported("dirq.queue", "dirq")

    def queue(path: str) -> Pair:
        queue = module.Queue(path, schema={"body": "binary"})
        names = endless(lambda: queue)

        def take() -> bytes:
            name = next(names)
            assert queue.lock(name)
            data: bytes = queue.get(name)["body"]
            queue.remove(name)
            return data

        return lambda data: queue.add({"body": data}), take

    return pair(queue(f"{base}/first"), queue(f"{base}/second"), size)


def persist_file(base: Path, size: int) -> Subject:
    """persist-queue with files: no claim, and a crash returns more than one job."""
    module = imported("persistqueue", "persist-queue")

    def queue(path: Path) -> Pair:
        path.mkdir()
        queue = module.Queue(str(path), tempdir=str(path))

        def take() -> bytes:
            data: bytes = queue.get(block=False)
            queue.task_done()
            return data

        return queue.put, take

    return pair(queue(base / "first"), queue(base / "second"), size)


def persist_sqlite(base: Path, size: int) -> Subject:
    """persist-queue in SQLite, with acknowledgement; what is acknowledged is thrown away now and then."""
    module = imported("persistqueue", "persist-queue")

    def queue(path: str) -> Pair:
        queue, done = module.SQLiteAckQueue(path), count(1)

        def take() -> bytes:
            got = queue.get(block=False, raw=True)
            queue.ack(id=got["pqid"])
            if next(done) % 100 == 0:  # else it is slower and slower
                queue.clear_acked_data(keep_latest=0)
            data: bytes = got["data"]
            return data

        return queue.put, take

    return pair(queue(f"{base}/first"), queue(f"{base}/second"), size)


def maildir(base: Path, size: int) -> Subject:
    """The standard library's mailbox.Maildir: no claim."""

    def queue(path: str) -> Pair:
        box = mailbox.Maildir(path)
        keys = endless(lambda: list(box.iterkeys()))

        def take() -> bytes:
            key = next(keys)
            data = box.get_bytes(key)
            box.discard(key)
            return data

        return box.add, take

    return pair(queue(f"{base}/first"), queue(f"{base}/second"), size)


def redis_list(base: Path, size: int) -> Subject:
    """A list in Redis, by a UNIX socket: no claim, and nothing survives its process."""
    module, socket = imported("redis", "redis"), base / "socket"
    words = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([program("redis-server", "redis-server"), *words], stdout=subprocess.DEVNULL)
    while not socket.exists():
        if server.poll() is not None:
            raise Missing("redis-server, which does not start")
        time.sleep(0.01)
    client = module.Redis(unix_socket_path=str(socket))

    def queue(name: str) -> Pair:
        return lambda data: client.lpush(name, data), lambda: client.brpop(name)[1]

    def close() -> None:
        client.close()
        server.terminate()
        server.wait(30)

    return pair(queue("first"), queue("second"), size, close)


def imported(module: str, package: str) -> Any:
    """A module of a peer's.

    Raises:
        Missing: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise Missing(f"{package} (PyPI: pip install -e .[bench])") from None


SUBJECTS: dict[str, Callable[[Path, int], Subject]] = {
    RAW_C: raw_from_c,
    RAW: raw_from_python,
    OURS: ours,
    BARE: ours_bare,
    DIRQ: dirq_simple,
    "dirq Queue": dirq_schema,
    "persist-queue file": persist_file,
    "persist-queue SQLite": persist_sqlite,
    "mailbox.Maildir": maildir,
    "Redis list": redis_list,
    DIRQUEUE: ipc_dirqueue,
}
