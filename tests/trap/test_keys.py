"""The trap's secret: made once, private, and a different key for every purpose."""

import os
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from trap import keys


def test_the_key_is_the_same_every_time_and_another_for_each_purpose(tmp_path):
    state = tmp_path / "state"
    assert keys.key(state, "auth") == keys.key(state, "auth")
    assert keys.key(state, "auth") != keys.key(state, "unknown")
    assert keys.key(state, "auth") != keys.key(tmp_path / "other", "auth")


def test_the_secret_is_for_its_owner_only_and_leaves_nothing_beside_it(tmp_path):
    keys.key(tmp_path, "auth", (os.getuid(), os.getgid()))
    assert stat.S_IMODE((tmp_path / keys.NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [keys.NAME]


def test_processes_that_come_at_once_agree(tmp_path):
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        made = set(pool.map(keys.key, [tmp_path / "state"] * 32, ["auth"] * 32))
    assert len(made) == 1
    assert len(list((tmp_path / "state").iterdir())) == 1


def test_who_comes_second_takes_what_is_there(tmp_path):
    first = keys.key(tmp_path, "auth")
    keys._make(tmp_path / keys.NAME, None)
    assert keys.key(tmp_path, "auth") == first


def test_a_secret_that_was_cut_is_an_error(tmp_path):
    (tmp_path / keys.NAME).write_bytes(b"short")
    with pytest.raises(OSError, match="remove it for a new one"):
        keys.key(tmp_path, "auth")


def test_where_none_can_be_made_it_is_an_error(tmp_path):
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(OSError, match="state"):
        keys.key(tmp_path / "state", "auth")
