"""Keeps child processes running: `spamtrap up`, and `work` with more than one worker.

A child that dies is started again, later and later if it keeps dying. One that gives up at its
start because of a mistake only a person can mend (sysexits: usage, configuration, permission)
ends everything, with its exit code, if it is vital. When the supervisor itself is killed, the kernel
tells the children to stop.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from trap import spawn

log = logging.getLogger("spamtrap.up")

PARENT = "SPAMTRAP_PARENT"
"""Environment variable with the process id of the supervisor."""
GRACE = 75.0
"""Seconds children have to stop by themselves; longer than a stage's usual deadline."""
PATIENCE = 6
"""Starts in a row after which an address that is in use stays so."""
LOOK = 0.1
"""Seconds between two looks at the children."""
STEADY = 5.0
"""A child that lived this many seconds counts as well again."""
_PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_KILLED_PAUSE = 1.0
"""Longest pause before a child that was killed by a signal is started again: it is hardly its own fault."""
_LATER = 60.0
"""Seconds until a child that is not vital, and gave up, is started again."""
_FOR_PEOPLE = frozenset({os.EX_USAGE, os.EX_NOUSER, os.EX_NOPERM, os.EX_CONFIG})
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """In a child: ask the kernel for SIGTERM when the supervisor is gone (prctl(2))."""
    parent = os.environ.pop(PARENT, None)
    if parent is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it was gone before we asked
        sys.exit(0)


class Child:
    """One process that should be running.

    Args:
        name: how it is called in messages.
        arguments: arguments to the `spamtrap` command.
        vital: its mistakes end everything; without, it is only left alone for longer.
    """

    def __init__(self, name: str, arguments: list[str], *, vital: bool = True) -> None:
        self.name = name
        self.arguments = arguments
        self.vital = vital
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.due = 0.0
        self.failures = 0

    def start(self) -> None:
        """Start it."""
        self.started = time.monotonic()
        self.process = subprocess.Popen(  # our own interpreter and arguments, no shell
            spawn.command("trap", *self.arguments),
            env={**spawn.environment(), PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
        )

    def poll(self) -> int | None:
        """Its exit code when it has ended just now; minus the signal when one ended it."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        lived = time.monotonic() - self.started
        self.failures = 0 if lived > STEADY else self.failures + 1
        pause = _PAUSES[min(self.failures, len(_PAUSES) - 1)]
        self.due = time.monotonic() + (min(pause, _KILLED_PAUSE) if code < 0 else pause)
        return code


class Supervisor:
    """Starts children and keeps them running until told to stop.

    Args:
        children: what to run.
    """

    def __init__(self, children: list[Child]) -> None:
        self.children = children
        self.stopping = False
        self.code = 0

    def run(self) -> int:
        """Run until SIGTERM, SIGINT, or a child's mistake.

        Returns:
            The exit code.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        for child in self.children:
            child.start()
            if child.process:
                log.info("%-12s started, pid %d", child.name, child.process.pid)
        while not self.stopping:
            time.sleep(LOOK)
            for child in self.children:
                if not self.stopping:  # else it ended because it was told to, by the same Ctrl-C
                    self._look_after(child)
        return self._end()

    def stop(self, *_: object) -> None:
        """Stop all children and return from `run`; may be called from a signal handler."""
        self.stopping = True

    def _look_after(self, child: Child) -> None:
        code = child.poll()
        if code is not None:
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            # An address may be in use because our predecessor is still stopping: not for long.
            taken = code == os.EX_UNAVAILABLE and child.failures >= PATIENCE
            if (code in _FOR_PEOPLE or taken) and not child.vital:
                log.warning("%-12s %s; the next try is in %g s", child.name, how, _LATER)
                child.due = time.monotonic() + _LATER
                return
            if code in _FOR_PEOPLE or taken:
                log.error("%-12s gave up (%s)", child.name, how)
                self.code, self.stopping = code, True
                return
            log.warning("%-12s died (%s), starting it again", child.name, how)
        if child.process is None and time.monotonic() >= child.due and not self.stopping:
            child.start()

    def _end(self) -> int:
        running = [child for child in self.children if child.process]
        for child in running:
            if child.process:
                child.process.terminate()
        end = time.monotonic() + GRACE
        for child in running:
            if child.process:
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0.1, end - time.monotonic()))
                if child.process.poll() is None:
                    log.warning("%-12s did not stop in %g s, killed", child.name, GRACE)
                    child.process.kill()
                    child.process.wait()
        log.info("stopped")
        return self.code
