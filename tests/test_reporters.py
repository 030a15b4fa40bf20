"""A whole trap that tells others, one of whom is killed: nothing is lost, nothing told twice, no name leaves.

With all reporters and real counterparts, and for as long as one likes, this is bench/reporters.py.
"""

from pathlib import Path

from counterparts import everybody
from reporterskit import Stand
from support import eventually

MAIL = (
    "Received: from x by mx.trap-host.example for <joe.doe%d@hidden-trap.example>;\r\n"
    "\tTue, 3 Nov 2026 09:00:00 +0000\r\n"
    "To: joe.doe%d@hidden-trap.example\r\nSubject: Offer %s\r\n\r\n"
    "Dear joe.doe%d@hidden-trap.example, %s: http://shop.example/?u=%%6Aoe.doe%d\r\n"
)
WORDS = ["watches for the winter", "a loan without papers", "your parcel waits", "medicine by night mail"]


def test_a_counterpart_that_is_killed_costs_no_report(tmp_path: Path) -> None:
    files = []
    for number, words in enumerate(WORDS):
        files.append(tmp_path / f"{number}.eml")
        text = MAIL % (number, number, words, number, " ".join([words] * 20), number)
        files[-1].write_bytes(text.encode())
    (tmp_path / "parts").mkdir()
    (tmp_path / "trap").mkdir()
    with everybody(tmp_path / "parts", ["webhook", "misp"]) as parts:
        hook, _ = parts
        stand = Stand(tmp_path / "trap", parts, files, gather="0s")
        stand.trap.start()
        try:
            hook.kill()
            assert stand.feed() == len(files)
            eventually(lambda: stand.told()["misp"]["sent"] == len(files), 30, "the others are told")
            assert not stand.told()["webhook"]["sent"]
            hook.start()
            stand.settled(30)
        finally:
            stand.trap.stop()
        accounts = stand.accounts()
        assert [account.states for account in accounts] == [{"sent": len(files)}] * 2
        assert all(account.good for account in accounts)
        assert stand.leaks() == []
