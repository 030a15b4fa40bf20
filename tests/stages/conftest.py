"""Fixtures for the tests of stages."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from fakeserver import Opened
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
