"""viewer: children that read hostile mail, each within limits."""

import asyncio
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import pyzipper
from archived import mixed_message
from bombs import BOMBS, TEXT, mixed
from support import SOON, at_most, eventually, every

from trap.archive.record import Record
from trap.envelope import Envelope, Rcpt
from trap.job import new_id
from trap.view import lane
from trap.view.view import SECTIONS, View
from trap.view.viewer import Unviewable, Viewer

COST = 2.0
"""Seconds of a processor that any message may cost."""


def record(message: bytes) -> Record:
    envelope = Envelope(
        client_ip="203.0.113.9", helo="mail.b.example", rcpts=[Rcpt(address="trap@trap.example")]
    )
    return Record(new_id(), hashlib.sha256(message).digest(), envelope, {}, message)


def look(viewer: Viewer, mail: Record) -> View:
    """View a message in an event loop of its own: what asks may run in one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(viewer.view(mail))).result()


def begin(viewer: Viewer) -> None:
    """Wait until the children have started, the one for downloads too."""
    eventually(
        lambda: all(
            not asyncio.run(viewer.view(record(TEXT), aside=aside)).missing for aside in (False, False, True)
        )
    )


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    with closing(Viewer()) as made:
        begin(made)
        yield made


@pytest.fixture(scope="module")
def patient() -> Iterator[Viewer]:
    """A viewer that has the time to show all there is, however much else the machine has to do."""
    with closing(Viewer(seconds=60)) as made:
        begin(made)
        yield made


def test_all_there_is_to_see(viewer: Viewer) -> None:
    view = look(viewer, record(mixed_message(1)))
    assert [field.name for field in view.headers][:3] == ["From", "To", "Subject"]
    assert view.headers[2].value == "Überweisung"
    assert view.hops[-1].ip == "203.0.113.9"
    assert [part.type for part in view.parts] == [
        "multipart/mixed",
        "text/plain",
        "text/html",
        "application/pdf",
    ]
    assert view.text.strip() == "Bitte prüfen Sie Ihr Konto."
    assert "hxxp://login[.]c[.]example/x" in view.html
    assert [url.defanged for url in view.urls] == ["hxxp://login[.]c[.]example/x"]
    file = view.parts[3]
    assert file.name == "invoice1.pdf"
    assert file.sniffed == "image/png"
    assert len(file.sha256) == 64
    assert view.addresses[0].address == "j@b.example"
    assert view.missing == []


async def test_the_same_from_an_event_loop_many_at_once(viewer: Viewer) -> None:
    views = await asyncio.gather(*(viewer.view(record(mixed_message(n))) for n in range(20)))
    assert [view.parts[3].name for view in views] == [f"invoice{n}.pdf" for n in range(20)]
    part = await viewer.part(record(mixed_message(1)), 3)
    assert part.data.startswith(b"\x89PNG")
    assert part.sha256 == hashlib.sha256(part.data).hexdigest()
    assert (await viewer.difference(record(TEXT), record(TEXT)))[0].kind == "same"


async def test_a_part_without_a_name_gets_one(viewer: Viewer) -> None:
    part = await viewer.part(record(mixed(TEXT)), 1)
    assert (part.name, part.data) == ("part-1.txt", b"hello there\r\n")


@pytest.mark.parametrize("number", [-1, 2, 10**9])
async def test_there_is_no_part_beyond_the_last(viewer: Viewer, number: int) -> None:
    with pytest.raises(LookupError):
        await viewer.part(record(mixed(TEXT)), number)
    with pytest.raises(LookupError):
        await viewer.packed(record(mixed(TEXT)), number)


async def test_what_may_be_malware_is_packed_with_the_password_of_old(viewer: Viewer) -> None:
    mail = record(mixed_message(1))
    for number, name, size in ((None, f"{mail.id}.eml", len(mail.message)), (3, "invoice1.pdf", None)):
        with pyzipper.AESZipFile(io.BytesIO(await viewer.packed(mail, number))) as archive:
            assert archive.namelist() == [name]
            with pytest.raises(RuntimeError):
                archive.read(name)
            data = archive.read(name, pwd=b"infected")
            assert size in (None, len(data))


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little(patient: Viewer, name: str) -> None:
    """Though nobody stops its reader."""
    bomb = record(BOMBS[name]())
    with at_most(COST, name):
        view = look(patient, bomb)
    assert view.headers
    assert view.hops
    assert "headers" not in view.missing


@pytest.mark.parametrize(
    ("kind", "step"), [("malformed", 1), ("phish", 2), ("spam", 8), ("bounce", 8), ("ham", 16)]
)
def test_all_of_the_corpus_can_be_seen(patient: Viewer, corpus: Path, kind: str, step: int) -> None:
    def see(path: Path) -> None:
        mail = record(path.read_bytes())
        with at_most(COST, path):  # of the two that are read at the same time
            view = look(patient, mail)
        assert not view.missing, path

    with ThreadPoolExecutor(2) as readers:
        assert not any(readers.map(see, every((corpus / kind).iterdir(), step)))


HANGING = """
import sys, time
from trap.view import child, reading

def hang():
    while True:
        pass

sections = reading.sections
def slow(source, message, images):
    for name, work in sections(source, message, images):
        yield name, hang if name == "text" and b"hang" in message else work

reading.sections = slow
child.main()
"""


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Viewer]:
    """A viewer with one child, which hangs at the text of a message that says so."""
    popen = subprocess.Popen

    def start(command: list[str], **how: object) -> object:
        return popen([sys.executable, "-c", HANGING, *command[-2:]], **how)  # type: ignore[call-overload]

    monkeypatch.setattr(lane.subprocess, "Popen", start)
    with closing(Viewer(processes=1, seconds=1.0)) as made:
        begin(made)
        yield made


def test_of_a_message_that_takes_too_long_what_was_ready_is_shown(hanging: Viewer) -> None:
    began = time.monotonic()
    view = look(hanging, record(b"Subject: hang\r\n\r\n"))
    assert time.monotonic() - began < SOON
    assert view.headers[0].value == "hang"
    assert view.hops
    assert view.missing == ["text", "html", "urls", "hashes"]


async def test_its_child_is_replaced_and_those_in_the_queue_are_answered_too(hanging: Viewer) -> None:
    began = time.monotonic()
    views = await asyncio.gather(*(hanging.view(record(b"Subject: hang\r\n\r\n")) for _ in range(30)))
    assert time.monotonic() - began < SOON
    assert views[-1].missing == list(SECTIONS)
    eventually(lambda: not look(hanging, record(b"Subject: fine\r\n\r\n")).missing)


async def test_too_many_at_once_are_told_so(hanging: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    many = lane.MAX_WAITING + 5
    views = await asyncio.gather(*(hanging.view(record(b"Subject: hang\r\n\r\n")) for _ in range(many)))
    assert "too many messages are being read at the same time" in views[-1].defects
    with pytest.raises(Unviewable):
        await asyncio.gather(*(hanging.part(record(b""), 0) for _ in range(10 * many)))


def children() -> set[int]:
    listed = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True, check=False
    )
    return {int(line.split()[0]) for line in listed.stdout.splitlines() if "trap.view.child" in line}


def test_a_child_that_dies_is_replaced(viewer: Viewer) -> None:
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not look(viewer, record(TEXT)).missing)
    assert asyncio.run(viewer.part(record(TEXT), 0)).data


async def test_who_comes_too_late_costs_no_child(hanging: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty messages that hang, and one among them that does not: all are answered, then all is well."""
    mails = [record(b"Subject: hang\r\n\r\n") for _ in range(40)]
    plain = record(b"Subject: fine\r\n\r\n")
    begun: list[None] = []
    start = lane.Child.__init__
    monkeypatch.setattr(lane.Child, "__init__", lambda *what: begun.append(start(*what)))
    began = time.monotonic()
    views = await asyncio.gather(*map(hanging.view, [*mails, plain]))
    assert time.monotonic() - began < SOON
    assert views[0].headers and views[0].missing
    assert views[-1].missing == list(SECTIONS)
    assert len(begun) <= 2
    eventually(lambda: not look(hanging, plain).missing)


async def test_a_child_that_still_begins_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a machine with too much to do would start children for ever."""
    popen = subprocess.Popen
    late = "import time; time.sleep(1); from trap.view import child; child.main()"
    started = []

    def start(command: list[str], **how: object) -> object:
        started.append(command)
        return popen([sys.executable, "-c", late, *command[-2:]], **how)  # type: ignore[call-overload]

    monkeypatch.setattr(lane.subprocess, "Popen", start)
    with closing(Viewer(processes=1, seconds=0.5)) as made:
        assert (await made.view(record(TEXT))).missing == list(SECTIONS)
        eventually(lambda: not look(made, record(TEXT)).missing)
        assert len(started) == 1


async def test_whose_child_is_stuck_waits_no_longer_than_its_time(
    hanging: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes to end a child and start another one."""
    start, enough = lane.Child.__init__, threading.Event()

    def slowly(child: lane.Child, memory: int) -> None:
        enough.wait(30)
        start(child, memory)

    monkeypatch.setattr(lane.Child, "__init__", slowly)
    began = time.monotonic()
    view = await hanging.view(record(b"Subject: hang\r\n\r\n"))
    enough.set()
    assert time.monotonic() - began < SOON
    assert view.headers[0].value == "hang"
    assert view.missing == ["text", "html", "urls", "hashes"]


async def test_a_download_holds_up_no_reader(viewer: Viewer) -> None:
    head = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    big = record(head + (b"QUFB" * 19 + b"\r\n") * 500_000)
    downloads = [asyncio.ensure_future(viewer.packed(big)) for _ in range(4)]
    for _ in range(5):
        assert not (await viewer.view(record(TEXT))).missing
    assert not all(download.done() for download in downloads)
    for download in downloads:
        download.cancel()


async def test_what_nobody_waits_for_is_read_where_downloads_are(hanging: Viewer) -> None:
    stuck = asyncio.ensure_future(hanging.view(record(b"Subject: hang\r\n\r\n"), aside=True))
    await asyncio.sleep(0.1)
    assert not (await hanging.view(record(b"Subject: fine\r\n\r\n"))).missing
    assert "text" in (await stuck).missing


def test_children_end_with_the_viewer() -> None:
    before = children()
    with closing(Viewer(processes=3)) as made:
        look(made, record(TEXT))
        assert len(children() - before) == 3
    assert not children() - before


PARENT = """
import time
from trap.view.viewer import Viewer
viewer = Viewer(processes=1, memory=(1 << 28) + 1)
print("ready", flush=True)
time.sleep(60)
"""


def test_they_end_with_a_viewer_that_was_killed_too() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"ready\n"
        parent.kill()

    def alive() -> str:
        return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout

    eventually(lambda: f"{(1 << 28) + 1}" not in alive())


def test_a_child_may_do_nothing_but_read() -> None:
    with closing(Viewer(processes=1, memory=1 << 28)) as made:
        before = children()
        look(made, record(TEXT))
        (pid,) = [pid for pid in before if f"{1 << 28}" in Path(f"/proc/{pid}/cmdline").read_text()]
        limits = {
            line[:26].strip(): line[26:].split()[0]
            for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
        }
    assert limits["Max address space"] == f"{1 << 28}"
    assert limits["Max core file size"] == "0"
    assert limits["Max file size"] == "0"
    assert limits["Max processes"] == "0"
    assert int(limits["Max cpu time"]) < 60


def test_a_message_too_large_for_its_memory_costs_no_more_than_itself() -> None:
    with closing(Viewer(processes=1, memory=1 << 28)) as made:
        view = look(made, record(BOMBS["100 MB of base64"]() * 3))
        assert view.missing
        eventually(lambda: not look(made, record(TEXT)).missing)


def test_a_child_runs_our_code_and_can_open_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a module that lies where the server was started, and no file once it reads mail."""
    for name in ("msgspec", "nh3", "codecs"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "of the server")
    with closing(Viewer(processes=1)) as viewer:
        assert look(
            viewer, record(b"Subject: x\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\n\xf0\xf2")
        ).text
        child = viewer._first._idle.queue[0]._process.pid
        limits = Path(f"/proc/{child}/limits").read_text()
        assert re.search(r"Max open files +4 +4 ", limits)
        assert "NoNewPrivs:\t1" in Path(f"/proc/{child}/status").read_text()
        if os.geteuid() == 0:
            assert b"SECRET" not in Path(f"/proc/{child}/environ").read_bytes()
    assert not (tmp_path / "ran").exists()
