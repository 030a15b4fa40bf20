"""Takes from a program of ours what it does not need before it reads what is hostile."""

import ctypes
import resource
import time
from contextlib import suppress

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_SPARE_CPU = 2
"""Seconds of CPU time beyond the deadline, after which the kernel ends it should its parent not."""


def confine(memory: int, files: int) -> None:
    """No more memory than this, nothing opened or written, no processes, no core, no more privileges.

    Args:
        memory: bytes of address space.
        files: descriptors that may be open; those that are open now stay.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        with suppress(ValueError):  # it is less already
            resource.setrlimit(what, (most, most))


def limit_cpu(seconds: float) -> None:
    """Have the kernel end this process should it use that many more seconds of a processor, and some."""
    used = time.process_time()
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + _SPARE_CPU, hard))
