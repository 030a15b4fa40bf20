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
from dataclasses import replace
from typing import NamedTuple

import uvloop

from trap import keys
from trap.config import Config
from trap.door import Door
from trap.face import Face
from trap.intake import Intake
from trap.limits import Gate
from trap.listening import BACKLOG, StartError, address, become, find_user, notify, open_sockets, provide
from trap.live import Board
from trap.networks import Delay, Networks
from trap.patrol import Patrol
from trap.queue import Spool
from trap.sessionlog import SessionLog
from trap.smtp import Wire
from trap.stress import Stress
from trap.tls import server_context

GRACE = 5.0
"""Seconds that messages on their way in are given at a stop."""

GARBAGE = (10_000, 50, 1_000_000)
"""gc thresholds: sessions leave nothing that counting references does not find, so it may look seldom."""


class Sink(NamedTuple):
    """All that was made ready before the loop runs."""

    sockets: list[socket.socket]
    doors: list[Door]
    board: Board
    addresses: list[str]


def run(config: Config, number: int = 1) -> int:
    """Run until a signal comes.

    Args:
        config: the configuration.
        number: of this process, when several share the ports.

    Returns:
        The exit code.
    """
    logging.basicConfig(level=logging.WARNING, format="sink: %(message)s")
    with ExitStack() as stack:
        try:
            sink = _start(config, number, stack)
        except StartError as error:
            print(f"sink: {error}", file=sys.stderr, flush=True)
            return error.code
        uvloop.run(_serve(sink))
    return os.EX_OK


def _start(config: Config, number: int, stack: ExitStack) -> Sink:
    """Everything that needs root, then no more root, then the rest; `stack` will close it."""
    user = find_user(config.user)
    owner = (user.pw_uid, user.pw_gid) if user else None
    listening = open_sockets(config.listen, user, shared=config.smtp.processes > 1, number=number)
    for sock, _ in listening:
        stack.enter_context(sock)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    doing = "prepare its directories"
    try:
        if user:
            provide([config.paths.spool, config.paths.state, config.paths.maillog], user)
        doing = "make its secret"
        auth_key = keys.key(config.paths.state, "auth", owner)
        doing = "use its certificate"
        tls = server_context(config, owner)
        if user:
            become(user)
        doing = "tell of itself in the state directory"
        board = stack.enter_context(closing(Board(config)))
        log = stack.enter_context(closing(SessionLog(config.paths.state / "sessions", number)))
        doing = "open the spool"
        spool = stack.enter_context(closing(Spool.open(config)))
        intake = stack.enter_context(closing(Intake(config, spool)))
    except OSError as error:
        code = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_CANTCREAT
        raise StartError(f"can't {doing}: {error}", code) from None
    except ValueError as error:
        raise StartError(str(error), os.EX_CONFIG) from None
    shared = _shared(config, intake, auth_key, tls, log)
    doors = []
    for _, listener in listening:
        balancers = Networks(dict.fromkeys(listener.proxy, True)) if listener.proxy else None
        lmtp = listener.protocol == "lmtp"
        doors.append(replace(shared, listener=listener.label, lmtp=lmtp, balancers=balancers, wires=set()))
        where = listener.unix or f"{listener.host}:{listener.port}"
        named = f" ({listener.name})" if listener.name else ""
        print(f"sink: {listener.protocol} on {where}{named}", flush=True)
    return Sink([sock for sock, _ in listening], doors, board, [address(each) for _, each in listening])


def _shared(
    config: Config, intake: Intake, auth_key: bytes, tls: ssl.SSLContext | None, log: SessionLog
) -> Door:
    """What all doors have in common."""
    return Door(
        intake=intake,
        face=Face(config),
        gate=Gate(config.limits),
        stress=Stress(config),
        listener="",
        tls=tls,
        auth=config.smtp.auth,
        auth_key=auth_key,
        delay=Delay(config).of if config.smtp.banner_delay or config.smtp.banner_delays else None,
        log=log,
    )


async def _serve(sink: Sink) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = []
    for sock, door in zip(sink.sockets, sink.doors, strict=True):
        make = functools.partial(Wire, door, loop)
        create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
        servers.append(await create(make, sock=sock, backlog=BACKLOG))  # else it sets its own, 100
    notify("READY=1")
    gc.set_threshold(*GARBAGE)
    gc.freeze()  # what lives as long as the process need not be looked at again
    patrol = loop.create_task(Patrol(sink.doors, sink.board, sink.addresses).walk())
    await stop.wait()
    notify("STOPPING=1")
    for server in servers:
        server.close()
    await _say_goodbye(sink.doors)
    patrol.cancel()


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
