"""The browser as somebody uses it: keys pressed, and what stands on the screen then."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from archived import job, mail, mixed_message
from archivekit import config_at, fill
from browsekit import TINY, WIDE, reader

from trap.archive.index import index_files
from trap.archive.indexer import rebuild
from trap.archive.store import segments
from trap.browse import roll as rolls
from trap.browse import window
from trap.browse.dialogs import Counts, FileName, Help, Question
from trap.config import Config
from trap.envelope import Rcpt
from trap.job import Job

TRAP = "pristine.trap.17@canary.example"
EVIL = "[red]Win[/red] [@click=app.quit]now[/] \x1b]0;owned\x07 \x1b[2J in\u202evoice\u0301\u0301\u0301 [/"
COUNT = 27


def hostile() -> bytes:
    """Whatever a terminal or a markup language might obey, wherever it may stand."""
    return (
        f"From: {EVIL} <evil@[bold]a.example>\r\nTo: <{TRAP}>\r\nSubject: {EVIL}\r\n"
        f"X-{EVIL[:4]}: {EVIL}\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{EVIL} http://evil.example/[b]x\r\n"
        f'--b\r\nContent-Type: text/html\r\n\r\n<a href="http://evil.example/{EVIL}">http://good.example</a>\r\n'
        f'--b\r\nContent-Type: a/b; name="{EVIL}"\r\n\r\nMZ\r\n--b--\r\n'
    ).encode()


def jobs() -> list[Job]:
    made = [job(number) for number in range(COUNT)]
    for number, each in enumerate(made[:4]):
        each.notes = {"dedup": {"campaign": "0000000000f7", "count": number + 1}}
    made.append(job(COUNT, message=hostile(), helo=EVIL, mail_from="evil@a.example"))
    made.append(job(COUNT + 1, message=mixed_message(7), rcpts=[Rcpt(address=TRAP, tag="old list")]))
    made.append(
        job(COUNT + 2, message=mail(1, f"for {TRAP}", f"Unsubscribe {TRAP} here"), rcpts=[Rcpt(address=TRAP)])
    )
    return made


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = config_at(tmp_path_factory.mktemp("browse"))
    config.paths.state.mkdir()
    fill(config, jobs())
    return config


async def test_newest_first_and_read(full: Config) -> None:
    async with reader(full) as me:
        assert me.roll.rows[-1].subject == "offer number 0"
        await me.until(lambda: f"{COUNT + 3} messages" in me.screen)
        assert "192.0.2.7" in me.screen
        await me.press("j", "enter")
        await me.read("Überweisung")
        assert "Bitte prüfen Sie Ihr Konto." in me.screen
        assert "Jörg <j@b.example>" in me.screen
        await me.press("escape")
        await me.until(lambda: "192.0.2.7" in me.screen and "offer number" in me.screen)


async def test_every_message_once_as_one_scrolls(full: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "PAGE", 7)
    monkeypatch.setattr(window, "MOST", 21)
    monkeypatch.setattr(rolls, "NEAR", 3)
    async with reader(full) as me:
        seen = [me.roll.row.id]
        while len(seen) < COUNT + 3:
            await me.press("j")
            await me.until(lambda: me.roll.row and me.roll.row.id != seen[-1])
            seen.append(me.roll.row.id)
            await me.until(lambda: me.roll.at < len(me.roll.rows) - 1 or len(seen) == COUNT + 3)
        assert len(set(seen)) == COUNT + 3
        assert seen == sorted(seen, reverse=True)
        assert len(me.roll.rows) <= 21
        back = [me.roll.row.id]
        while len(back) < COUNT + 3:
            await me.press("k")
            await me.until(lambda: me.roll.row and me.roll.row.id != back[-1])
            back.append(me.roll.row.id)
            await me.until(lambda: me.roll.at > 0 or len(back) == COUNT + 3)
        assert back == seen[::-1]


async def test_the_ends_of_the_list(full: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "PAGE", 7)
    async with reader(full) as me:
        newest = me.roll.row.id
        await me.press("G")
        await me.until(lambda: me.roll.row.subject == "offer number 0")
        await me.press("g")
        await me.until(lambda: me.roll.row.id == newest)
        await me.press("space", "pageup")
        await me.until(lambda: me.roll.row.id == newest)


async def test_search_and_back(full: Config) -> None:
    async with reader(full) as me:
        await me.press("j", "j", "j", "j")
        was = me.roll.row.id
        await me.search('subject:"number 7"')
        await me.until(lambda: me.subjects == ["offer number 7"])
        await me.until(lambda: "1 message" in me.screen)
        await me.search("nothingtobefound")
        await me.until(lambda: "No message is like this" in me.screen)
        await me.press("escape")
        await me.until(lambda: me.subjects == ["offer number 7"])
        await me.press("escape")
        await me.until(lambda: me.roll.row and me.roll.row.id == was)


async def test_a_mistake_is_shown_where_it_is(full: Config) -> None:
    async with reader(full) as me:
        before = me.subjects
        await me.search("prize form:joe")
        await me.until(lambda: "no field 'form:'; did you mean from:?" in me.screen)
        assert me.subjects == before
        await me.press("backspace")
        await me.until(lambda: "did you mean" not in me.screen)
        await me.press("escape")
        assert me.app.focused is me.roll


async def test_a_query_on_the_command_line(full: Config) -> None:
    async with reader(full, query="subject:Überweisung") as me:
        assert len(me.roll.rows) == 1
        assert "subject:Überweisung" in me.screen


async def test_all_sheets(full: Config) -> None:
    async with reader(full) as me:
        await me.press("j", "enter")
        await me.read("Überweisung")
        wanted = {
            "l": "hxxp://login[.]c[.]example/x",
            "a": "invoice7.pdf",
            "w": "seen by us",
            "s": "RCPT TO",
            "h": "MIME-Version: 1.0",
            "r": "    1 From: =?utf-8?q?J=C3=B6rg?= <j@b.example>",
            "t": "Bitte prüfen",
        }
        for key, text in wanted.items():
            await me.press(key)
            await me.until(lambda text=text: text in me.sheet)
        await me.press("left")
        await me.until(lambda: "    1 From:" in me.sheet)


async def test_next_and_previous_while_reading(full: Config) -> None:
    async with reader(full) as me:
        await me.press("enter")
        await me.read("for ")
        await me.press("n")
        await me.read("Überweisung")
        await me.press("p")
        await me.read("for ")


@pytest.mark.parametrize("size", [(80, 24), WIDE, TINY])
async def test_hostile_mail_is_only_shown(full: Config, size: tuple[int, int]) -> None:
    async with reader(full, size, query="from:evil@a.example") as me:
        await me.press("enter")
        await me.read("Win")
        for key in "tlawshr":
            await me.press(key)
            await me.until(lambda: me.sheet)
            for text in (me.screen, me.sheet):
                assert all(character.isprintable() or character == "\n" for character in text)
            if key in "tshr":
                assert "[red]Win[/red]" in me.sheet
        await me.press("t")
        await me.until(lambda: "hxxp://evil[.]example" in me.sheet)
        await me.press("f")
        await me.until(lambda: isinstance(me.app.screen, Counts))


async def test_identities_are_masked_until_one_asks_and_that_is_remembered(full: Config) -> None:
    log = full.paths.state / "acts.log"
    log.unlink(missing_ok=True)
    async with reader(full, WIDE) as me:
        await me.read("for ")
        for key in "tlawshr":
            await me.press(key)
            await me.until(lambda: me.sheet)
            assert TRAP not in me.screen + me.sheet
            assert "canary" not in me.screen + me.sheet
        assert "for •••" in me.screen
        await me.press("t", "m", "n")
        assert not log.exists()
        await me.press("m")
        await me.until(lambda: isinstance(me.app.screen, Question))
        await me.press("y")
        await me.until(lambda: TRAP in me.sheet and "identities shown" in me.screen)
        [line] = log.read_text().splitlines()
        assert json.loads(line)["user"] == "joe"
        await me.press("m")
        await me.until(lambda: TRAP not in me.sheet and TRAP not in me.screen)


async def test_what_cannot_be_written_down_is_not_shown(full: Config, tmp_path: Path) -> None:
    config = config_at(tmp_path)
    shutil.copytree(full.paths.archive, config.paths.archive)
    async with reader(config) as me:
        await me.press("m", "y")
        await me.until(lambda: "nothing is shown" in me.told)
        assert "masked" in me.screen


async def test_export(full: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with reader(full) as me:
        name = f"{me.roll.row.id}.eml"
        (tmp_path / name).write_bytes(b"mine")
        await me.press("e")
        await me.until(lambda: isinstance(me.app.screen, Question))
        await me.press("y")
        await me.until(lambda: isinstance(me.app.screen, FileName))
        await me.press("enter")
        await me.until(lambda: "is not written over" in me.screen)
        assert (tmp_path / name).read_bytes() == b"mine"
        await me.press("2", "enter")
        await me.until((tmp_path / f"{name}2").exists)
        assert (tmp_path / f"{name}2").read_bytes() == jobs()[-1].message
        await me.until(lambda: not isinstance(me.app.screen, FileName))


async def test_campaign(full: Config) -> None:
    async with reader(full) as me:
        await me.press("c")
        await me.until(lambda: "belongs to no campaign" in me.told)
        await me.press("G")
        await me.until(lambda: me.roll.row.subject == "offer number 0")
        await me.press("c")
        await me.until(lambda: me.subjects == [f"offer number {number}" for number in (3, 2, 1, 0)])
        assert me.roll.row.subject == "offer number 0"


async def test_narrow_by_counts(full: Config) -> None:
    async with reader(full) as me:
        await me.press("f")
        await me.until(lambda: isinstance(me.app.screen, Counts))
        assert "a.example" in me.screen
        while "tag" not in str(me.app.screen.query_one("OptionList").highlighted_option.prompt):
            await me.press("j")
            if "old list" in str(me.app.screen.query_one("OptionList").highlighted_option.prompt):
                break
        await me.press("enter")
        await me.until(lambda: me.subjects == ["Überweisung"])
        assert 'tag:"old list"' in me.screen


async def test_our_domains_are_masked_among_the_counts(tmp_path: Path) -> None:
    """Probes and forged senders name the recipient's own domain."""
    config = config_at(tmp_path)
    config.paths.state.mkdir()
    forged = mail(1).replace(b"joe@a.example", b"boss@own-trap.example")
    fill(config, [job(n, message=forged, rcpts=[Rcpt(address="x@own-trap.example")]) for n in range(3)])
    async with reader(config, WIDE) as me:
        await me.press("f")
        await me.until(lambda: isinstance(me.app.screen, Counts) and "•••" in me.screen)
        assert "own-trap" not in me.screen
        await me.press("escape", "m", "y", "f")
        await me.until(lambda: isinstance(me.app.screen, Counts) and "own-trap.example" in me.screen)


async def test_keys_are_shown(full: Config) -> None:
    async with reader(full) as me:
        await me.press("question_mark")
        await me.until(lambda: isinstance(me.app.screen, Help) and "next, previous message" in me.screen)
        await me.press("j", "k", "escape")
        await me.until(lambda: not isinstance(me.app.screen, Help))


async def test_the_terminal_changes_its_size(full: Config) -> None:
    async with reader(full, TINY) as me:
        await me.press("j", "enter")
        await me.read("Überweisung")
        assert "Bitte prüfen Sie Ihr Konto." in me.screen
        assert all(len(line) <= 40 for line in me.screen.split("\n"))
        await me.resize(*WIDE)
        await me.until(lambda: "Bitte prüfen" in me.screen and "offer number 20" in me.screen)
        await me.resize(20, 5)
        await me.resize(*TINY)
        await me.until(lambda: "Bitte prüfen" in me.screen)


async def test_an_archive_without_mail(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    async with reader(config, empty=True) as me:
        await me.until(lambda: "Nothing was archived yet" in me.screen)
        await me.press("enter", "j", "G", "n", "e", "c", "f", "escape")
        fill(config, [job(1)])
        await me.press("u")
        await me.until(lambda: me.subjects == ["offer number 1"])


async def test_new_mail_is_told(full: Config, tmp_path: Path) -> None:
    config = config_at(tmp_path)
    fill(config, [job(1)])
    async with reader(config, WIDE) as me:
        fill(config, [job(2)])
        me.app._main._look()
        await me.until(lambda: "new mail: u" in me.screen)
        await me.press("u")
        await me.until(lambda: len(me.roll.rows) == 2)


async def test_a_damaged_index_and_a_new_one(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    fill(config, [job(1)])
    [index] = index_files(config.paths.archive)
    with sqlite3.connect(index) as db:
        db.execute("PRAGMA user_version = 1")
    db.close()
    async with reader(config, empty=True) as me:
        await me.until(lambda: "spamtrap archive reindex" in me.screen)
        rebuild(config.paths.archive)
        await me.press("u")
        await me.until(lambda: me.subjects == ["offer number 1"])
        rebuild(config.paths.archive)
        await me.press("enter")
        await me.read("offer number 1")


async def test_a_message_that_is_gone_meanwhile(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    fill(config, [job(1)])
    async with reader(config) as me:
        [segment] = segments(config.paths.archive)
        segment.unlink()
        await me.press("enter")
        await me.until(lambda: "This message was dropped" in me.screen)


async def test_light_and_dark(full: Config) -> None:
    async with reader(full) as me:
        assert me.app.current_theme.dark
        await me.press("d")
        await me.until(lambda: not me.app.current_theme.dark)
        assert "Überweisung" in me.screen
