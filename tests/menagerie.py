"""A trap that is served, whose archive and queues hold the zoo."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import archived
import zoo
from bookkit import fill_books
from webkit import config_at, fill, served

from trap.config import Config
from trap.envelope import Envelope, Rcpt
from trap.queue import Spool

CAMPAIGN = "20f7"


class House(NamedTuple):
    """A trap that is served.

    Attributes:
        address: of its web interface.
        specimens: message ids by the specimen's name.
        plain: id of a message that means no harm.
        all_in_one: ids of two copies of the mail that holds all of them.
        bad: id of a job that was put aside.
        waiting: id of one in the same queue.
        reports: ids of reports by their state, those of `bookkit`; the one that was sent holds all of them.
    """

    address: str
    config: Config
    specimens: dict[str, str]
    plain: str
    all_in_one: tuple[str, str]
    queue: str
    bad: str
    waiting: str
    reports: dict[str, str]


@contextmanager
def housed(directory: Path, port: int) -> Iterator[House]:
    """The zoo, which asks somebody who listens at a port of loopback, in a trap of its own."""
    config = config_at(directory)
    began = time.time() - 3600
    jobs = [zoo.job(zoo.letter(each, port), began + at) for at, each in enumerate(zoo.ZOO)]
    copies = [zoo.job(zoo.everything(port, salt), began + 1800, CAMPAIGN) for salt in ("first", "second")]
    plain = archived.job(at=began + 1900, message=archived.mixed_message(1))
    fill(config, [*jobs, *copies, plain])
    queue = next(iter(config.queues))
    bad, waiting = in_queue(config, queue, copies[0].message)
    reports = fill_books(config, copies[0].message)
    specimens = {each.name: job.id for each, job in zip(zoo.ZOO, jobs, strict=True)}
    with served(directory) as address:
        yield House(
            address, config, specimens, plain.id, (copies[0].id, copies[1].id), queue, bad, waiting, reports
        )


def in_queue(config: Config, queue: str, message: bytes) -> tuple[str, str]:
    """Put a message into a queue thrice: one job was dropped, one is bad, one waits."""
    spool = Spool.open(config)
    try:
        hostile = zoo.job(message, time.time())
        ids = [spool.put(queue, hostile.envelope, message) for _ in range(3)]
        with spool[queue].consumer() as consumer:
            for reason in ("drop", "condemn"):
                claim = consumer.claim()
                assert claim
                if reason == "drop":
                    claim.drop(zoo.SAYINGS[0])
                else:
                    bad = claim.id
                    claim.condemn(zoo.SAYINGS[1], "\n".join(zoo.SAYINGS))
                ids.remove(claim.id)
    finally:
        spool.close()
        spool.log.close()
    return bad, ids[0]


def drop(config: Config, queue: str, reason: str) -> None:
    """Put a message into a queue, at whose end it is dropped for a reason."""
    spool = Spool.open(config)
    try:
        job_id = spool.put(queue, Envelope(rcpts=[Rcpt(address="trap@mx.trap.example")]), b"\r\nyou\r\n")
        with spool[queue].consumer() as consumer:
            claim = consumer.take(f"{job_id}.0")
            assert claim
            claim.drop(reason)
    finally:
        spool.close()
        spool.log.close()
