"""Waking: one event an idle period, none while busy, and no arrival slept through."""

import errno
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import eventually
from watchdog.observers.inotify_c import InotifyFD

from trap.envelope import Envelope
from trap.wake import NAP, NAPS, Wake

LONG = 30.0
"""Seconds no wait in these tests comes near to."""


@pytest.fixture
def new(tmp_path):
    """The new/ of a queue."""
    (tmp_path / "new").mkdir()
    return str(tmp_path / "new")


def arrive(directory: str, name: str = "job") -> None:
    """A job comes as put brings it: by rename."""
    with open(f"{directory}.{name}", "w"):
        pass
    os.rename(f"{directory}.{name}", f"{directory}/{name}")


def test_an_arrival_ends_the_wait(new):
    wake = Wake(new)
    wake.arm()
    with ThreadPoolExecutor(1) as pool:
        woken = pool.submit(wake.wait, LONG)
        arrive(new)
        assert woken.result(LONG) is True
    assert wake.events == 1


def test_a_fan_out_wakes_as_well(new):
    """It comes by link, not by rename."""
    wake = Wake(new)
    wake.arm()
    with open(f"{new}.job", "w"):
        pass
    os.link(f"{new}.job", f"{new}/job")
    assert wake.wait(LONG) is True


def test_nothing_comes_and_the_wait_ends_by_itself(new):
    wake = Wake(new)
    wake.arm()
    assert wake.wait(0.01) is False


def test_what_leaves_the_queue_wakes_nobody(new):
    arrive(new)
    wake = Wake(new)
    wake.arm()
    os.rename(f"{new}/job", f"{new}.claimed")
    assert wake.wait(0.05) is False
    assert wake.events == 0


def test_arrival_between_look_and_watch(new):
    """It makes no event, so the worker arms first, looks once more, and only then waits."""
    wake = Wake(new)
    assert os.listdir(new) == []
    arrive(new)
    wake.arm()
    assert os.listdir(new) == ["job"], "this second look is what finds it"
    assert wake.wait(0.05) is False, "nothing would have told us"


def test_arrival_between_watch_and_wait(new):
    wake = Wake(new)
    wake.arm()
    arrive(new)
    eventually(lambda: wake.events == 1)
    assert wake.wait(LONG) is True


def test_no_arrival_is_slept_through(new):
    """Arrivals at any moment of the worker's loop: each is found without waiting for a tick."""
    wake, found, stop = Wake(new), [], threading.Event()

    def work() -> None:
        while not stop.is_set():
            while names := os.listdir(new):
                for name in names:
                    os.unlink(f"{new}/{name}")
                    found.append(name)
            wake.arm()
            if not os.listdir(new):
                assert wake.wait(LONG), "slept through"

    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(work)
        for number in range(400):
            arrive(new, str(number))
            if number % 20 == 0:
                eventually(lambda number=number: len(found) == number + 1, LONG / 2)
        eventually(lambda: len(found) == 400)
        stop.set()
        wake.poke()
        worker.result(LONG)
    assert wake.events <= 400


def test_one_event_an_idle_period_and_none_in_a_burst(spool):
    """The watch is gone once it has fired: five thousand arrivals to a busy worker cost nothing."""
    wake = Wake(spool["first"].new)
    wake.arm()
    for _ in range(500):
        spool.put("first", Envelope(), b"")
    assert wake.wait(LONG) is True
    eventually(lambda: wake.events == 1)
    with spool["first"].consumer() as worker:
        while claim := worker.claim():
            claim.drop("seen")
        for _ in range(500):
            spool.put("first", Envelope(), b"")
        assert wake.events == 1
        while claim := worker.claim():
            claim.drop("seen")
    wake.arm()
    spool.put("first", Envelope(), b"")
    assert wake.wait(LONG) is True
    eventually(lambda: wake.events == 2)


def test_arming_twice_sets_one_watch(new):
    wake = Wake(new)
    for _ in range(10):
        wake.arm()
    arrive(new)
    arrive(new, "another")
    assert wake.wait(LONG) is True
    eventually(lambda: wake.events == 1)
    assert wake.wait(0.05) is False


def test_two_that_watch_one_directory_are_both_woken(new):
    one, other = Wake(new), Wake(new)
    one.arm()
    other.arm()
    arrive(new)
    assert one.wait(LONG)
    assert other.wait(LONG)


def test_arrivals_in_quick_succession_are_followed_by_naps(new, monkeypatch):
    """For a while the kernel is not asked at all; then it is asked again."""
    now = 100.0
    monkeypatch.setattr("trap.wake.time.monotonic", lambda: now)
    wake = Wake(new)
    for number in range(2):
        wake.arm()
        arrive(new, str(number))
        assert wake.wait(LONG) is True
        now += NAP / 2
    for number in range(2, 20):
        wake.arm()
        arrive(new, str(number))
        assert wake.wait(LONG) is True, "a nap has ended: look"
        assert wake.events == 2
    wake.arm()
    now += NAPS
    assert wake.wait(LONG) is True, "what was settled when it was armed holds"
    wake.arm()
    arrive(new, "late")
    assert wake.wait(LONG) is True
    eventually(lambda: wake.events == 3)


def test_a_poke_ends_a_nap(new, monkeypatch):
    monkeypatch.setattr("trap.wake.NAP", LONG)
    wake = Wake(new)
    for _ in range(2):
        wake.poke()
        assert wake.wait(LONG) is True
    wake.arm()
    with ThreadPoolExecutor(1) as pool:
        woken = pool.submit(wake.wait, 2 * LONG)
        wake.poke()
        assert woken.result(LONG) is True


def test_a_poke_is_not_lost(new):
    """SIGTERM may come at any moment: before the wait, or between arm and wait."""
    wake = Wake(new)
    wake.poke()
    wake.arm()
    assert wake.wait(LONG) is True
    assert wake.wait(0.01) is False, "but it counts once"


def test_a_signal_handler_may_poke_at_any_instruction(new):
    """A handler runs between two instructions of the wait itself; a lock there would never be free."""
    wake = Wake(new)
    pokes = []

    def handler(*_: object) -> None:
        pokes.append(1)
        wake.poke()

    before = signal.signal(signal.SIGUSR1, handler)
    stop = threading.Event()

    def shoot() -> None:
        while not stop.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.0001)

    shooter = threading.Thread(target=shoot)
    shooter.start()
    try:
        for _ in range(500):
            wake.arm()
            assert wake.wait(LONG) is True
    finally:
        stop.set()
        shooter.join()
        signal.signal(signal.SIGUSR1, before)
    assert pokes


def test_lost_events_are_a_reason_to_look(new):
    wake = Wake(new)
    wake.on_queue_overflow()
    assert wake.wait(LONG) is True


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC])
@pytest.mark.parametrize("call", ["get_instance", "add_callback"])
def test_without_inotify_the_clock_wakes(new, monkeypatch, call, number):
    """A host may have given all its watches away: jobs are found a tick later, and the worker lives."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(InotifyFD, call, refused)
    wake = Wake(new)
    wake.arm()
    arrive(new)
    assert wake.wait(0.01) is False
    wake.arm()
    wake.poke()
    assert wake.wait(LONG) is True


def test_a_queue_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Wake(f"{tmp_path}/nowhere").arm()
