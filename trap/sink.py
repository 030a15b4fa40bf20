"""The sink: takes mail in over SMTP and LMTP and puts it into the first queue.

It answers 250 after the message has a name in the queue, never before. It looks nothing up, parses
no MIME, and opens no connection: there is no way out of it, so it can't relay.

Signals: SIGTERM and SIGINT stop it gracefully: no new connections, idle clients hear 421, messages
on their way in get a few seconds. Exit codes: 0 stopped, 67 no such user, 69 address not to be had,
73 spool or certificate can't be made, 77 not permitted, 78 bad configuration.
"""

import asyncio
import functools
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from contextlib import ExitStack, closing

import uvloop

from trap.config import Config, Listener
from trap.intake import Intake
from trap.listening import BACKLOG, StartError, become, find_user, notify, open_sockets, provide
from trap.queue import Spool
from trap.smtp import Door, Wire
from trap.tls import server_context

GRACE = 5.0
"""Seconds that messages on their way in are given at a stop."""

Listening = list[tuple[socket.socket, Listener]]


def run(config: Config) -> int:
    """Run until a signal comes.

    Returns:
        The exit code.
    """
    logging.basicConfig(level=logging.WARNING, format="sink: %(message)s")
    with ExitStack() as stack:
        try:
            sockets, tls, intake = _start(config, stack)
        except StartError as error:
            print(f"sink: {error}", file=sys.stderr, flush=True)
            return error.code
        uvloop.run(_serve(sockets, tls, intake))
    return os.EX_OK


def _start(config: Config, stack: ExitStack) -> tuple[Listening, ssl.SSLContext | None, Intake]:
    """Everything that needs root, then no more root, then the rest; `stack` will close it."""
    user = find_user(config.user)
    owner = (user.pw_uid, user.pw_gid) if user else None
    sockets = open_sockets(config.listen, user)
    for sock, _ in sockets:
        stack.enter_context(sock)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    doing = "prepare its directories"
    try:
        if user:
            provide([config.paths.spool, config.paths.state, config.paths.maillog], user)
        doing = "use its certificate"
        tls = server_context(config, owner)
        if user:
            become(user)
        doing = "open the spool"
        spool = stack.enter_context(closing(Spool.open(config)))
        return sockets, tls, stack.enter_context(closing(Intake(config, spool)))
    except OSError as error:
        code = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_CANTCREAT
        raise StartError(f"can't {doing}: {error}", code) from None
    except ValueError as error:
        raise StartError(str(error), os.EX_CONFIG) from None


async def _serve(sockets: Listening, tls: ssl.SSLContext | None, intake: Intake) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    doors, servers = [], []
    for sock, listener in sockets:
        door = Door(intake, listener.label, listener.protocol == "lmtp", tls)
        make = functools.partial(Wire, door, loop)
        create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
        servers.append(await create(make, sock=sock, backlog=BACKLOG))  # else it sets its own, 100
        doors.append(door)
        where = listener.unix or f"{listener.host}:{listener.port}"
        named = f" ({listener.name})" if listener.name else ""
        print(f"sink: {listener.protocol} on {where}{named}", flush=True)
    notify("READY=1")
    gc.freeze()  # what lives as long as the process need not be looked at again
    await stop.wait()
    notify("STOPPING=1")
    for server in servers:
        server.close()
    await _say_goodbye(doors)


async def _say_goodbye(doors: list[Door]) -> None:
    """Let every client finish its message, but not for ever."""
    loop = asyncio.get_running_loop()
    for door in doors:
        for wire in tuple(door.wires):
            wire.stop()
    end = loop.time() + GRACE
    while any(door.wires for door in doors) and loop.time() < end:  # noqa: ASYNC110 - seldom, and bounded
        await asyncio.sleep(0.02)
    for door in doors:
        for wire in tuple(door.wires):
            wire.abort()
