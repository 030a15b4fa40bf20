"""The backscatter stage: what machines answer to mail the trap never sent, and what only looks like it.

>>> verdict = judge("From: MAILER-DAEMON@mx.example\\nSubject: failure notice", "user unknown")
>>> verdict.reason, verdict.notes["evidence"]
('backscatter bounce', ['from mailer-daemon', 'bounce subject', 'null sender', 'failure text'])
"""

import base64
import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.backscatter import KINDS, Backscatter
from stages.bounces import bounce
from stages.bounces.evidence import (
    DETECTED,
    FAMILY,
    HEADER_RULES,
    NULL_SENDER,
    PROOF_RULES,
    PROOFS,
    TEXT_RULES,
    THRESHOLD,
)
from stages.bounces.payload import MAX_SCAN, carried
from trap.envelope import Envelope
from trap.job import Job
from trap.stage import Drop, Pass, Verdict

RULES = (*HEADER_RULES, *PROOF_RULES, *TEXT_RULES, NULL_SENDER, DETECTED)


def mail(headers: str, body: str = "") -> bytes:
    """A message with CR LF line ends."""
    return f"{headers}\n\n{body}\n".replace("\n", "\r\n").encode()


def judge(headers: str, body: str = "", mail_from: str = "", **settings: object) -> Verdict:
    """The stage's verdict on one message; the sender is the null sender unless one is named."""
    return judge_bytes(mail(headers, body), mail_from, **settings)


def judge_bytes(message: bytes, mail_from: str = "", **settings: object) -> Verdict:
    stage = Backscatter(**settings)  # type: ignore[arg-type]
    return stage.process(Job.from_message(message, Envelope(mail_from=mail_from)))


def encoded(subject: str) -> str:
    """`subject` as an RFC 2047 encoded word."""
    return f"=?UTF-8?B?{base64.b64encode(subject.encode()).decode()}?="


DSN = "MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=b"
STATUS = """Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; nobody@there.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user
"""
RETURNED = "Content-Type: message/rfc822\n\nReceived: from a by b\nFrom: bait@trap.example\nSubject: cheap"
HTML = "Content-Type: text/html"
DAEMON = "From: Mail Delivery System <MAILER-DAEMON@mx.example>"

ANSWERS = {
    "postfix dsn": (
        "bounce",
        f"{DAEMON}\nSubject: Undelivered Mail Returned to Sender\n{DSN}",
        f"--b\n\nI'm sorry.\n--b\n{STATUS}\n--b\n{RETURNED}\n--b--",
    ),
    "exchange in German, with a link for help": (
        "bounce",
        f"From: Microsoft Outlook <postmaster@x.example>\nSubject: Unzustellbar: Angebot\n{DSN}",
        f'--b\nContent-Type: text/html\n\n<a href="https://help.example">Hilfe</a>\n--b\n{STATUS}\n--b--',
    ),
    "qmail": (
        "bounce",
        "From: MAILER-DAEMON@q.example\nSubject: failure notice",
        "<x@y.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy",
    ),
    "exim": (
        "bounce",
        "X-Failed-Recipients: x@y.example\nAuto-Submitted: auto-replied\n"
        f"{DAEMON}\nSubject: Mail delivery failed: returning message to sender",
        "A message that you sent could not be delivered to one or more of its recipients.",
    ),
    "in Russian, encoded": (
        "bounce",
        f"From: mailer-daemon@y.example\nSubject: {encoded('Недоставленное сообщение')}",
        "Сообщение не может быть доставлено",
    ),
    "notice in base64": (
        "bounce",
        "From: postmaster@y.example\nContent-Transfer-Encoding: base64\nSubject: Mail",
        base64.b64encode(b"Your message could not be delivered: 550 5.1.1 unknown user").decode(),
    ),
    "an event of a sending service": (
        "bounce",
        "From: no-reply@sns.amazonaws.com\nSubject: Notification",
        r'{"Message": "{\"notificationType\":\"Bounce\",\"bounce\":{}}"}',
    ),
    "delayed": (
        "delivery-notice",
        f"{DAEMON}\nSubject: Delivery Status Notification (Delay)\n{DSN}",
        f"--b\n{STATUS.replace('failed', 'delayed')}\n--b--",
    ),
    "delivered": (
        "delivery-notice",
        f"{DAEMON}\nSubject: Successful Mail Delivery Report\n{DSN}",
        f"--b\n{STATUS.replace('failed', 'delivered')}\n--b--",
    ),
    "sendmail warns": (
        "delivery-notice",
        f"{DAEMON}\nSubject: Warning: could not send message for past 4 hours\n"
        "Auto-Submitted: auto-generated (warning-timeout)",
        "THIS IS A WARNING MESSAGE ONLY. YOU DO NOT NEED TO RESEND YOUR MESSAGE.",
    ),
    "vacation": (
        "autoreply",
        "From: bob@x.example\nSubject: Re: cheap\nAuto-Submitted: auto-replied (vacation)\nPrecedence: bulk",
        "I'm at the beach.",
    ),
    "out of office, with a link in the signature": (
        "autoreply",
        f"From: bob@x.example\nSubject: Automatic reply: cheap\nX-Autoreply: yes\n{HTML}",
        "I am out of the office until Monday.<p>Bob, <a href=http://x.example>x.example</a>",
    ),
    "out of office, in Japanese": (
        "autoreply",
        f"From: bob@x.example\nSubject: {encoded('自動返信: お知らせ')}\nAuto-Submitted: auto-replied",
        "",
    ),
    "outlook": (
        "autoreply",
        "From: Bob <bob@x.example>\nSubject: Automatic reply: cheap\nX-Auto-Response-Suppress: All",
        "I am out of the office until Monday, with limited access to e-mail.",
    ),
    "ticket system": (
        "autoreply",
        "From: help@x.example\nSubject: [x #1] AutoReply: cheap\nIn-Reply-To: <1@trap.example>",
        "This message has been automatically generated in response to the creation of a ticket.",
    ),
    "tmda": (
        "challenge",
        "From: Bob <bob-confirm-1.2@x.example>\nSubject: Please confirm your message\n"
        "Auto-Submitted: auto-replied\nIn-Reply-To: <1@trap.example>",
        "Your message is being held because your address has not been verified.\n"
        "To release your message for delivery, please reply to this one.",
    ),
    "challenge with a link": (
        "challenge",
        "From: Bob <bob@x.spamarrest.com>\nSubject: Re: cheap (verification required)",
        "Please click the link to have your message delivered: https://x.example/a2",
    ),
    "virus scanner": (
        "virus-notice",
        "From: Content-filter <virusalert@x.example>\nSubject: VIRUS (Worm.Some) in mail FROM YOU",
        "Our content checker found a virus in the message you sent.",
    ),
    "abuse report": (
        "feedback",
        "From: <feedbackloop@isp.example>\nSubject: FW: cheap\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b",
        "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n"
        f"\n--b\n{RETURNED}\n--b--",
    ),
    "read receipt": (
        "mdn",
        "From: Bob <bob@x.example>\nSubject: Read: cheap\n"
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=b",
        "--b\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; bob@x.example\n"
        "Disposition: manual-action/MDN-sent-manually; displayed\n--b--",
    ),
}

CLICK = '<p>5 messages could not be delivered. <a href="http://evil.example/">Release them</a></p>'
DRESSED_UP = {
    "a null sender and nothing else": ("Return-Path: <>\nFrom: a@b.example\nSubject: hello", "hi"),
    "phish from a mailer-daemon": (f"{DAEMON}\nSubject: Mail delivery failed\n{HTML}", CLICK),
    "phish as multipart/report": (
        f"{DAEMON}\nSubject: Undelivered Mail\nContent-Type: multipart/report; boundary=b",
        f"--b\n{HTML}\n\n{CLICK}\n--b--",
    ),
    "phish that claims all a header can claim": (
        f"{DAEMON}\nSubject: Undelivered Mail\nAuto-Submitted: auto-replied\n"
        f"X-Failed-Recipients: a@b.example\n{DSN}",
        f"--b\n{HTML}\n\n{CLICK}\n--b--",
    ),
    "phish in base64": (
        f"{DAEMON}\nSubject: Undelivered Mail\n{HTML}\nContent-Transfer-Encoding: base64",
        base64.encodebytes(CLICK.encode()).decode(),
    ),
    "phish in quoted-printable": (
        f"{DAEMON}\nSubject: Undelivered Mail\n{HTML}\nContent-Transfer-Encoding: quoted-printable",
        CLICK.replace("=", "=3D"),
    ),
    "phish in plain text": (
        f"{DAEMON}\nSubject: Undelivered Mail",
        "Your message could not be delivered, log in to https://evil.example/ to release it",
    ),
    "phish with a page attached": (
        f"{DAEMON}\nSubject: Undelivered Mail\nContent-Type: multipart/mixed; boundary=b",
        "--b\n\nSee the attachment.\n--b\nContent-Type: text/html; name=m.html\n\n<p>x\n--b--",
    ),
    "a parcel": (
        "From: Parcels <info@parcel.example>\nSubject: Delivery failed: your parcel",
        "Your parcel could not be delivered: https://evil.example/track",
    ),
    "a parcel, automatically": (
        f"From: Parcels <a@parcel.example>\nSubject: Delivery status notification\n"
        f"Auto-Submitted: auto-generated\n{HTML}",
        "We were unable to deliver your package. <a href=http://evil.example>Track it</a>",
    ),
    "a newsletter on returned mail": (
        "From: News <n@shop.example>\nSubject: How we handle returned mail\n"
        "List-Unsubscribe: <mailto:n@shop.example>\nPrecedence: bulk",
        "Last week some parcels were undeliverable.",
    ),
    "an order": (
        "From: orders@shop.example\nSubject: Order 17: delivery report\nAuto-Submitted: auto-generated",
        "Thank you for your order.",
    ),
    "a virus scare": (
        f"From: Antivirus <a@scare.example>\nSubject: Virus detected on your PC\n{HTML}",
        "Your mail is infected. <a href=http://evil.example>Scan now</a>",
    ),
    "an absence with an invoice": (
        f"From: a@b.example\nSubject: Automatic reply: invoice\n{HTML}",
        "I am out of the office, pay <a href=http://evil.example>here</a>",
    ),
    "a plea to verify": (
        "From: IT <postmaster@b.example>\nSubject: Your message requires verification",
        "Please confirm https://evil.example so that your messages can be delivered",
    ),
    "an offer with two lines of header that nobody sees": (
        f"X-Autoreply: yes\nIn-Reply-To: <1@trap.example>\nFrom: a@b.example\nSubject: Cheap\n{HTML}",
        "<a href=http://evil.example>Buy</a>",
    ),
    "an offer that says so too, as an answer, with a bare link": (
        "From: a@b.example\nSubject: Re: cheap\nAuto-Submitted: auto-replied\nPrecedence: bulk",
        "All you want: http://shop.example/",
    ),
    "an offer without a link, which is an answer by nothing that is seen": (
        "From: a@b.example\nSubject: A business proposal\nAuto-Submitted: auto-replied\nPrecedence: bulk",
        "Write to me at the private address of my lawyer.",
    ),
    "an offer to a recipient that failed, says a line which flufl.bounce believes": (
        "From: a@b.example\nSubject: Cheap\nX-Failed-Recipients: a@b.example\nPrecedence: bulk",
        "Call now.",
    ),
    "an offer from a mailer-daemon, with a bare link": (
        f"{DAEMON}\nSubject: Cheap\nX-Failed-Recipients: a@b.example\nPrecedence: bulk",
        "All you want: http://shop.example/",
    ),
    "a plea to verify that calls itself an answer": (
        "From: IT <it@b.example>\nSubject: Your mailbox\nAuto-Submitted: auto-replied\nPrecedence: bulk",
        "Please confirm https://evil.example so that your messages can be delivered",
    ),
    "a discussion of bounces": (
        "From: Ann <ann@list.example>\nSubject: Re: what to do with spam\nIn-Reply-To: <1@list.example>",
        "My logs say: user unknown, mailbox is full, 550 5.1.1.",
    ),
}


class TestKinds:
    @pytest.mark.parametrize("name", ANSWERS)
    @pytest.mark.parametrize("mail_from", ["", "someone@relay.example"])
    def test_a_machines_answer_is_dropped_by_its_kind(self, name: str, mail_from: str) -> None:
        kind, headers, body = ANSWERS[name]
        verdict = judge(headers, body, mail_from)
        assert isinstance(verdict, Drop), verdict.notes
        assert verdict.reason == f"backscatter {kind}"
        assert verdict.notes["kind"] == kind
        assert verdict.notes["score"] >= THRESHOLD
        assert len(verdict.notes["evidence"]) > 1

    @pytest.mark.parametrize("name", DRESSED_UP)
    def test_what_only_looks_like_one_passes(self, name: str) -> None:
        verdict = judge(*DRESSED_UP[name])
        assert isinstance(verdict, Pass), verdict.notes
        assert verdict.notes.get("kind") in (None, "suspected")

    def test_ordinary_mail_gets_no_note(self) -> None:
        assert judge("From: a@b.example\nSubject: hello", "hi", "a@b.example") == Pass()

    def test_a_near_miss_is_noted(self) -> None:
        assert judge(*DRESSED_UP["an order"]).notes["kind"] == "suspected"

    @pytest.mark.parametrize("before", [b"", b"\r\n\r\n", b"   \r\n"])
    @pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
    def test_line_ends_and_blank_lines_in_front_do_not_hide_it(self, before: bytes, end: bytes) -> None:
        _, headers, body = ANSWERS["postfix dsn"]
        message = (before + mail(headers, body)).replace(b"\r\n", end)
        assert judge_bytes(message).notes["kind"] == "bounce"

    def test_the_addresses_it_speaks_of_are_noted(self) -> None:
        _, headers, body = ANSWERS["postfix dsn"]
        assert judge(headers, body).notes["recipients"] == ["nobody@there.example"]
        many = "".join(f"Final-Recipient: rfc822; u{n}@there.example\nAction: failed\n\n" for n in range(500))
        assert len(judge(headers, f"--b\n{STATUS}{many}").notes["recipients"]) == bounce.MAX_RECIPIENTS

    def test_flufl_bounce_decides_what_the_table_leaves_open(self) -> None:
        headers = "From: postmaster@old.example\nSubject: your mail"
        told = (
            "This is the machine generated message from mail service.\n<x@y.example>\n--- Below the next line"
        )
        verdict = judge(headers, f"{told} is a copy of the message.")
        assert verdict.notes["evidence"][-1] == "flufl.bounce"
        assert isinstance(verdict, Drop)

    def test_the_same_job_gets_the_same_answer(self) -> None:
        _, headers, body = ANSWERS["tmda"]
        job = Job.from_message(mail(headers, body))
        stage = Backscatter()
        assert stage.process(job) == stage.process(job)


class TestSettings:
    BOUNCE = ANSWERS["qmail"][1:]

    def test_routed_to_a_queue_of_its_own(self) -> None:
        verdict = judge(*self.BOUNCE, to="bounces")
        assert isinstance(verdict, Pass)
        assert verdict.to == "bounces"
        assert verdict.notes["kind"] == "bounce"

    def test_kinds_not_acted_upon_go_on_with_their_note(self) -> None:
        verdict = judge(*self.BOUNCE, kinds=["autoreply"], to="bounces")
        assert verdict == Pass(verdict.notes, to=None)
        assert verdict.notes["kind"] == "bounce"
        assert isinstance(judge(*self.BOUNCE, kinds=["autoreply", "bounce"]), Drop)

    def test_an_unknown_kind_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(ValueError, match=r"'bouncing'; did you mean 'bounce'"):
            Backscatter(kinds=["bouncing"])


class TestPayload:
    """A "bounce" with an executable or an archive is a sample, not backscatter."""

    EXE = 'Content-Type: application/octet-stream; name="document.pif"\n\nx'

    def test_malware_dressed_as_a_bounce_goes_on(self) -> None:
        headers = f"{DAEMON}\nSubject: Mail Transaction Failed\nContent-Type: multipart/mixed; boundary=b"
        verdict = judge(headers, f"--b\n\n550 5.1.1 unknown user\n--b\n{self.EXE}\n--b--", to="bounces")
        assert isinstance(verdict, Pass)
        assert verdict.to is None

    def test_what_a_real_bounce_returns_counts_too(self) -> None:
        returned = f"{RETURNED}\nContent-Type: multipart/mixed; boundary=c\n\n--c\n{self.EXE}\n--c--"
        verdict = judge(
            f"{DAEMON}\nSubject: Undelivered Mail\n{DSN}", f"--b\n{STATUS}\n--b\n{returned}\n--b--"
        )
        assert isinstance(verdict, Pass)
        assert verdict.notes["kind"] == "bounce"
        assert verdict.notes["carries"] == "executable document.pif"

    @pytest.mark.parametrize(
        ("part", "found"),
        [
            ('Content-Disposition: attachment; filename="a.EXE"', "executable a.EXE"),
            ("Content-Type: text/plain;\r\n name=a.txt.js", "executable a.txt.js"),
            ("Content-Disposition: attachment; filename*=UTF-8''a%2Ezip", "archive a.zip"),
            ('Content-Type: x/y; name="=?utf-8?B?YS5zY3I=?="', "executable a.scr"),
            ('Content-Type: x/y; name="virus.com"', "executable virus.com"),
            ("Content-Type: x/y; name=a.r00", "archive a.r00"),
            ("\nbegin 644 cute.scr\n", "executable cute.scr"),
            ("Content-Type: Application/X-Zip-Compressed", "application/x-zip-compressed"),
            ("x: y\r\n\r\nTVqQAAMAAAAEAAAA//8AALgAAAAAAAAA", "executable or archive, by its first bytes"),
            ("x: y\n\nUEsDBBQAAAAIAAAAIQAAAAAAAAAAAAAA", "executable or archive, by its first bytes"),
            ("x: y\n\nPK\x03\x04", "executable or archive, by its first bytes"),
            ("x: y\n\nMZ=90=00", "executable or archive, by its first bytes"),
            (
                "\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nUmVj",
                "message in base64",
            ),
        ],
    )
    def test_names_types_and_first_bytes(self, part: str, found: str) -> None:
        assert carried(part.encode()) == found

    @pytest.mark.parametrize(
        "part",
        [
            "Host not found. Name service error for name=there.zip type=A",
            'Content-Type: message/rfc822; name="bait@trap.example.com"',
            'Content-Type: text/plain; name="notes.txt"',
            "x: y\n\nMZ is how some sentences begin",
            "x: y\n\nTVs are cheap today, says our neighbour",
        ],
    )
    def test_and_what_is_none(self, part: str) -> None:
        assert carried(part.encode()) is None

    def test_what_is_too_large_to_look_at_is_not_vouched_for(self) -> None:
        assert carried(b"x" * (MAX_SCAN + 1)) == "more than 4 MiB"


class TestTable:
    def test_every_row_has_a_name_of_its_own(self) -> None:
        assert max(Counter(rule.name for rule in RULES).values()) == 1

    def test_no_source_decides_alone(self) -> None:
        assert max(rule.points for rule in RULES) < THRESHOLD

    def test_a_call_to_click_undoes_all_that_a_forger_can_claim(self) -> None:
        for family in set(FAMILY.values()):
            best = Counter[str]()
            for rule in RULES:
                if rule.kind is None or FAMILY[rule.kind] == family:
                    best[rule.source] = max(best[rule.source], rule.points)
            doubt = min(rule.points for rule in RULES if rule.name == "asks for a click")
            for missing in itertools.product(*PROOFS[family]):  # one source of each proof
                claims = sum(best[source] for source in best.keys() - {*missing, "doubt"})
                assert claims + doubt < THRESHOLD, family

    def test_every_kind_can_be_found(self) -> None:
        assert {kind for kind, _, _ in ANSWERS.values()} == set(KINDS)


class TestHostile:
    HEAD = f"{DAEMON}\nSubject: Undelivered Mail\n{DSN}\n".replace("\n", "\r\n").encode()

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"\r\n",
            b"\x00" * 1000,
            b"Subject: " + b"undeliverable " * 700_000 + b"\r\n\r\n",
            HEAD + b"X-Long: " + b"a" * 10_000_000 + b"\r\n\r\nhi",
            HEAD + b"X-A: b\r\n" * 100_000 + b"\r\nhi",
            HEAD + b" folded\r\n" * 100_000,
            HEAD + b"\r\n" + b"line\r\n" * 100_000,
            HEAD + b"\r\n" + b"final-recipient:@" * 20_000,
            HEAD + b"\r\n" + b"mail rcpt to: message " * 20_000,
            HEAD + b"\r\n" + b"\n> " * 100_000,
            HEAD + b"\r\n" + b";name=a\n\n" * 200_000,
            HEAD
            + b"\r\n"
            + b"".join(b"--a%d\nContent-Type: multipart/x; boundary=a%d\n\n" % (n, n) for n in range(3000)),
            HEAD + b"\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"A=B=" * 20_000,
            b"Subject: " + b"=?x?b?" * 10_000 + b"=?bogus?q?=ZZ?= =?utf-8?b?!?=\r\n\r\n",
            b"From: MAILER-DAEMON\r\nContent-Type: x/y; boundary*0*=\xff''%\r\n\r\nFinal-Recipient: ;@",
        ],
        ids=range(16),
    )
    def test_neither_raises_nor_hangs(self, message: bytes) -> None:
        assert isinstance(judge_bytes(message), Pass | Drop)

    def test_a_detector_that_raises_detects_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def stumble(message: object) -> None:
            raise IndexError("string index out of range")

        monkeypatch.setattr(bounce, "all_failures", stumble)
        assert isinstance(judge("From: postmaster@old.example\nSubject: your mail", "hello"), Pass)

    @given(st.binary(max_size=400), st.sampled_from(["", "a@b.example"]))
    def test_any_bytes_get_a_verdict(self, message: bytes, mail_from: str) -> None:
        assert isinstance(judge_bytes(message, mail_from), Pass | Drop)

    @given(
        st.lists(st.sampled_from(sorted({rule.where for rule in HEADER_RULES})), max_size=8),
        st.lists(
            st.sampled_from([mail(headers, body) for _, headers, body in ANSWERS.values()])
            | st.binary(max_size=40)
            | st.sampled_from([b"\r\n", b"\n\n", b"--b", b"base64", b"content-type: message/", b"\xff\xfe"]),
            max_size=8,
        ),
    )
    def test_nor_do_pieces_of_answers_in_any_order(self, fields: list[str], pieces: list[bytes]) -> None:
        head = b"".join(
            name.encode() + b": " + piece + b"\r\n" for name, piece in zip(fields, pieces, strict=False)
        )
        assert isinstance(judge_bytes(head + b"".join(pieces)), Pass | Drop)


@pytest.mark.parametrize(
    "lines",
    [
        "X-Autoreply: yes\nIn-Reply-To: <a@b.example>\n",
        "Auto-Submitted: auto-replied\nPrecedence: bulk\n",
        "X-Failed-Recipients: a@b.example\nPrecedence: bulk\n",
    ],
)
def test_lines_of_header_that_nobody_sees_hide_next_to_nothing(corpus: Path, lines: str) -> None:
    """Of every third spam and phish, all from the null sender, about one in a hundred is lost to them."""
    stage = Backscatter()
    mails = [path for folder in ("spam", "phish") for path in sorted(corpus.glob(f"{folder}/*.eml"))[::3]]
    forged = lines.replace("\n", "\r\n").encode()
    taken = sum(
        isinstance(stage.process(Job.from_message(forged + path.read_bytes(), Envelope(mail_from=""))), Drop)
        for path in mails
    )
    assert taken <= 0.015 * len(mails)


@pytest.mark.parametrize("hinted", [True, False], ids=["with the envelope's sender", "null sender for all"])
def test_on_real_mail(corpus: Path, hinted: bool) -> None:
    """At least 98 % of bounces are recognised and at most 0.3 % of spam and phish taken for one."""
    stage = Backscatter()
    mails, taken = Counter[str](), Counter[str]()
    for line in (corpus / "index.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["cls"] not in ("bounce", "spam", "phish"):
            continue
        known = hinted and not record.get("null_sender")
        sender = record.get("env_from") or "unknown@sender.example" if known else ""
        job = Job.from_message((corpus / record["file"]).read_bytes(), Envelope(mail_from=sender))
        mails[record["cls"]] += 1
        taken[record["cls"]] += stage.process(job).notes.get("kind") in KINDS
    assert taken["bounce"] >= 0.98 * mails["bounce"]
    assert taken["spam"] + taken["phish"] <= 0.003 * (mails["spam"] + mails["phish"])
