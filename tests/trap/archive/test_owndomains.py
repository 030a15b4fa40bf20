"""Our own domains: those that much of the mail is for, and none that a sender names now and then."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archived import job

from trap.archive.index import Index
from trap.archive.owndomains import OwnDomains
from trap.archive.reading import Reading
from trap.archive.store import Store
from trap.envelope import Rcpt

Known = Callable[[list[list[str]]], OwnDomains]


@pytest.fixture
def known(directory: Path, store: Store, indexed: Callable[[], Index]) -> Iterator[Known]:
    """What is known of messages with such recipients."""
    reading = Reading(directory)

    def make(recipients: list[list[str]]) -> OwnDomains:
        store.put([job(n, rcpts=[Rcpt(address=each) for each in some]) for n, some in enumerate(recipients)])
        indexed().close()
        return OwnDomains(reading)

    yield make
    reading.close()


async def test_what_many_messages_are_for(known: Known) -> None:
    mail = [[f"{n}@trap.example"] for n in range(190)] + [["x@Second.example"]] * 6
    assert await known(mail + [["probe@paypal.com"]] * 4).get() == {"trap.example", "second.example"}


async def test_of_much_mail_a_share(known: Known) -> None:
    mail = [["x@trap.example"]] * 990
    assert await known(mail + [["x@a.example"]] * 9).get() == {"trap.example"}
    assert await known([["x@a.example"]] * 10).get() == {"trap.example", "a.example"}


async def test_one_message_makes_no_domain_ours(known: Known) -> None:
    mail = [["x@trap.example"]] * 60
    assert await known([*mail, [f"{n}@paypal.com" for n in range(100)]]).get() == {"trap.example"}


async def test_many_traps_below_one_domain(known: Known) -> None:
    assert await known([[f"x@host{n}.trap.example"] for n in range(100)]).get() == {"trap.example"}


async def test_a_new_trap_takes_every_domain_for_its_own(known: Known) -> None:
    assert await known([["x@trap.example"]] * 40 + [["y@b.example", "nobody"]]).get() == {
        "trap.example",
        "b.example",
        "nobody",
    }
