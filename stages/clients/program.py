"""A program that stands for a server: trap.backend asks it as if it were one.

Each question runs it anew, by trap.command; nothing here has a time limit of its own but that.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from trap.address import Address
from trap.backend import Backends, Broken, Dialect
from trap.command import Done, find, run
from trap.envelope import printable

MAX_OUTPUT = 64 << 10
"""Bytes of a program's output that are looked at."""
MAX_WORDS = 200
"""Characters of its words that are kept."""
MEMORY = 1 << 30
"""Bytes of address space that it may have."""
GOOD_FOR, BAD_FOR = 10.0, 30.0
"""Seconds for which it is believed that a program can do its work, or can't."""


Ready = Callable[["Program"], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is there.

    Attributes:
        path: where.
        timeout: seconds until it is killed.
    """

    path: str
    timeout: float
    reusable = False

    async def run(self, arguments: Sequence[str], stdin: bytes) -> Done:
        """Run it.

        Raises:
            OSError: it can't be started, took too long, or its output has no end.
        """
        argv = [self.path, *arguments]
        return await run(argv, stdin, timeout=self.timeout, limit=MAX_OUTPUT, memory=MEMORY)

    def close(self) -> None:
        """There is nothing to close."""


class _Readiness:
    """Whether a program can do its work, as it was found out last.

    What it asks for that are servers of other people, who are not to be asked with every report, and not
    every second while they are away.
    """

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._until = 0.0
        self._found: str | OSError | Broken = ""

    async def ask(self, program: Program) -> str:
        """What the program calls itself; raises OSError or Broken where it can't."""
        if time.monotonic() >= self._until:
            try:
                self._found = await self._ready(program)
                self._until = time.monotonic() + GOOD_FOR
            except (OSError, Broken) as error:
                self._found = error
                self._until = time.monotonic() + BAD_FOR
        if isinstance(self._found, str):
            return self._found
        raise self._found.with_traceback(None)  # it is raised again and again


def backends(program: str, ready: Ready, hint: str, timeout: float) -> Backends[Program]:
    """What a stage asks that leans on a program.

    Args:
        program: its path, or its name.
        ready: finds out whether it can do its work; returns what it calls itself, raises OSError or Broken.
        hint: what a person does when it can't.
        timeout: seconds for one question, that included.

    Raises:
        ValueError: that is no program's name.
    """
    if not program or ("/" in program and not program.startswith("/")):
        raise ValueError(f"{program!r} should be the path of a program, or its name")
    readiness = _Readiness(ready)

    async def open_(address: Address) -> Program:
        made = Program(find(address.path), timeout)
        await readiness.ask(made)
        return made

    return Backends(
        Dialect(program.rpartition("/")[2], open_, readiness.ask, hint), located(program), timeout
    )


def located(program: str) -> str:
    """Where a program is, or where it will be once it is installed."""
    try:
        return find(program)
    except FileNotFoundError:
        return program if program.startswith("/") else f"/usr/bin/{program}"


def words(done: Done) -> str:
    """What a program complains of: its last line on standard error, or its exit code."""
    lines = [line for line in done.err.decode("utf-8", "replace").splitlines() if line.strip()]
    code = f"killed by signal {-done.code}" if done.code < 0 else f"exit code {done.code}"
    return printable(lines[-1].strip())[:MAX_WORDS] if lines else code
