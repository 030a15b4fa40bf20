"""What people did is written down, bounded, and fit for any reader."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trap import acts


def test_one_line_an_act(tmp_path: Path) -> None:
    acts.record(tmp_path, "joe", "purged", queue="dedup\r\n{}", jobs=3)
    acts.record(tmp_path, "local", "identities shown", client="127.0.0.1")
    first, second = map(json.loads, (tmp_path / acts.NAME).read_text().splitlines())
    assert first["user"] == "joe"
    assert first["jobs"] == 3
    assert first["queue"] == "dedup\\x0d\\x0a{}"
    assert second["act"] == "identities shown"


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "FILE_BYTES", 1000)
    for number in range(100):
        acts.record(tmp_path, "joe", "requeued", job=number)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [acts.NAME, acts.NAME + ".1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2500


def test_what_cannot_be_written_down_is_not_done(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        acts.record(tmp_path / "gone", "joe", "identities shown")


def test_many_writers_lose_nothing_but_what_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "FILE_BYTES", 20_000)
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(acts.record, tmp_path, "joe", "requeued", job=n) for n in range(1000)]
        assert not [each for each in done if each.exception()]
    files = [path for path in (tmp_path / acts.NAME, tmp_path / (acts.NAME + ".1")) if path.exists()]
    kept = [json.loads(line)["job"] for path in files for line in path.read_text().splitlines()]
    assert files[-1].stat().st_size > 20_000, "only a full one makes room"
    assert len(kept) == len(set(kept))
