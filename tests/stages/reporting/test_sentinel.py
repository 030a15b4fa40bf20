"""The poison sentinel: what nobody is reported or listed for before a person has seen it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from letters import LETTERS
from support import at_most, mails

from stages.reporting.sentinel import Sentinel
from trap.envelope import Envelope
from trap.job import Job

sentinel = Sentinel()


def mail(
    header: str = "", text: str = "Buy our watches.", notes: dict[str, Any] | None = None, **said: Any
) -> Job:
    """A job: spam but for what is said of it."""
    if "From:" not in header:
        header = f"From: Ann <ann@spam.example>\nSubject: Offer\n{header}".rstrip("\n")
    job = Job.from_message(
        f"{header}\n\n{text}\n".encode(), Envelope(**{"mail_from": "ann@spam.example"} | said)
    )
    job.notes = notes or {}
    return job


def auth(aligned: list[str], domain: str = "", **more: Any) -> dict[str, Any]:
    """What the stage auth notes."""
    result = "pass" if aligned else "fail"
    return {"auth": {"dmarc": {"result": result, "domain": domain}, "aligned": aligned, "dkim": []} | more}


def signed(by: str, shown: str) -> Job:
    """Mail that nobody has checked."""
    return mail(
        f"From: News <news@{shown}>\nSubject: News\nDKIM-Signature: v=1; a=rsa-sha256; d={by}; s=k; b=AA=="
    )


def test_spam_goes_its_way():
    assert sentinel.holds(mail()) == ""
    assert sentinel.holds(mail(notes=auth([], "spam.example"))) == ""
    assert sentinel.holds(mail(notes=auth(["spam.example"], "spam.example"))) == ""
    assert sentinel.holds(mail("", "")) == ""


# -- large senders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "domain", ["gmail.com", "mail.yahoo.co.jp", "paypal.com", "amazon.de", "facebookmail.com"]
)
def test_mail_that_a_large_sender_answers_for_is_held(domain):
    job = mail(f"From: Ann <ann@{domain}>\nSubject: Hi", notes=auth([domain], domain))
    assert sentinel.holds(job).startswith(f"mail of {domain}, of ")


def test_who_only_shows_the_name_of_a_large_sender_is_a_phisher():
    """The check says that it is not his: it does not matter what signatures claim."""
    job = signed("paypal.com", "paypal.com")
    job.notes = auth([], "paypal.com", dkim=[{"result": "fail", "domain": "paypal.com"}])
    assert sentinel.holds(job) == ""


def test_a_customer_of_a_large_sender_answers_for_himself():
    assert sentinel.holds(mail(notes=auth(["joe.blogspot.com"], "joe.blogspot.com"))) == ""


def test_where_nobody_checked_a_claim_is_enough():
    assert "claims to be signed by paypal.com" in sentinel.holds(signed("mail.paypal.com", "paypal.com"))
    assert sentinel.holds(signed("evil.example", "paypal.com")) == ""
    assert sentinel.holds(signed("evil.example", "evil.example")) == ""
    assert sentinel.holds(signed("paypal.com", "evil.example")) == ""


@pytest.mark.parametrize(
    "notes",
    [
        {"auth": {"unscanned": "larger than max_size"}},
        {"auth": {"unjudged": "no resolver"}},
        auth([], "paypal.com", dkim=[{"result": "temperror", "domain": "paypal.com"}]),
        {"auth": {"dmarc": {"result": "temperror"}, "aligned": [], "dkim": []}},
        {"auth": "nonsense"},
        {"auth": {"dmarc": [], "aligned": 7}},
    ],
)
def test_a_check_that_found_out_nothing_counts_as_none(notes):
    job = signed("paypal.com", "paypal.com")
    job.notes = notes
    assert "claims to be signed" in sentinel.holds(job)


# -- what was asked for ----------------------------------------------------------------------------------


def test_what_policy_marked_is_held_whatever_the_stage_is_called():
    notes = {"rules-1": {"rules": ["opt-in/confirm"], "never_report": True}}
    assert sentinel.holds(mail(notes=notes)) == "never to be reported: opt-in/confirm"
    assert sentinel.holds(mail(notes={"policy": {"rules": ["x"], "never_report": False}})) == ""


CASES = [
    (kind, language)
    for kind in ("opt-in", "password-reset", "receipts", "welcome")
    for language in LETTERS[kind]
]


@pytest.mark.parametrize(("kind", "language"), CASES)
def test_confirmations_and_receipts_are_held_without_policy(kind, language):
    subject, text = LETTERS[kind][language]
    header = (
        f"From: Shop <noreply@shop.example>\nSubject: {subject}\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\nDKIM-Signature: v=1; d=shop.example; s=k; b=AA=="
    )
    assert sentinel.holds(mail(header, text)).startswith("looks like ")
    assert sentinel.holds(mail(header, text, auth(["shop.example"], "shop.example"))).startswith(
        "looks like "
    )
    assert sentinel.holds(mail(header, text, auth([], "shop.example"))) == ""  # in another's name


# -- what was passed on, and answers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        *(
            "X-Forwarded-To: joe@trap.example",
            "Resent-From: joe@a.example",
            "List-Post: <mailto:all@a.example>",
        ),
        *("X-BeenThere: all@a.example", "Mailing-List: contact all-help@a.example; run by ezmlm"),
    ],
)
def test_who_passes_something_on_is_not_blamed_for_it(field):
    assert field.partition(":")[0].lower() in sentinel.holds(mail(field))


def test_a_donor_is_not_blamed_for_what_he_sends_in():
    notes = {"extract": {"donor": {"name": "uni", "how": "attached"}, "urls": []}}
    assert sentinel.holds(mail(notes=notes)) == "sent in by donor uni"


ANSWER = "From: Bob <bob@a.example>\nSubject: Re: Offer\nIn-Reply-To: <1@trap.example>"


def test_people_who_answer_what_was_forged_are_not_blamed():
    quoted = "Who are you?\n\nOn Monday, ann@trap.example wrote:\n> Buy our watches."
    assert sentinel.holds(mail(ANSWER, quoted)) == "somebody's answer: it quotes"


def test_re_in_the_subject_makes_no_answer():
    """Spam writes it as well; an answer quotes, and is no newsletter."""
    quoted = "> Buy our watches."
    assert sentinel.holds(mail(ANSWER, "Buy our watches.")) == ""
    assert sentinel.holds(mail("From: Bob <bob@a.example>\nSubject: Re: Offer", quoted)) == ""
    assert sentinel.holds(mail(f"{ANSWER}\nList-Unsubscribe: <https://a.example/>", quoted)) == ""


AWAY = (
    "From: Bob <bob@a.example>\nSubject: Out of office: Offer\nAuto-Submitted: auto-replied\n"
    "In-Reply-To: <1@trap.example>"
)


def test_machines_that_answer_are_not_blamed():
    assert sentinel.holds(mail(AWAY, "I am away until Monday.", mail_from="")).startswith(
        "the answer of a machine"
    )


def test_backscatter_that_is_known_as_such_has_a_list_of_its_own():
    notes = {"backscatter": {"kind": "autoreply", "score": 20}}
    assert sentinel.holds(mail(AWAY, "I am away until Monday.", notes, mail_from="")) == ""


# -- hostile and real mail -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        b"From: " + b"<a@paypal.com>," * 50_000 + b"\n\n",
        b"DKIM-Signature: d=a.example;\n" * 20_000 + b"From: a@paypal.com\n\n",
        b"From: a@paypal.com\nDKIM-Signature: " + b"; d" * 100_000 + b"\n\n",
        b"Subject: " + b"re: " * 100_000 + b"\nIn-Reply-To: x\n\n" + b"wrote " * 200_000,
        b"Subject: Re: x\nReferences: x\n\n" + b"-" * 500_000,
    ],
    ids=range(5),
)
def test_hostile_mail_costs_little(message):
    with at_most(2.0):
        sentinel.holds(Job.from_message(message))


@given(
    st.binary(max_size=300),
    st.dictionaries(st.sampled_from(["auth", "policy", "extract", "backscatter"]), st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["dmarc", "aligned", "donor", "kind", "rules", "never_report", "dkim"]), inner),
        max_leaves=6,
    ), max_size=3),
)  # fmt: skip
def test_nothing_makes_it_raise(message, notes):
    job = Job.from_message(b"From: a@gmail.com\nSubject: Re: " + message)
    job.notes = notes
    assert isinstance(sentinel.holds(job), str)


def held(paths: list[Path], fits: Callable[[bytes], bool] = lambda _: True) -> float:
    """The share of messages that are held."""
    found = [message for path in paths if fits(message := path.read_bytes())]
    return sum(bool(sentinel.holds(Job.from_message(message))) for message in found) / len(found)


def test_spam_is_rarely_held_and_ham_mostly(corpus):
    """Phish claims little; what spam there is came over mailing lists, and is not their fault."""
    listed = (b"\nList-Post:", b"\nX-Mailman-Version:", b"\nX-Mailing-List:", b"\nX-BeenThere:")

    def direct(message: bytes) -> bool:
        return not any(field in message for field in listed)

    assert held(mails(corpus / "phish", 10)) < 0.15
    assert held(mails(corpus / "spam", 10), direct) < 0.05
    assert held(mails(corpus / "ham", 10)) > 0.6
    assert held(mails(corpus / "bounce", 20)) > 0.9
