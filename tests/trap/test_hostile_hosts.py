"""What hosts and people do to a spool: full file systems, removed directories, forks, old configurations."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import msgspec
import pytest
from support import eventually

from trap import fsio, job
from trap.audit import audit
from trap.config import Config, Duration, Stage
from trap.configfile import parse
from trap.envelope import Envelope
from trap.intake import Intake
from trap.queue import Spool
from trap.reaper import Reaper, purge


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs with hardly any inodes."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs")
    place = tmp_path / "tiny"
    place.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=80", "tmpfs", str(place)]
    if subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def in_place(config: Config, spool: Path) -> Config:
    return msgspec.structs.replace(config, paths=msgspec.structs.replace(config.paths, spool=spool))


def test_with_no_inode_left_the_reaper_still_sheds(config: Config, tiny: Path) -> None:
    config = in_place(config, tiny / "spool")
    spool = Spool.open(config)
    reaper = Reaper(config, spool)
    reaper.round()  # as at its start: its leases are made
    with pytest.raises(OSError, match="No space left"):
        for _ in range(100):
            spool.put("first", Envelope(), b"x")
    assert fsio.space(tiny).inodes_free == 0
    assert reaper.round()["shed: no room"] > 0
    assert fsio.space(tiny).inodes_free > 0
    spool.put("first", Envelope(), b"there is room again")
    reaper.close()
    assert audit(config, spool).balanced
    spool.close()


def test_a_removed_spool_is_made_again(config: Config, spool: Spool) -> None:
    spool.put("first", Envelope(), b"one")
    subprocess.run(["rm", "-rf", str(spool.root)], check=True)
    job_id = spool.put("first", Envelope(), b"two")
    assert spool["first"].ids() == {job_id}


def test_a_worker_whose_directory_was_removed_says_so(spool: Spool) -> None:
    """To it, every job looks as if others had been faster."""
    with spool["first"].consumer() as worker:
        os.rmdir(worker.lease.path)
        spool.put("first", Envelope(), b"one")
        with pytest.raises(FileNotFoundError):
            worker.claim()


def test_a_forked_child_does_not_keep_its_parents_claims(spool: Spool, tmp_path: Path) -> None:
    """A stage forks; the worker is killed; its child lives on. The job must come back."""
    spool.put("first", Envelope(), b"one")
    pid = os.fork()
    if pid == 0:
        spool["first"].consumer().claim()
        if os.fork() == 0:
            (tmp_path / "child").write_text(str(os.getpid()))
            time.sleep(30)
            os._exit(0)
        time.sleep(30)
    eventually(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    try:
        assert spool.recover() == 1
    finally:
        os.kill(int((tmp_path / "child").read_text()), 9)


def test_what_cant_be_logged_is_not_taken(config: Config, spool: Spool) -> None:
    """The client hears 452 and comes again: no second copy may wait for it."""
    full = OSError(28, "No space left on device")
    with mock.patch.object(spool.log, "accepted", side_effect=full), pytest.raises(OSError, match="No space"):
        spool.put("first", Envelope(), b"one")
    assert not spool["first"].ids()
    assert audit(config, spool).accepted == 0


def test_a_full_disk_below_the_log_is_no_room(config: Config, spool: Spool) -> None:
    space = fsio.space

    def full(path: Path) -> fsio.Space:
        found = space(path)
        return found._replace(bytes_free=1000) if path == config.paths.maillog else found

    assert Intake(config, spool).has_room()
    with mock.patch.object(fsio, "space", full):
        assert not Intake(config, spool).has_room()


def put_old(spool: Spool, queue: str, age: float) -> str:
    with mock.patch.object(job.time, "time_ns", lambda: int((time.time() - age) * 1e9)):
        return spool.put(queue, Envelope(), b"old")


def test_a_queue_that_only_holds_is_left_alone(config: Config) -> None:
    """A quarantine is looked at by a person, who may take days."""
    stages = {"held": Stage(workers=0), "brief": Stage(workers=0, max_age=Duration("1h"))}
    config = msgspec.structs.replace(config, stages=stages)
    with_purge = msgspec.structs.replace(config.reaper, purge="15 3 * * *")
    config = msgspec.structs.replace(config, reaper=with_purge)
    spool = Spool.open(config)
    kept = put_old(spool, "held", 7 * 86400)
    put_old(spool, "brief", 7200)
    reaper = Reaper(config, spool)
    assert reaper.round()["shed: too old"] == 1
    with mock.patch("trap.reaper.time.time", return_value=time.time() + 86400):
        reaper.round()
    reaper.close()
    assert spool["held"].ids() == {kept}
    assert not spool["brief"].ids()


def test_leases_of_reaper_and_people_count_as_no_worker(config: Config, spool: Spool) -> None:
    reaper = Reaper(config, spool)
    reaper.round()
    assert spool["first"].stats().workers == 0
    with spool["first"].consumer():
        assert spool["first"].stats().workers == 1
    reaper.close()


def test_what_an_earlier_configuration_left_is_reached(config: Config, spool: Spool) -> None:
    spool.put("second", Envelope(), b"one")
    worker = spool["second"].consumer()
    worker.claim()
    worker.crash()
    below = config.paths.spool.parent
    text = f"pipeline: [other]\npaths: {{spool: {below}/spool, archive: {below}/a, state: {below}/state}}\n"
    later = parse(text)
    left = Spool.open(later)
    assert "second" in left
    assert "second" not in left.configured
    assert left.recover() == 1
    assert audit(later, left).in_flight == 1
    old = put_old(left, "second", 7 * 3600)
    reaper = Reaper(later, left)
    assert reaper.round()["shed: too old"] == 0, "that is for a person to decide"
    reaper.close()
    assert old in left["second"].ids()


def test_what_cant_be_logged_is_not_thrown_away(config: Config, spool: Spool) -> None:
    """The log's disk is full for two rounds; then what is old is shed, and nothing is left in a hand."""
    put_old(spool, "first", 7 * 3600)
    reaper = Reaper(config, spool)
    full = OSError(28, "No space left on device")
    for _ in range(2):
        with mock.patch.object(spool.log, "shed", side_effect=full), pytest.raises(OSError, match="No space"):
            reaper.round()
        assert spool["first"].stats()[:2] == (1, 0), "waiting, not claimed"
    assert reaper.round()["shed: too old"] == 1
    with mock.patch.object(spool.log, "purged", side_effect=full):
        kept = spool.put("first", Envelope(), b"one")
        with pytest.raises(OSError, match="No space"):
            purge(spool, ["first"], "by command")
    assert spool["first"].waiting() == [f"{kept}.0"], "uncharged"
    reaper.close()


def test_a_spool_that_somebody_else_prepared_is_refused(config: Config, tmp_path: Path) -> None:
    """Everybody may write to /dev/shm: whoever made our directory there first could read all our mail."""
    shared = tmp_path / "shm"
    shared.mkdir()
    shared.chmod(0o1777)
    Spool.open(in_place(config, shared / "ours")).close()
    theirs = shared / "theirs"
    theirs.mkdir()
    theirs.chmod(0o777)
    (shared / "link").symlink_to(tmp_path)
    for place in (theirs, shared / "link"):
        with pytest.raises(OSError, match=r"belongs to another user or is writable|not a directory"):
            Spool.open(in_place(config, place))
        assert not (place / "tmp").exists()
