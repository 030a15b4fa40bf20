"""External programs: argument lists, never a shell; one deadline for all they do; nothing of them stays.

    >>> import asyncio
    >>> asyncio.run(run(["/usr/bin/tr", "a-z", "A-Z"], b"spam", timeout=10))
    Done(code=0, out=b'SPAM', err=b'')

A program gets its input as a file without a name (memfd), so it may read all, some or none of it, or
open it again as /dev/stdin: nobody waits for anybody to read. It has a session and process group of its
own, which is killed whole when the program ends, when its time is up and when nobody waits for it any
more. What leaves the group on purpose (setsid, as daemons do) loses its output and has a limit on its
processor time, no more. The same holds for a program whose caller was killed.
"""

import asyncio
import errno
import math
import os
import pwd
import resource
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, NamedTuple, TypeAlias

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_WASTE = 64 << 20
"""Bytes of output that are read, whether kept or not, before the program is killed as one without end."""
LAST = 1.0
"""Seconds within which a killed program must be gone; else the kernel has it, and it is reaped later."""
_CHUNK = 1 << 16
Process: TypeAlias = "subprocess.Popen[bytes]"


class Done(NamedTuple):
    """How a program ended."""

    code: int
    """Its exit code; -N when signal N ended it."""
    out: bytes
    err: bytes


def environment() -> dict[str, str]:
    """All that a program gets: where programs are, plain messages, its user's home."""
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # a user without a name, as containers have them
        home = "/"
    return {"PATH": PATH, "LANG": "C", "HOME": home}


async def run(
    argv: Sequence[str],
    stdin: bytes,
    *,
    timeout: float,  # noqa: ASYNC109 - the kill belongs to it, so it can't be the caller's
    limit: int = 64 << 10,
    env: Mapping[str, str] | None = None,
    memory: int = 0,
) -> Done:
    """Run a program and wait for its end.

    Args:
        argv: the program, as a path or looked for in the environment's PATH, and its arguments.
        stdin: its whole input.
        timeout: seconds until it is killed.
        limit: bytes kept of its standard output, and of its standard error; the rest is thrown away.
        env: its environment; environment() when not given.
        memory: bytes of address space that each of its processes may have; 0 is no limit.

    Raises:
        TimeoutError: it took longer, and is gone.
        OSError: it can't be started, or its output had no end.
        ValueError: an argument that no program can get: one with a NUL.
    """
    if isinstance(argv, str) or not argv:
        raise ValueError(f"a program and its arguments are a list, not {argv!r}")
    env = environment() if env is None else env
    child = _Child(*_start(argv, stdin, env), limit)
    try:
        _confine(child.process.pid, timeout, memory)
        async with asyncio.timeout(timeout):
            await child.ended.wait()
    except TimeoutError:
        raise TimeoutError(f"{argv[0]} took longer than {timeout:g} s") from None
    finally:
        await child.end()
    if child.room < 0:
        raise OSError(f"{argv[0]}: its output has no end: over {MAX_WASTE} bytes")
    return Done(child.process.returncode, bytes(child.out), bytes(child.err))


def find(program: str, env: Mapping[str, str] | None = None) -> str:
    """Where a program is, as a path.

    Args:
        program: a path, or a name that is looked for in PATH.
        env: the environment whose PATH counts; environment() when not given.

    Raises:
        FileNotFoundError: there is none that we may execute.
    """
    path = (environment() if env is None else env).get("PATH", PATH)
    if found := shutil.which(program, path=path):
        return found
    raise FileNotFoundError(errno.ENOENT, "no program that may be executed", program)


def _start(argv: Sequence[str], stdin: bytes, env: Mapping[str, str]) -> tuple[Process, int]:
    """Returns the process and a descriptor that tells of its end."""
    source = os.memfd_create("stdin", os.MFD_CLOEXEC)
    try:
        rest = memoryview(stdin)
        while rest:
            rest = rest[os.write(source, rest) :]
        os.lseek(source, 0, os.SEEK_SET)
        process = subprocess.Popen(
            list(argv),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=dict(env),
            start_new_session=True,
        )
    finally:
        os.close(source)
    try:
        return process, os.pidfd_open(process.pid)
    except OSError:  # we may open no more files
        with process:
            process.kill()
        raise


def _confine(pid: int, timeout: float, memory: int) -> None:
    """Limits for what escapes our signals. A process that ended, or that is another user's now, has none."""
    seconds = math.ceil(timeout * (os.cpu_count() or 1)) + 1
    limits = [(resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)]
    for what, most in [*limits, (resource.RLIMIT_AS, memory)] if memory else limits:
        with suppress(ProcessLookupError, PermissionError, ValueError):
            resource.prlimit(pid, what, (most, most))


class _Child:
    """A program that runs, and what it has said so far.

    The kernel tells of its end by a descriptor (pidfd), while it is still a zombie: until we reap it, its
    number, which is its group's too, can't be given to anybody else, so the signal reaches nobody else.
    """

    def __init__(self, process: Process, pidfd: int, limit: int) -> None:
        self.process = process
        self.out, self.err = bytearray(), bytearray()
        self.room = MAX_WASTE
        self.ended = asyncio.Event()
        """It has ended, or should."""
        self._gone = asyncio.Event()
        self._pidfd = pidfd
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        assert process.stdout and process.stderr
        self._pipes = {process.stdout: self.out, process.stderr: self.err}
        self._loop.add_reader(self._pidfd, self._over)
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
            self._loop.add_reader(pipe.fileno(), self._hear, pipe)

    def _hear(self, pipe: IO[bytes]) -> bool:
        """Take what lies in a pipe; whether there may be more."""
        try:
            data = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(pipe.fileno())
            return False
        kept = self._pipes[pipe]
        kept += data[: self._limit - len(kept)]
        self.room -= len(data)
        if self.room < 0:
            self.ended.set()
        return self.room >= 0

    def _over(self) -> None:
        """The program ended: end what it left behind in its group, then let it go."""
        self._kill()
        self.process.wait()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._gone.set()
        self.ended.set()

    def _kill(self) -> None:
        with suppress(PermissionError):  # all that is left of it became another user
            os.killpg(self.process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill it unless it is gone; take what it said last; close everything."""
        try:
            if not self._gone.is_set():
                self._kill()
                with suppress(TimeoutError):  # the event loop reaps it whenever the kernel lets go of it
                    async with asyncio.timeout(LAST):
                        await self._gone.wait()
        finally:
            for pipe in self._pipes:
                while self._hear(pipe):
                    pass
                self._loop.remove_reader(pipe.fileno())
                pipe.close()
