"""The poison sentinel: mail that must not lead to a report or listing before a person has seen it.

Who finds out about a trap can poison what it publishes: order newsletters and passwords for it, have shops
and banks write to it, write to it himself from a mailbox at a large provider. None of the senders is to
blame, and nobody would trust a trap again that reports them. So this is held:

* what the stage policy marked, and what its built-in sets know (confirmations, passwords, receipts,
  welcomes, answers to invitations, lists' confirmations), whether or not that stage is in use;
* mail for which a large sender answers: his domain is the one in From, and SPF or a signature of it is
  right, by the notes of `auth`. Where that stage has not looked, it is enough that there is a signature
  which says so: a forger is then held by mistake, and a person sees it;
* answers: of people, who write back to somebody that forged the trap's name, and of machines; not those
  that the stage backscatter let through, whose senders have a list of their own;
* what was passed on, by a donor, a redirection or a mailing list: who sent it is not who is seen.

    >>> text = b"From: News <news@paypal.com>\\nDKIM-Signature: v=1; d=paypal.com; s=x; b=AA==\\n\\nHello"
    >>> Sentinel().holds(Job.from_message(text))
    'claims to be signed by paypal.com, of eBay and PayPal'
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import Any

from stages.authentication.author import domains_of
from stages.bounces.bounce import recognise
from stages.policies.fields import Message
from stages.policies.rules import Rule, ours
from stages.reporting.senders import LargeSenders
from stages.shared import plaintext
from stages.shared.suffixes import registrable
from trap.envelope import printable
from trap.job import Job

SETS = ("opt-in", "password-reset", "receipts", "welcome", "calendar", "list-confirmation")
"""Built-in sets of policy that speak of messages; its others speak of recipients."""
MAX_FIELDS = 20
"""Header fields of one name that are looked at."""
MAX_VALUE = 4000
"""Characters of each."""
MAX_TEXT = 20_000
"""Characters of the text that are searched for what somebody quotes."""

_SIGNER = re.compile(r"(?:^|;)\s{0,9}d\s{0,9}=\s{0,9}([^\s;]{1,253})", re.IGNORECASE)
_ANSWER = re.compile(
    r"\s{0,9}(?:re|aw|sv|vs|antw|odp|ynt|rif|res"
    r"|回复|答复|回覆|ответ)(?:\[\d{1,3}\])?\s?[:\uff1a]",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"^[>|] ?\S|^.{0,200}\b(?:wrote|writes|schrieb|écrit|escribió|escreveu|scritto|schreef|napisał|пишет)\s?:"
    r"|^-{2,12} ?(?:original message|ursprüngliche nachricht|message d'origine|mensaje original)",
    re.IGNORECASE | re.MULTILINE,
)
_BULK = ("list-unsubscribe", "feedback-id", "x-campaign", "x-mailer-recptid")
"""Fields that people's own programs don't write."""
_REDIRECTED = ("x-forwarded-to", "x-forwarded-for", "resent-from", "resent-to")
_LISTED = ("list-post", "x-mailman-version", "x-beenthere", "mailing-list", "x-mailing-list")
"""Fields of lists on which people write, not of those that only send."""


class Sentinel:
    """Knows what is to be held. It keeps nothing, and one may be asked from any thread."""

    def __init__(self) -> None:
        self._senders = LargeSenders()

    def holds(self, job: Job) -> str:
        """Why a message must not lead to a report or listing; "" if it may. Never raises.

        Args:
            job: with the notes of the stages it has come through.
        """
        looks = (_marked, self._answered_for, _passed_on, _answers, _solicited)
        return next((why for look in looks if (why := look(job))), "")

    def _answered_for(self, job: Job) -> str:
        """Whether a large sender answers for it."""
        noted = _noted(job, "auth")
        if _is_known(noted):
            for domain in _texts(noted.get("aligned")):
                if owner := self._senders.owns_domain(domain):
                    return f"mail of {printable(domain)}, of {owner}"
            return ""
        shown, _ = domains_of(_fields(job, "from"))
        for domain in shown[:MAX_FIELDS]:
            if (owner := self._senders.owns_domain(domain)) and _claims(job, domain):
                return f"claims to be signed by {printable(domain)}, of {owner}"
        return ""


class _Claimed(Message):
    """A message whose own word is taken for who signed it, when nobody has looked."""

    @cached_property
    def alignment(self) -> str:
        """See Message."""
        known = super().alignment
        if known != "unknown":
            return known
        shown, _ = domains_of(_fields(self.job, "from"))
        return "pass" if any(_claims(self.job, domain) for domain in shown[:MAX_FIELDS]) else known


def _marked(job: Job) -> str:
    """What a stage says of it, whatever that stage is called."""
    for notes in job.notes.values():
        if isinstance(notes, Mapping) and notes.get("never_report"):
            rules = ", ".join(_texts(notes.get("rules")))
            return f"never to be reported: {printable(rules)[:200]}" if rules else "never to be reported"
    return ""


def _solicited(job: Job) -> str:
    """Confirmations and their like."""
    message = _Claimed(job)
    return next((f"looks like {rule.origin}: {rule.name}" for rule in _rules() if rule.fits(message)), "")


def _passed_on(job: Job) -> str:
    """What came by somebody who has not written it."""
    donor = _noted(job, "extract").get("donor")
    if isinstance(donor, Mapping):
        return f"sent in by donor {printable(str(donor.get('name', '')))[:100]}"
    if job.headers.get("x-ms-exchange-inbox-rules-loop"):
        return "redirected by somebody's mailbox"
    for name in _REDIRECTED:
        if job.headers.get(name) is not None:
            return f"redirected by somebody's mailbox: it has {name}"
    for name in _LISTED:
        if job.headers.get(name) is not None:
            return f"came over a mailing list: it has {name}"
    return ""


def _answers(job: Job) -> str:
    """What answers something, as a person or machine does."""
    if _noted(job, "backscatter").get("kind") in (None, "suspected"):
        finding = recognise(job)
        if finding.kind:
            return f"the answer of a machine: {finding.kind}"
    headers = job.headers
    if not (headers.get("in-reply-to") or headers.get("references")):
        return ""
    if any(headers.get(name) is not None for name in _BULK):
        return ""
    message = Message(job)
    if not any(_ANSWER.match(subject) for subject in message.header("subject")):
        return ""
    return "somebody's answer: it quotes" if _QUOTED.search(_text(job)) else ""


def _text(job: Job) -> str:
    """The text, its lines as they are."""
    return plaintext.read(job.message).text[:MAX_TEXT]


def _claims(job: Job, domain: str) -> bool:
    """Whether a signature says that it is of a domain, or of one registered together with it."""
    shown = registrable(domain)
    return bool(shown) and any(registrable(signer) == shown for signer in _signers(job))


def _signers(job: Job) -> Iterator[str]:
    for value in _fields(job, "dkim-signature"):
        if found := _SIGNER.search(value):
            yield found[1].lower().rstrip(".")


def _is_known(noted: Mapping[str, Any]) -> bool:
    """Whether `auth` could tell: it has looked, and the DNS answered it."""
    dmarc = noted.get("dmarc")
    if not isinstance(dmarc, Mapping) or noted.get("unscanned") or noted.get("unjudged"):
        return False
    if noted.get("aligned"):
        return True
    dkim = noted.get("dkim")
    checks = [noted.get("spf"), dmarc, *(dkim if isinstance(dkim, list) else ())]
    return not any(isinstance(each, Mapping) and each.get("result") == "temperror" for each in checks)


@cache
def _rules() -> tuple[Rule, ...]:
    return tuple(ours(SETS))


def _fields(job: Job, name: str) -> list[str]:
    return [value[:MAX_VALUE] for value in job.headers.get_all(name)[:MAX_FIELDS]]


def _noted(job: Job, stage: str) -> Mapping[str, Any]:
    notes = job.notes.get(stage)
    return notes if isinstance(notes, Mapping) else {}


def _texts(thing: Any) -> list[str]:
    return [each for each in thing if isinstance(each, str)][:MAX_FIELDS] if isinstance(thing, list) else []
