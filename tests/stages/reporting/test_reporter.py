"""What all reporters share: one report a campaign, recipient and period, whatever the counterpart does."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.dcc import Dcc
from stages.pyzor import Pyzor
from stages.razor import Razor
from stages.reporting.case import Case, Letter
from stages.reporting.reporter import Reporter
from stages.reporting.terms import Terms
from trap.backend import Broken
from trap.config import Accept, Config, Duration, Tagged, paths_below
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.place import Place
from trap.reports import Book, Later, Refused, Report, Sending
from trap.stage import Pass, Unavailable

TRAP = "joe.doe@trap.example"
SPAM = b"To: joe.doe@trap.example\r\nSubject: cheap pills\r\n\r\nDear joe.doe, buy cheap pills!\r\n"
NOW = Terms(gather=Duration(0))

Act = Callable[[Letter, Sending], str]


class Told(Reporter):
    """Tells whoever it is told to, and remembers what; `acts` are what happens, one after the other."""

    def __init__(
        self, place: Place, terms: Terms = NOW, to: tuple[str, ...] = ("abuse@isp.example",)
    ) -> None:
        super().__init__(place, terms)
        self.to = to
        self.acts: list[Act] = []
        self.letters: list[Letter] = []
        self.leak = b""

    async def recipients(self, job: Job) -> list[str]:
        return list(self.to)

    def compose(self, case: Case, to: str) -> bytes:
        return b"Weight: %d\r\n\r\n" % case.weight + case.message + self.leak

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        if self.acts:
            return self.acts.pop(0)(letter, sending)
        sending.commit()
        self.letters.append(letter)
        return "250 ok"

    async def retract(self, letter: Letter, sending: Sending) -> str:
        self.letters.remove(next(each for each in self.letters if each.id == letter.id))
        return "forgotten"


class Summed(Told):
    """Tells check sums of the original."""

    original = True


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        accept=Accept(domains={"trap.example": Tagged()}),
        paths=paths_below(tmp_path),
        pipeline=["dedup", "told"],
    )


@pytest.fixture
def told(config: Config):
    stage = Told(Place(config, "told"))
    yield stage
    stage.close()


def job(message: bytes = SPAM, tag: str = "", to: str = TRAP, **notes: Any) -> Job:
    envelope = Envelope(
        client_ip="198.51.100.7", mail_from="x@spam.example", rcpts=[Rcpt(address=to, tag=tag)]
    )
    made = Job.from_message(message, envelope)
    return Job(made.id, envelope, notes, message)


def copies(number: int) -> dict[str, Any]:
    return {"campaign": "c0ffee", "count": number, "window_count": 1}


def run(stage: Reporter, *jobs: Job, finish: bool = True) -> list[Any]:
    """What the worker does: each job, and a tick; then what is under way comes to its end."""

    async def work() -> list[Any]:
        verdicts = [await stage.process(each) for each in jobs]
        stage.tick()
        while stage._flying:
            await asyncio.wait(stage._flying.values())
        if finish:
            await stage.finish()
            stage._stopping = False
        return verdicts

    return asyncio.run(work())


def reports(stage: Reporter) -> list[Report]:
    return stage._book.reports()


def state(stage: Reporter) -> str:
    (report,) = reports(stage)
    return report.state


def act(error: Exception, *, commit: bool) -> Act:
    """The counterpart does this, before or after the last byte."""

    def happens(letter: Letter, sending: Sending) -> str:
        if commit:
            sending.commit()
        raise error

    return happens


def test_a_message_is_told_and_names_nobody(told: Told):
    (verdict,) = run(told, job())
    assert isinstance(verdict, Pass)
    assert state(told) == "sent"
    (letter,) = told.letters
    assert b"cheap pills" in letter.text
    assert b"joe" not in letter.text
    assert b"trap.example" not in letter.text
    assert len(letter.case.message) == len(SPAM)
    assert told._book.text(reports(told)[0].id) == letter.text


def test_what_a_reporter_composes_of_is_redacted(told: Told):
    run(told, job(extract={"urls": [f"http://spam.example/?to={TRAP}"], "hits": {TRAP: 1}}))
    case = told.letters[0].case
    assert case.envelope.rcpts == []
    assert (case.envelope.server_ip, case.envelope.client_ip) == ("", "198.51.100.7")
    assert TRAP not in str(case.notes)
    assert case.notes["extract"]["urls"][0].startswith("http://spam.example/")
    assert "hits" not in case.notes["extract"]
    assert TRAP not in case.hide(f"VERP bounce-{TRAP.replace('@', '=')}")


def test_two_recipients_can_not_join_what_they_are_told(config: Config):
    stage = Told(Place(config, "told"), to=("a@isp.example", "b@isp.example"))
    run(stage, job(dedup=copies(1)))
    one, other = stage.letters
    assert one.case.campaign != other.case.campaign
    assert one.id != other.id
    assert one.case.message != other.case.message
    stage.close()


def test_a_campaign_is_told_once_with_its_weight(config: Config):
    stage = Told(Place(config, "told"), Terms(gather=Duration(0.2)))
    run(stage, *(job(dedup=copies(number)) for number in (1, 2, 700)))
    assert stage.letters == []  # it waits for more
    time.sleep(0.35)
    run(stage)
    assert [letter.weight for letter in stage.letters] == [700]
    run(stage, job(dedup=copies(701)))
    assert len(stage.letters) == 1
    stage.close()


def test_the_same_job_again_after_a_crash_is_told_once(told: Told):
    same = job()
    run(told, same)
    run(told, same)
    assert len(told.letters) == 1


@pytest.mark.parametrize("error", [ConnectionRefusedError("no"), Broken("hung up"), Unavailable("away")])
def test_nobody_there_costs_time_alone(told: Told, error: Exception, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stages.reporting.outbox.SOON", 0.0)
    told.acts = [act(error, commit=False)]
    run(told, job())
    run(told)
    assert (state(told), len(told.letters), reports(told)[0].attempts) == ("sent", 1, 0)


def test_silence_after_the_last_byte_is_a_doubt_and_never_repeated(told: Told):
    told.acts = [act(Broken("hung up"), commit=True)]
    run(told, job())
    run(told)
    assert (state(told), told.letters) == ("unsure", [])
    assert told._book.release(reports(told)[0].id)  # unless a person says so
    run(told)
    assert (state(told), len(told.letters)) == ("sent", 1)


def test_no_for_now_is_asked_again_later_even_after_the_last_byte(
    told: Told, monkeypatch: pytest.MonkeyPatch
):
    told.acts = [act(Later("451 greylisted"), commit=True)]
    run(told, job())
    (report,) = reports(told)
    assert (report.state, report.word, report.attempts) == ("gathering", "451 greylisted", 1)
    assert 30 < report.due - time.time() <= 60
    run(told)
    assert told.letters == []


def test_no_for_good_is_the_end(told: Told):
    told.acts = [act(Refused("550 go away"), commit=True)]
    run(told, job())
    assert (state(told), reports(told)[0].word) == ("failed", "550 go away")


def test_a_reporter_that_raises_is_tried_three_times(
    told: Told, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    monkeypatch.setattr("stages.reporting.outbox.FIRST_RETRY", 0.0)
    told.acts = [act(KeyError("bug"), commit=False)] * 3
    run(told, job())
    run(told)
    assert (state(told), reports(told)[0].word) == ("failed", "KeyError: 'bug'")


def test_the_gate_holds_what_names_the_trap(told: Told):
    told.leak = b"X-Trap: joe.doe@trap.example\r\n"
    run(told, job())
    (report,) = reports(told)
    assert (report.state, told.letters) == ("held", [])
    assert {each.name for each in told._book.held.evidence(report.id)} & {TRAP, "trap.example", "joe.doe"}
    assert told.leak in told._book.held.text(report.id)
    told._book.release(report.id)
    run(told)
    assert state(told) == "held"  # no person can let a leak pass
    told.leak = b""
    told._book.release(report.id)
    run(told)
    assert state(told) == "sent"


def test_others_go_on_while_a_report_is_composed(told: Told):
    """Redaction of large mail takes seconds, in which conversations with counterparts must not stop."""

    def compose(case: Case, to: str) -> bytes:
        assert beat.wait(10)
        return case.message

    async def work() -> None:
        await told.process(job())
        told.tick()
        await asyncio.sleep(0.01)
        beat.set()
        while told._flying:
            await asyncio.wait(told._flying.values())

    beat = threading.Event()
    told.compose = compose  # type: ignore[method-assign]
    asyncio.run(work())
    assert state(told) == "sent"


def test_poison_waits_for_a_person(told: Told):
    run(told, job(policy={"rules": ["password-reset"], "never_report": True}))
    assert (state(told), told.letters) == ("held", [])
    told._book.release(reports(told)[0].id)
    run(told)
    assert (state(told), len(told.letters)) == ("sent", 1)


def test_what_came_to_a_typo_is_not_told(told: Told):
    (verdict,) = run(told, job(tag="typo"))
    assert verdict.notes == {"left_out": "came to a trap tagged typo"}
    assert reports(told) == []


def test_nobody_to_tell(config: Config):
    stage = Told(Place(config, "told"), to=())
    assert run(stage, job())[0].notes == {"left_out": "nobody to tell"}
    stage.close()


def test_what_is_too_old_is_not_told(config: Config):
    stage = Told(Place(config, "told"), Terms(gather=Duration(0), max_age=Duration(0.1)))
    stage.acts = [act(Later("no"), commit=False)]
    old = job()
    run(stage, old)
    time.sleep(0.15)
    assert run(stage, old)[0].notes == {"left_out": "too old"}
    stage._book.postpone(reports(stage)[0].id, 0.0, "451 later")
    run(stage)
    assert (state(stage), reports(stage)[0].word) == ("failed", "too old: 451 later")
    stage.close()


def test_no_more_than_the_rate(config: Config):
    stage = Told(Place(config, "told"), Terms(gather=Duration(0), rate=3))
    run(stage, *(job() for _ in range(9)))
    assert len(stage.letters) == 3
    stage.close()
    again = Told(Place(config, "told"), Terms(gather=Duration(0), rate=3))
    run(again)
    assert again.letters == []  # a restart changes nothing
    again.close()


def test_a_text_that_one_trap_got_waits_for_another(config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stages.reporting.outbox.FIRST_RETRY", 0.2)
    stage = Told(Place(config, "told"), Terms(gather=Duration(0), min_traps=2))
    run(stage, job(dedup=copies(1)), job(to="Joe.Doe+again@trap.example", dedup=copies(2)))
    assert (state(stage), reports(stage)[0].word) == ("gathering", "came to 1 of at least 2 traps")
    run(stage, job(to="ann@trap.example", dedup=copies(3)))
    time.sleep(0.25)
    run(stage)
    assert [letter.weight for letter in stage.letters] == [3]
    stage.close()


def test_whom_anybody_may_ask_is_told_what_two_traps_got():
    assert [kind.min_traps for kind in (Pyzor, Dcc, Razor, Reporter)] == [2, 2, 2, 1]


def test_one_worker_sends_and_when_it_is_gone_the_next_one_does(config: Config):
    first, second = Told(Place(config, "told")), Told(Place(config, "told"))
    run(first)
    run(second, job())
    assert second.letters == []
    first.close()
    run(second)
    assert len(second.letters) == 1
    second.close()


def test_what_a_killed_worker_had_on_its_way_is_a_doubt(config: Config):
    first = Told(Place(config, "told"))
    first.acts = [lambda letter, sending: sending.commit() or exit_now()]
    with pytest.raises(KeyboardInterrupt):
        run(first, job())
    first.close()
    second = Told(Place(config, "told"))
    run(second)
    assert (state(second), second.letters) == ("unsure", [])
    second.close()


def exit_now() -> str:
    raise KeyboardInterrupt


def test_check_sums_are_of_the_original(config: Config):
    stage = Summed(Place(config, "told"))
    run(stage, job())
    (letter,) = stage.letters
    assert (letter.text, letter.job.message, letter.case) == (b"", SPAM, None)
    assert [copy.message for copy in stage._book.copies(reports(stage)[0].id)] == [SPAM]  # to take it back
    stage.close()


def test_what_was_told_is_taken_back(told: Told):
    run(told, job())
    told._book.retract(reports(told)[0].id)
    run(told)
    assert (state(told), told.letters, reports(told)[0].word) == ("retracted", [], "forgotten")


def test_a_preview_is_what_would_be_sent(told: Told):
    (preview,) = asyncio.run(told.preview(job()))
    assert (preview.to, preview.why_not) == ("abuse@isp.example", "")
    run(told, job())
    assert told.letters[0].text.replace(b"Weight: 1", b"") == preview.text.replace(b"Weight: 1", b"")
    told.leak = TRAP.encode()
    (preview,) = asyncio.run(told.preview(job()))
    assert "plain" in preview.why_not


def test_a_book_with_too_much_waiting_lets_jobs_wait(told: Told, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stages.reporting.reporter.MAX_WAITING", 0)
    with pytest.raises(Unavailable, match="wait already"):
        run(told, job())


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        (Terms(min_traps=0), "min_traps"),
        (Terms(rate=-1), "rate"),
        (Terms(gather=Duration("3d")), "gather"),
        (Terms(keep=Duration("1h")), "keep"),
        (Terms(traps=["spaces in it"]), "traps"),
    ],
)
def test_terms_that_make_no_sense(config: Config, terms: Terms, why: str):
    with pytest.raises(ValueError, match=f"terms: {why}"):
        Told(Place(config, "told"), terms)


def test_a_book_of_another_stage_is_another_file(config: Config):
    stage = Told(Place(config, "arf-b"))
    run(stage, job())
    assert Book.queues(config.paths.state / "reports") == ["arf-b"]
    stage.close()


def test_when_it_comes_does_not_tell_the_second_of_the_first_copy(config: Config):
    stage = Told(Place(config, "told"), Terms(gather=Duration("10m")))
    try:
        for number in range(8):
            run(stage, job(message=SPAM + b"%d\r\n" % number))
        waits = [each.due - each.created for each in reports(stage)]
        assert all(600 <= wait <= 900 for wait in waits)
        assert max(waits) - min(waits) > 1
    finally:
        stage.close()
