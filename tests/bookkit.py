"""Books of reporters with a report in each state, for those who look at them."""

import time
from pathlib import Path

from trap.config import Config
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.place import DIRECTORY
from trap.reports import Book, Sending
from trap.reports.held import Evidence

TRAP = "joe@trap.example"
TEXT = b"Subject: a report\r\n\r\nspam from 192.0.2.7\x1b[31m\r\n"
LEAK = b"Subject: a report\r\n\r\nspam for joe@trap.example\r\n"


def fill_books(config: Config, text: bytes = TEXT) -> dict[str, str]:
    """Write two books, `text` being what was sent; ids by state, of arf; `told` is of check sums."""
    directory = config.paths.state / DIRECTORY
    directory.mkdir(parents=True)
    made = {}
    book = Book(directory, "arf")
    for state in ("gathering", "sent", "unsure", "failed", "held"):
        made[state] = enter(book, f"campaign-{state}", "abuse@isp.example")
    for state in ("sent", "unsure"):
        send(book, made[state], text, state, {"sent": "250 2.0.0 queued", "unsure": "broken off"}[state])
    book.settle(made["failed"], "failed", "550 no such user")
    evidence = [Evidence("text/plain", "plain", TRAP, f"spam for {TRAP}")]
    book.hold(made["held"], "the gate found plain", evidence, LEAK)
    book.close()
    book = Book(directory, "fuzzy")
    made["told"] = enter(book, "campaign-sent", "rspamd")
    send(book, made["told"], b"", "sent", "hash added")
    book.close()
    return made


def enter(book: Book, campaign: str, to: str) -> str:
    """A new report of one copy."""
    job = Job.from_message(b"Subject: buy\r\n\r\nbuy\r\n", Envelope(rcpts=[Rcpt(address=TRAP)]))
    return book.enter(job, campaign, [to], count=0, period=86400.0, gather=0.0)[to]


def send(book: Book, report: str, text: bytes, state: str, word: str) -> None:
    """A report that left."""
    sending = Sending(book, report)
    sending.text = text
    sending.commit()
    book.settle(report, state, word)  # type: ignore[arg-type]


def states(home: Path) -> dict[str, str]:
    """What each report of arf's is now, by id."""
    book = Book(home / "state" / DIRECTORY, "arf")
    found = {report.id: report.state for report in book.reports(limit=int(time.time()))}
    book.close()
    return found
