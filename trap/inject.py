"""Takes one message in that a mail server hands over by a command: what the sink does, for one message.

Where its recipients lead to several queues it becomes a job in each, and where they are more than a
transaction of the sink may have, it becomes as many jobs as the sink would have made of it. When one of
them can't be stored the caller is told to come again, with everything: those that are stored already will
be there twice then, and the error says so.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

from trap import fsio
from trap.config import Config
from trap.configcheck import nearest
from trap.envelope import Envelope, Rcpt
from trap.intake import Intake, Stored
from trap.queue import Spool
from trap.recipients import MAX_RCPTS_SIZE
from trap.shortage import TEMPFAIL

LISTENER = "inject"
"""What routes know it as."""


class NotTaken(Exception):
    """Why a message is not in the queue, in one line, and the exit code that says it (sysexits.h)."""

    def __init__(self, text: str, code: int = os.EX_TEMPFAIL) -> None:
        super().__init__(
            f"not taken, try again later: {text}" if code == os.EX_TEMPFAIL else f"not taken: {text}"
        )
        self.code = code


class Letter(NamedTuple):
    """A message, and what the caller knows of it."""

    message: fsio.Pieces
    rcpts: list[str]
    """May be none."""
    sender: str = ""
    """Empty is the null sender."""
    client_ip: str = ""
    helo: str | None = None
    queue: str = ""
    """Where it goes, whatever the routes say; as they say when empty."""
    queue_id: str = ""
    """The mail server's name for it."""


def take(config: Config, spool: Spool, letter: Letter) -> list[str]:
    """Put a message into the queues that its recipients lead to.

    Returns:
        The ids of its jobs. They are in their queues and in the log.

    Raises:
        NotTaken: it is not, or not all of it.
        ValueError: the configuration holds a mistake.
        OSError: the state directory can't be read.
    """
    if letter.queue and letter.queue not in config.queues:
        raise NotTaken(f"no queue {letter.queue!r}" + nearest(letter.queue, config.queues))
    intake = Intake(config, spool, alone=True)
    ids: list[str] = []
    try:
        transactions = list(_transactions(config, intake, letter))
        envelopes = [each for transaction in transactions for each in transaction.items()]
        tags = [rcpt.tag for _, envelope in envelopes for rcpt in envelope.rcpts]
        queues = list(dict.fromkeys(queue for queue, _ in envelopes))
        if intake.policy(tags, queues) == TEMPFAIL:
            raise NotTaken(intake.shortage.short(queues))
        for transaction in transactions:
            stored: Stored = {}
            intake.store(list(transaction.items()), letter.message, stored.update)
            ids += [job_id for job_id in stored.values() if job_id]
            if None in stored.values():
                twice = (
                    f"; {len(ids)} of {len(envelopes)} jobs are stored, and will be once more" if ids else ""
                )
                raise NotTaken(f"{intake.trouble}{twice}")
    finally:
        with suppress(Exception):  # what became of the message is decided
            intake.close()
    return ids


def _transactions(config: Config, intake: Intake, letter: Letter) -> Iterator[dict[str, Envelope]]:
    """What the sink would be told in one transaction after the other: queue -> envelope."""
    now = time.time()
    for lot in _lots(letter.rcpts, intake.max_recipients):
        queues: dict[str, list[Rcpt]] = {} if lot else {letter.queue or config.first: []}
        for address in lot:
            # Also one that the sink would refuse: the caller has taken it, and could only return it.
            found = intake.recipients.lookup(address, LISTENER) or intake.recipients.anyhow
            queues.setdefault(letter.queue or found.queue, []).append(Rcpt(address=address, tag=found.tag))
        yield {
            queue: Envelope(
                protocol="inject",
                listener=LISTENER,
                client_ip=_address(letter.client_ip),
                helo=letter.helo,
                mail_from=letter.sender,
                rcpts=rcpts,
                received_at=now,
                dialect={"queue_id": letter.queue_id} if letter.queue_id else {},
            )
            for queue, rcpts in queues.items()
        }


def _lots(rcpts: list[str], most: int) -> Iterator[list[str]]:
    """The recipients, so many at a time as a transaction of the sink may have; at least one lot."""
    lot: list[str] = []
    size = 0
    for address in rcpts:
        if len(lot) >= most or size > MAX_RCPTS_SIZE:
            yield lot
            lot, size = [], 0
        lot.append(address)
        size += len(address)
    yield lot


def _address(text: str) -> str:
    """An IP address as envelopes hold it; nothing where a mail server has none and says "unknown"."""
    try:
        return str(ip_address(text.lower().removeprefix("ipv6:").removeprefix("::ffff:")))
    except ValueError:
        return ""
