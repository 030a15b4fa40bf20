"""How who is listed gets off the list."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from listkit import MD5, SOON, SUM, letter, make, published

from stages.dnsbl import Dnsbl
from stages.listing.names import Named, named

DAY = 86400.0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Dnsbl]:
    made = make(tmp_path, f"removal: {{cool_down: 1d, rate: 3}}\n    {SOON}")
    yield made
    made.close()


def bring(stage: Dnsbl, name: str = "addresses", later: float = 0.0) -> list[str]:
    stage._publisher._prepare()
    stage._publisher.publish(time.time() + later)
    return published(stage, name)


def thing(said: str) -> Named:
    found = named(said)
    assert found is not None
    return found


def ask(stage: Dnsbl, *lines: str, name: str = "request") -> Path:
    """Leave a request where a web form would."""
    directory = stage._publisher._removals.directory
    directory.mkdir(exist_ok=True)
    (directory / name).write_text("\n".join(lines))
    return directory / name


def test_who_is_removed_is_off_and_what_he_does_does_not_count_for_a_while(stage: Dnsbl) -> None:
    stage.process(letter())
    assert bring(stage) == ["192.0.2.7"]
    assert "is removed" in stage.desk.remove("192.0.2.7")
    assert stage.process(letter()).notes == {"left_out": {"192.0.2.7": "removed lately"}}
    assert bring(stage) == []
    assert stage.desk.about("192.0.2.7")["removed"]["times"] == 1


def test_who_hits_again_after_that_is_listed_again(stage: Dnsbl, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.desk.remove("192.0.2.7")
    tomorrow = time.time() + DAY + 1
    monkeypatch.setattr("time.time", lambda: tomorrow)
    stage.process(letter(at=tomorrow))
    assert bring(stage) == ["192.0.2.7"]


def test_one_address_of_ipv6_removes_its_64(stage: Dnsbl) -> None:
    stage.process(letter("2001:db8:1:2::3"))
    bring(stage)
    stage.desk.remove("2001:db8:1:2::99")
    assert bring(stage) == []


def test_a_file_is_removed_by_either_check_sum(stage: Dnsbl) -> None:
    stage.process(letter(file=True))
    assert bring(stage, "files") == [SUM]
    stage.desk.remove(MD5)
    assert bring(stage, "files") == []
    assert stage.process(letter(file=True)).notes["left_out"] == {SUM: "removed lately"}


class TestRequests:
    def test_are_granted_and_gone(self, stage: Dnsbl) -> None:
        stage.process(letter(links=["bad.example"]))
        bring(stage)
        path = ask(stage, "192.0.2.7", "", "www.bad.example ", "what?", "192.0.2.0/24")
        stage.tick()
        assert not path.exists()
        assert (published(stage), published(stage, "domains")) == ([], [])

    def test_of_who_is_not_listed_do_nothing(self, stage: Dnsbl) -> None:
        """Else one could buy himself time before he sends."""
        ask(stage, "192.0.2.7")
        stage.tick()
        assert stage.process(letter()).notes == {"counted": {"addresses": ["192.0.2.7"]}}

    def test_are_heard_later_the_more_there_were(self, stage: Dnsbl) -> None:
        removals, now, waits = stage._publisher._removals, time.time(), []
        for _ in range(3):
            stage.process(letter(at=now))
            stage.process_batch([letter(at=now) for _ in range(30)])
            stage._store.db.execute(
                "INSERT OR IGNORE INTO published VALUES ('addresses', '192.0.2.7', '', 0, 0, 1, 1)"
            )
            begun = now
            while "is removed" not in (removals.remove(thing("192.0.2.7"), now, asked=True) or ""):
                now += DAY / 2
            waits.append((now - begun) / DAY)
            stage._store.db.execute(
                "INSERT OR IGNORE INTO published VALUES ('addresses', '192.0.2.7', '', 0, 0, 1, 1)"
            )
        assert waits == [0, 2, 4]
        assert "is removed" in stage.desk.remove("192.0.2.7"), "a person is always heard"

    def test_are_only_so_many_an_hour(self, stage: Dnsbl) -> None:
        stage.process_batch([letter(f"192.0.2.{number}") for number in range(1, 9)])
        assert len(bring(stage)) == 8
        for number in range(1, 9):
            ask(stage, f"192.0.2.{number}", name=f"request{number}")
        stage.tick()
        assert len(published(stage)) == 5
        assert len(os.listdir(stage._publisher._removals.directory)) == 5, "the others wait"

    def test_that_are_no_files_do_no_harm(self, stage: Dnsbl, tmp_path: Path) -> None:
        stage.process(letter())
        bring(stage)
        secret = tmp_path / "secret"
        secret.write_text("192.0.2.7")
        at = ask(stage, "x" * 100_000).parent
        (at / "link").symlink_to(secret)
        os.mkfifo(at / "pipe")
        (at / "folder").mkdir()
        (at / ".half").write_text("192.0.2.7")
        (at / "half.tmp").write_text("192.0.2.7")
        (at / "junk").write_bytes(os.urandom(5000))
        stage.tick()
        assert published(stage) == ["192.0.2.7"]
        assert sorted(os.listdir(at)) == [".half", "folder", "half.tmp", "link", "pipe"]
        assert secret.exists()


def test_what_others_left_there_holds_up_nobody(stage: Dnsbl, caplog: pytest.LogCaptureFixture) -> None:
    stage.process(letter())
    bring(stage)
    file = ask(stage, "192.0.2.7", name="zz")
    for number in range(300):
        (file.parent / f"{number}.tmp").touch()
    (file.parent / "a").mkdir()
    (file.parent / "b").symlink_to("/etc/passwd")
    for _ in range(2):
        stage._publisher._removals.hear(time.time())
    assert bring(stage) == []
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [text.partition(f"{file.parent}/")[2] for text in told] == [
        "a: is no file",
        "b: Too many levels of symbolic links",
    ]


def test_requests_that_cannot_be_read_hold_up_no_list(stage: Dnsbl) -> None:
    stage._publisher._removals.directory.write_text("a file")
    stage.process(letter())
    stage.tick()
    assert published(stage) == ["192.0.2.7"]
