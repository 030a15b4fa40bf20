"""The site: what it opened it closes."""

import os
from pathlib import Path

from archived import job
from webkit import config_at, fill, visitor


def test_no_file_stays_open(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    jobs = [job(number) for number in range(5)]
    fill(config, jobs)

    def look() -> int:
        with visitor(config) as me:
            for page in (
                "/",
                "/messages",
                f"/messages/{jobs[0].id}",
                "/campaigns",
                "/queues",
                "/api/v1/messages",
            ):
                assert me.get(page).status_code == 200
        held = (os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.exists())
        return sum(str(tmp_path) in name for name in held)

    assert look() == look() == 0
