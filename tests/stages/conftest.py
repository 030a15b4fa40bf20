"""Fixtures for the tests of stages."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import pytest
from fakeserver import Opened
from receiverkit import Receiver, receiver
from reportkit import NOON, Clock

S = TypeVar("S")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time, standing still a minute after noon until the test moves it."""
    clock = Clock(NOON + 60)
    monkeypatch.setattr("time.time", clock)
    return clock


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Makes stages that ask backends, `opened(Virus, clamd=…)`, and hangs up when the test is over."""
    made: list[Any] = []

    def make(kind: Callable[..., S], **settings: Any) -> S:
        stage = kind(**settings)
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.backends.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A web server that takes what is posted to it."""
    with receiver(tmp_path_factory.mktemp("receiver")) as running:
        yield running


@pytest.fixture
def server(running: Receiver) -> Receiver:
    """The same, which remembers nothing of other tests."""
    running.forget()
    return running
