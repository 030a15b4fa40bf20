"""Fixtures for the tests of stages."""

import pytest
from reportkit import NOON, Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time, standing still a minute after noon until the test moves it."""
    clock = Clock(NOON + 60)
    monkeypatch.setattr("time.time", clock)
    return clock
