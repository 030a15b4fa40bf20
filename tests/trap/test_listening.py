"""listening: becoming another user, the directories that user needs, and who may connect to a UNIX socket."""

import grp
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from trap.config import Listener
from trap.listening import StartError, open_sockets, provide

NOBODY = pwd.getpwnam("nobody")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.fixture
def open_base() -> Iterator[Path]:
    """A directory that another user may enter."""
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        yield Path(base)


def test_directories_are_made_so_that_the_user_can_reach_them(open_base: Path) -> None:
    above = os.stat(open_base)
    provide([open_base / "lib" / "state", open_base / "lib" / "state" / "maillog"], NOBODY)
    for made in ("lib", "lib/state", "lib/state/maillog"):
        assert (open_base / made).stat().st_uid == NOBODY.pw_uid, made
    assert os.stat(open_base).st_uid == above.st_uid, "what was there is left as it was"


def test_who_became_another_user_still_ends_with_its_parent() -> None:
    script = (
        "import ctypes, pwd; from trap.listening import become; prctl = ctypes.CDLL(None).prctl\n"
        "prctl(1, 15); become(pwd.getpwnam('nobody'))\n"
        "told = ctypes.c_int(); prctl(2, ctypes.byref(told)); print(told.value)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "15\n"


@pytest.mark.parametrize(
    ("listener", "mode", "group"),
    [
        (Listener(), 0o660, NOBODY.pw_gid),
        (Listener(mode="0666"), 0o666, NOBODY.pw_gid),
        (Listener(mode="620", group="tty"), 0o620, grp.getgrnam("tty").gr_gid),
    ],
)
def test_a_unix_socket_has_mode_and_group_as_configured(
    open_base: Path, listener: Listener, mode: int, group: int
) -> None:
    path = str(open_base / "lmtp")
    ((sock, _),) = open_sockets([msgspec.structs.replace(listener, unix=path)], NOBODY)
    with sock:
        found = os.stat(path)
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (mode, NOBODY.pw_uid, group)


def test_a_group_that_is_not_there_is_told(open_base: Path) -> None:
    with pytest.raises(StartError, match="listen: there is no group 'nobodys'"):
        open_sockets([Listener(unix=str(open_base / "lmtp"), group="nobodys")])
    assert list(open_base.iterdir()) == []
