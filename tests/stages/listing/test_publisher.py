"""What is published, by whom, and how much of it may change at once."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from faultkit import FaultyOs, die_after, die_before, fail_with, in_child
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listkit import SOON, letter, make, published

from stages.dnsbl import Dnsbl

HOUR = 3600.0
ONE = "lists: {addresses: {min_score: 0.5, min_traps: 1}, domains: null, files: null, backscatter: null}"
"""One list alone, for who publishes often."""
CAP = "publish: {max_change: 20%, at_least: 10, release_after: 6h}\n    "


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Dnsbl]:
    """A stage that lists after one hit, and may list ten an hour."""
    made = make(tmp_path, CAP + SOON)
    yield made
    made.close()


def hits(stage: Dnsbl, *numbers: int, at: float = 0.0) -> None:
    stage.process_batch([letter(f"198.51.{number // 256}.{number % 256}", at=at) for number in numbers])


def bring(stage: Dnsbl, later: float = 0.0) -> list[str]:
    """Publish, as of some seconds from now; what is in the file then."""
    stage._publisher._prepare()
    stage._publisher.publish(time.time() + later)
    return published(stage)


def files(stage: Dnsbl) -> dict[str, tuple[int, bytes]]:
    """What lies in the directory: inodes and contents."""
    return {
        path.name: (path.stat().st_ino, path.read_bytes()) for path in stage._publisher.directory.iterdir()
    }


class TestWhen:
    def test_files_are_left_alone_while_nothing_changes(self, stage: Dnsbl) -> None:
        hits(stage, 1)
        bring(stage)
        before = files(stage)
        bring(stage, 60)
        assert files(stage) == before
        hits(stage, 2)
        bring(stage, 60)
        after = files(stage)
        assert after["addresses.ip4"] != before["addresses.ip4"]
        assert after["domains.dnset"] == before["domains.dnset"]

    def test_files_are_renewed_before_they_expire(self, stage: Dnsbl) -> None:
        hits(stage, 1)
        bring(stage)
        before = files(stage)
        bring(stage, 2 * HOUR / 3 + 1)
        assert {name: inode for name, (inode, _) in files(stage).items()}.items().isdisjoint(
            {name: inode for name, (inode, _) in before.items()}.items()
        )

    def test_serials_only_grow(self, stage: Dnsbl) -> None:
        """Whatever the clock does: a resolver takes a smaller one for what it has already."""

        def serial() -> int:
            return int(files(stage)["addresses.rpz"][1].split()[6])

        hits(stage, 1)
        bring(stage, 100)
        first = serial()
        hits(stage, 2)
        bring(stage, 50)
        assert serial() == first + 1

    def test_who_fades_is_off_again(self, stage: Dnsbl) -> None:
        hits(stage, 1)
        assert bring(stage) == ["198.51.0.1"]
        assert bring(stage, 23 * HOUR) == ["198.51.0.1"]
        assert bring(stage, 25 * HOUR) == []

    def test_one_worker_publishes(self, tmp_path: Path, stage: Dnsbl) -> None:
        other = make(tmp_path, CAP + SOON)
        hits(stage, 1)
        with patch.object(stage._publisher, "publish", side_effect=lambda now: other.tick()):
            stage.tick()
        assert not stage._publisher.directory.exists() or published(stage) == []
        other._publisher._next = 0.0
        other.tick()
        assert published(stage) == ["198.51.0.1"]
        other.close()

    def test_a_disk_that_is_full_is_told_and_tried_again(
        self, stage: Dnsbl, caplog: pytest.LogCaptureFixture
    ) -> None:
        hits(stage, 1)
        with patch("trap.fsio.os", FaultyOs(3, fail_with(28))):
            stage.tick()
        assert "lists can't be published now: [Errno 28]" in caplog.text
        stage._publisher._next = 0.0
        stage.tick()
        assert published(stage) == ["198.51.0.1"]


class TestCap:
    def test_more_than_may_come_is_held_until_a_person_releases_it(self, stage: Dnsbl) -> None:
        hits(stage, *range(100, 104))
        assert len(bring(stage)) == 4
        hits(stage, *range(200, 250))
        assert len(bring(stage, 10)) == 10
        (row,) = [row for row in stage.desk.status() if row["list"] == "addresses"]
        (hold,) = row["held"]
        assert (hold["way"], hold["number"], hold["released"]) == ("add", 44, False)
        assert stage.desk.release("domains") == 0
        assert stage.desk.release("addresses") == 44
        assert len(bring(stage, 20)) == 54
        assert all(row["held"] == [] for row in stage.desk.status())

    def test_what_a_person_released_is_not_what_came_since(self, stage: Dnsbl) -> None:
        hits(stage, *range(50))
        bring(stage)
        stage.desk.release()
        hits(stage, *range(100, 200))
        assert len(bring(stage, 10)) == 10
        (hold,) = stage.desk.status()[0]["held"]
        assert (hold["number"], hold["released"]) == (140, False), "it has to be looked at again"

    def test_who_floods_a_list_keeps_nobody_else_off_it(self, stage: Dnsbl) -> None:
        hits(stage, *range(300))
        bring(stage)
        hits(stage, *[500] * 5)
        assert "198.51.1.244" not in bring(stage, 60), "there is no room in this hour"
        assert "198.51.1.244" in bring(stage, HOUR + 60), "the highest score has the first place in the next"

    def test_a_clock_that_is_set_back_releases_nothing(self, stage: Dnsbl) -> None:
        hits(stage, *range(50))
        assert len(bring(stage, HOUR)) == 10
        assert len(bring(stage)) == 10
        assert len(bring(stage, 1.9 * HOUR)) == 10
        assert len(bring(stage, 6.1 * HOUR)) == 50

    def test_what_was_counted_while_the_clock_was_ahead_is_not_listed_until_then(self, stage: Dnsbl) -> None:
        ahead = time.time() + 8766 * HOUR
        with patch("time.time", return_value=ahead):
            hits(stage, 1, at=ahead)
        hits(stage, 2)
        assert bring(stage) == ["198.51.0.2"]

    def test_what_is_held_goes_out_by_itself_in_the_end(self, stage: Dnsbl) -> None:
        hits(stage, *range(150))
        assert len(bring(stage)) == 10
        assert len(bring(stage, 5.9 * HOUR)) == 20
        assert len(bring(stage, 6.1 * HOUR)) == 150

    def test_many_small_steps_are_a_large_one(self, stage: Dnsbl) -> None:
        for step in range(10):
            hits(stage, *range(3 * step, 3 * step + 3))
            bring(stage, step * 60)
        assert len(published(stage)) == 10
        assert len(bring(stage, HOUR + 1000)) == 20, "ten an hour"

    def test_more_than_may_go_is_held_too(self, stage: Dnsbl) -> None:
        hits(stage, *range(50))
        bring(stage)
        stage.desk.release()
        assert len(bring(stage)) == 50
        assert len(bring(stage, 25 * HOUR)) == 50, "all of them at once: a clock that is wrong, say"
        assert len(bring(stage, 31.1 * HOUR)) == 0

    def test_what_has_to_go_goes_at_once(self, stage: Dnsbl) -> None:
        hits(stage, *range(50))
        bring(stage)
        stage.desk.release()
        bring(stage)
        stage.desk.remove("198.51.0.7")
        stage.desk.allow("198.51.0.32/27", "ours")
        left = bring(stage, 25 * HOUR)
        assert len(left) == 50 - 1 - 18
        assert "198.51.0.7" not in left

    @settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 30), st.floats(10, 2 * HOUR)), max_size=6))
    def test_never_more_than_may_change_in_an_hour(
        self, tmp_path: Path, steps: list[tuple[int, float]]
    ) -> None:
        """However hits come: against what was published in each hour."""
        stage = make(tmp_path / str(time.monotonic_ns()), CAP + ONE)
        later, number, past = 0.0, 0, [(0.0, set[str]())]
        for count, pause in steps:
            later += pause
            if later > 5 * HOUR:
                break
            hits(stage, *range(number, number + count))
            number += count
            past.append((later, set(bring(stage, later))))
        for at, listed in past:
            for before, was in past:
                if before <= at < before + HOUR:
                    assert len(listed - was) <= max(10, 0.2 * len(was))
        stage.close()


class TestDeath:
    @pytest.mark.parametrize("what", [die_before, die_after])
    def test_killed_at_any_call_files_are_whole_and_the_next_one_finishes(
        self, tmp_path: Path, what: object
    ) -> None:
        """kill -9 before and after each call of the system that changes a file."""
        stage = make(tmp_path, CAP + ONE)
        hits(stage, 1)
        bring(stage)
        before = files(stage)
        stage.close()
        for at in range(1, 200):

            def work(at: int = at) -> None:
                hits(stage, 2)
                with patch("trap.fsio.os", FaultyOs(at, what)) as system:  # type: ignore[arg-type]
                    bring(stage)
                os._exit(0 if system.count >= at else 75)

            status = in_child(work)
            for name, (_, data) in files(stage).items():
                if not name.endswith(".tmp"):
                    assert data.endswith(b"\n")
                    assert len(data) >= len(before[name][1])
            if status == 75:
                break
            assert status in (0, -9), (
                "killed, but where the call itself failed, as to unlink what is not there"
            )
        else:
            pytest.fail("it never came to an end")
        assert bring(stage) == ["198.51.0.1", "198.51.0.2"]
        assert not list(stage._publisher.directory.glob("*.tmp"))
        stage.close()
