"""Sockets to listen on, privileges to get rid of, and what systemd hands over and wants to hear."""

import ctypes
import errno
import grp
import os
import pwd
import socket
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from trap import fsio
from trap.config import Listener

BACKLOG = 4096
_FIRST_FD = 3
_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2


class StartError(Exception):
    """Why the sink can't start, in one line, and the exit code that says it (sysexits.h)."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def open_sockets(
    listeners: Iterable[Listener],
    user: pwd.struct_passwd | None = None,
    *,
    shared: bool = False,
    number: int = 1,
) -> list[tuple[socket.socket, Listener]]:
    """The listening sockets: those that systemd handed over, or else those of the configuration.

    A socket handed over takes name and protocol of the listener with its name or its address.

    Args:
        listeners: of the configuration.
        user: whom UNIX sockets shall belong to.
        shared: several processes listen on the same ports (SO_REUSEPORT, socket(7)).
        number: of this process; only the first has the UNIX sockets, which can't be shared so.

    Raises:
        StartError: one can't be had.
    """
    listeners = list(listeners)
    if handed := _handed_over():
        return [(sock, _described(sock, name, listeners)) for sock, name in handed]
    mine = [listener for listener in listeners if number == 1 or not listener.unix]
    return [_bound(listener, user, shared) for listener in mine]


def address(listener: Listener) -> str:
    """Where who is on this machine reaches it: HOST:PORT, or the path of a UNIX socket."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - read, not bound
    host = everywhere.get(listener.host, listener.host)
    return listener.unix or (f"[{host}]:{listener.port}" if ":" in host else f"{host}:{listener.port}")


def find_user(name: str) -> pwd.struct_passwd | None:
    """The user to become; None when we are to stay, or already are, who we are.

    Raises:
        StartError: there is no such user, or we have not the right to become it.
    """
    if not name:
        return None
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise StartError(f"user: there is no user {name!r}", os.EX_NOUSER) from None
    if user.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise StartError(f"user: only root may become {name}", os.EX_NOPERM)
    return user


def become(user: pwd.struct_passwd) -> None:
    """Give root up, for good."""
    # The kernel forgets what it was to send when the parent dies (prctl(2)): say it again.
    prctl, parent, wanted = ctypes.CDLL(None).prctl, os.getppid(), ctypes.c_int()
    prctl(_PR_GET_PDEATHSIG, ctypes.byref(wanted))
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    if wanted.value:
        prctl(_PR_SET_PDEATHSIG, wanted.value)
        if os.getppid() != parent:  # it died meanwhile
            os.kill(os.getpid(), wanted.value)


def provide(directories: Iterable[Path], user: pwd.struct_passwd) -> None:
    """Make the directories that are not there, those above them too, for the user who will need them."""
    for directory in directories:
        for place in reversed([directory, *directory.parents]):
            if not place.exists():
                fsio.make_directory(place)
                os.chown(place, user.pw_uid, user.pw_gid)


def notify(state: str) -> None:
    """Tell systemd, if it wants to hear it (sd_notify(3))."""
    if path := os.environ.get("NOTIFY_SOCKET"):
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock, suppress(OSError):
            sock.connect("\0" + path[1:] if path.startswith("@") else path)
            sock.send(state.encode())


def _handed_over() -> list[tuple[socket.socket, str]]:
    """Sockets from systemd, with their names (sd_listen_fds(3))."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "0")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    sockets = [socket.socket(fileno=_FIRST_FD + at) for at in range(int(count))]
    for sock in sockets:
        sock.set_inheritable(False)
    return list(zip(sockets, names + [""] * len(sockets), strict=False))


def _described(sock: socket.socket, name: str, listeners: list[Listener]) -> Listener:
    at = sock.getsockname()
    for listener in listeners:
        by_name = bool(listener.name) and listener.name == name
        if by_name or at == listener.unix or at[:2] == (listener.host, listener.port):
            return _located(listener, sock)
    return _located(Listener(name="" if name.endswith(".socket") else name), sock)


def _located(listener: Listener, sock: socket.socket) -> Listener:
    """The listener with the address that its socket really has."""
    at = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return msgspec.structs.replace(listener, unix=at)
    return msgspec.structs.replace(listener, host=at[0], port=at[1], unix="")


def _bound(
    listener: Listener, user: pwd.struct_passwd | None, shared: bool
) -> tuple[socket.socket, Listener]:
    try:
        sock = _unix(listener, user) if listener.unix else _tcp(listener.host, listener.port, shared)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that can't be one
        number = getattr(error, "errno", None) or 0
        code = os.EX_NOPERM if number in {errno.EACCES, errno.EPERM} else os.EX_UNAVAILABLE
        why = os.strerror(number) if number > 0 else str(error)  # the resolver's are below 0
        raise StartError(f"can't listen on {listener.unix or listener.label}: {why}", code) from None
    return sock, _located(listener, sock)


def _tcp(host: str, port: int, shared: bool) -> socket.socket:
    family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(
        (host, port), family=family, backlog=BACKLOG, reuse_port=shared, dualstack_ipv6=both
    )


def _group(name: str) -> int:
    """The id of a group; -1 when none is named."""
    try:
        return grp.getgrnam(name).gr_gid if name else -1
    except KeyError:
        raise StartError(f"listen: there is no group {name!r}", os.EX_NOUSER) from None


def _unix(listener: Listener, user: pwd.struct_passwd | None) -> socket.socket:
    """Listen on a UNIX socket, in the place of one whose owner is gone."""
    path, group = listener.unix, _group(listener.group)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe, suppress(FileNotFoundError):
            try:
                probe.connect(path)
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            except ConnectionRefusedError:
                fsio.unlink(path)
        sock.bind(path)
        if user:
            os.chown(path, user.pw_uid, user.pw_gid)
        if group >= 0:
            os.chown(path, -1, group)
        os.chmod(path, int(listener.mode, 8))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
