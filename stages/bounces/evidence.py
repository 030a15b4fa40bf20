"""The evidence table of the backscatter stage: what speaks for mail being a machine's answer.

One row is one piece of evidence: its name (which ends up in the notes), the kind it speaks for, the
independent source it belongs to, its points, where to look, and what to look for. Only the strongest
row of a source counts, so ten phrases of one forged text weigh no more than one, and no single
source reaches the threshold: several must agree.

Sources: `sender` (who it says it is from), `subject`, `declared` (what other header fields say it is),
`machine` (fields a program wrote for a program: RFC 3464, 5965, 8098), `reply` (an SMTP reply),
`returned` (the message it gives back), `text` (what it tells a person), `detector` (flufl.bounce) and
`circumstance` (the null sender of RFC 5321 section 4.5.5, an answer to a message, sent in bulk: much
ordinary mail has these). A header says whatever its writer likes, so its sources are weighed as CLAIMS.
Rows of source `doubt` lower the sum, the lowest of them, unless there is proof. Two sources give no
points: `verdict` keeps a bounce from being called a notice of delay, and `answering` (a subject that
begins with "Re:") is something a reader sees, so that FREE claims are not alone.
"""

import re
from typing import Literal, NamedTuple

from stages.bounces import phrases as say

Kind = Literal["bounce", "delivery-notice", "autoreply", "challenge", "virus-notice", "feedback", "mdn"]

FAMILY: dict[Kind, str] = {
    "bounce": "report",
    "delivery-notice": "report",
    "virus-notice": "report",
    "feedback": "feedback",
    "mdn": "receipt",
    "autoreply": "answer",
    "challenge": "answer",
}
"""Evidence for a kind counts for all kinds of its family; evidence for no kind counts for every one."""

UNNAMED: Kind = "autoreply"
"""The kind of what calls itself automatic and says nothing more."""

_MACHINE, _RETURNED = frozenset({"machine"}), frozenset({"returned"})
PROOFS = {
    "report": (_MACHINE, _RETURNED),
    "feedback": (_MACHINE, _RETURNED),
    "receipt": (_MACHINE, _RETURNED),
    "answer": (_RETURNED, frozenset({"declared", "subject", "text"})),
}
"""What dissolves a doubt, by family: any of these sets of sources, which a forger who wants a click seldom
troubles to imitate. Answers often return nothing: there header, subject and text must all say the same,
and who writes such a subject and text has no room left for what he would sell."""

FREE = frozenset({"declared", "circumstance", "detector"})
"""Sources that cost a spammer two lines of header which nobody sees (flufl.bounce believes such a line):
alone they never suffice."""

CLAIMS = FREE | {"sender", "subject", "answering"}
"""Sources that need nothing but a header: with a LURE in the message they never suffice."""

LURE = -5
"""Doubt from this down: a link, a form or an attachment, what a spammer writes for."""

THRESHOLD = 6
"""From this sum on a message is backscatter; no single source can give as much."""

SLIGHT = 1
"""Points of what much ordinary mail has too; the body is not read for its sake."""

MARKERS = (
    b"message/delivery-status",
    b"message/feedback-report",
    b"message/disposition-notification",
    b"final-recipient:",
    b"notificationtype",
)
"""Without more than slight evidence in the header a body is read only if it holds one of these."""

RETURNED = re.compile(
    r"content-type:\s*(?:message/rfc822|text/rfc822-headers)"
    r"|\n[->\s*|]{0,20}(?:this is a copy|below this line|message (?:header|text) follow"
    r"|received: |return-path: |(?:the )?(?:original|returned|unsent|bounced) (?:message|e-?mail))"
)
"""Where the notice ends and the returned message begins."""


class Rule(NamedTuple):
    """One row. `where` is a header field, or `notice` (the text before the returned message) or `body`."""

    name: str
    kind: Kind | None
    source: str
    points: int
    where: str
    pattern: re.Pattern[str]


def _row(name: str, kind: Kind | None, source: str, points: int, where: str, *patterns: str) -> Rule:
    return Rule(name, kind, source, points, where, re.compile("|".join(patterns)))


HEADER_RULES = (
    # who it is from
    _row("from mailer-daemon", "bounce", "sender", 4, "from", r"mailer[-_. ]?daemon", r"\bmdaemon@"),
    _row("from mail system", "bounce", "sender", 3, "from",
         r"mail (?:delivery|transfer) (?:sub)?system|(?:system|mail) administrator",
         r"delivery (?:agent|service|subsystem)\b.*<(?:postmaster|mailer)"),
    _row("from postmaster", "bounce", "sender", 3, "from",
         r"(?:^|<|\")post[-_.]?master\\?@|^\W*postmaster\b"),
    _row("from nobody", "bounce", "sender", 2, "from", r"<\s*>"),
    _row("from virus scanner", "virus-notice", "sender", 3, "from",
         r"(?:^|<)(?:amavis|virus(?:-?(?:scan(?:ner)?|alert|admin|master))?|mailscanner|anti-?virus)\S*@",
         r"interscan|content filter|mail ?marshal|mimesweeper|scanmail"),
    _row("from confirmer", "challenge", "sender", 2, "from",
         r"(?:^|<)(?:confirm|challenge|verify-?sender|spamblocker|tmda|\S{1,64}-confirm-)\S*@"),
    _row("from complaint desk", "feedback", "sender", 3, "from",
         r"(?:^|<)(?:feedback(?:loop)?|fbl|complaints?|scomp|arf|abuse-?report)\S*@|^<?staff@hotmail"),
    _row("from notification service", None, "sender", 2, "from", r"@sns\.amazonaws\.com"),
    _row("returned by mailer-daemon", "bounce", "sender", 2, "return-path", r"^<?mailer-daemon"),
    # what it is called
    _row("bounce subject", "bounce", "subject", 3, "subject", *say.BOUNCE_SUBJECT),
    _row("delay subject", "delivery-notice", "subject", 3, "subject", *say.DELAY_SUBJECT),
    _row("auto-reply subject", "autoreply", "subject", 3, "subject", *say.REPLY_SUBJECT),
    _row("answering subject", "autoreply", "answering", 0, "subject",
         r"^(?:re|auto|aw|antw|sv|vs|rif|odp) ?:"),
    _row("courtesy subject", "autoreply", "subject", 2, "subject", r"^thank you for (?:your|contacting)"),
    _row("virus subject", "virus-notice", "subject", 3, "subject", *say.VIRUS_SUBJECT),
    _row("challenge subject", "challenge", "subject", 3, "subject", *say.CHALLENGE_SUBJECT),
    _row("feedback subject", "feedback", "subject", 3, "subject", *say.FEEDBACK_SUBJECT),
    _row("receipt subject", "mdn", "subject", 3, "subject", *say.RECEIPT_SUBJECT),
    # what it calls itself
    _row("report-type delivery-status", "bounce", "declared", 4, "content-type",
         r"report-type\s*=\s*[\"']?delivery-status"),
    _row("report-type disposition-notification", "mdn", "declared", 4, "content-type",
         r"report-type\s*=\s*[\"']?disposition-notification"),
    _row("report-type feedback-report", "feedback", "declared", 4, "content-type",
         r"report-type\s*=\s*[\"']?(?:feedback-report|abuse-report)"),
    _row("multipart/report", None, "declared", SLIGHT, "content-type", r"multipart/report"),
    _row("x-failed-recipients", "bounce", "declared", 4, "x-failed-recipients", r"@"),
    _row("auto-submitted auto-replied", None, "declared", 5, "auto-submitted", r"auto-replied"),
    _row("auto-submitted failure", "bounce", "declared", 4, "auto-submitted", r"auto-\w+ \(failure"),
    _row("auto-submitted warning", "delivery-notice", "declared", 4, "auto-submitted", r"\(warning"),
    _row("x-autoreply", "autoreply", "declared", 5, "x-autoreply", r"\S"),
    _row("x-autorespond", "autoreply", "declared", 4, "x-autorespond", r"\S"),
    _row("x-autoresponder", "autoreply", "declared", 4, "x-autoresponder", r"\S"),
    _row("x-autoreply-from", "autoreply", "declared", 4, "x-autoreply-from", r"\S"),
    _row("precedence auto_reply", "autoreply", "declared", 4, "precedence", r"auto[_-]?reply"),
    _row("apple vacation", "autoreply", "declared", 4, "x-apple-action", r"vacation"),
    _row("embedded report", "bounce", "declared", 2, "x-ms-embedded-report", r""),
    _row("challenge service", "challenge", "declared", 4, "from",
         r"@(?:\S+\.)?(?:spamarrest|boxbe|bluebottle)\.com"),
    _row("challenge mailer", "challenge", "declared", 3, "x-mailer",
         r"choicemail|tmda|spam ?arrest|boxtrapper"),
    _row("x-tmda", "challenge", "declared", 4, "x-tmda-confirm", r"\S"),
    # circumstances, and what makes them doubtful
    _row("answers a message", None, "circumstance", SLIGHT, "in-reply-to", r"@"),
    _row("precedence", None, "circumstance", SLIGHT, "precedence", r"bulk|junk|auto"),
    _row("sent to a list", None, "doubt", -2, "list-unsubscribe", r"\S"),
)  # fmt: skip

PROOF_RULES = (
    _row("delivery-status part", "bounce", "machine", 4, "body",
         r"content-type:\s*message/(?:global-)?delivery-status"),
    _row("recipient status fields", "bounce", "machine", 5, "body",
         r"final-recipient:[^\n]{0,300}@(?s:.{0,600}?)\n[> \t]*(?:action|status):",
         r"(?:action|status):(?s:.{0,300}?)\n[> \t]*final-recipient:"),
    _row("action delayed", "delivery-notice", "machine", 5, "body",
         r"\n[> \t]*action:\s*(?:delayed|delivered|relayed|expanded)"),
    _row("action failed", "bounce", "verdict", 0, "body", r"\n[> \t]*action:\s*(?:fail|error)"),
    _row("status fields", "bounce", "machine", 3, "body", r"\n[> \t]*(?:diagnostic-code|reporting-mta):"),
    _row("disposition part", "mdn", "machine", 5, "body", r"content-type:\s*message/disposition-notification",
         r"\ndisposition:\s*(?:manual|automatic)-action/"),
    _row("feedback part", "feedback", "machine", 5, "body", r"content-type:\s*message/feedback-report",
         r"\nfeedback-type:\s*\w"),
    _row("bounce event", "bounce", "machine", 5, "body", r"notificationtype\W{1,12}bounce"),
    _row("delivery event", "delivery-notice", "machine", 5, "body", r"notificationtype\W{1,12}delivery"),
    _row("complaint event", "feedback", "machine", 5, "body", r"notificationtype\W{1,12}complaint"),
    _row("returned message part", None, "returned", 2, "body", r"content-type:\s*message/rfc822\b"),
    _row("returned headers part", "bounce", "returned", 3, "body", r"content-type:\s*text/rfc822-headers?"),
    _row("returned message inline", "bounce", "returned", 2, "body",
         r"\n[> \t]*(?:received: ?(?:from|by|\(qmail|\(from)[^\n]|return-path: ?<)"),
)  # fmt: skip

TEXT_RULES = (
    _row("smtp reply", "bounce", "reply", 3, "notice", *say.SMTP_REPLY),
    _row("failure text", "bounce", "text", 3, "notice", *say.FAILURE_TEXT),
    _row("delay text", "delivery-notice", "text", 3, "notice", *say.DELAY_TEXT),
    _row("absence text", "autoreply", "text", 3, "notice", *say.ABSENCE_TEXT),
    _row("challenge text", "challenge", "text", 4, "notice", *say.CHALLENGE_TEXT),
    _row("virus text", "virus-notice", "text", 4, "notice", *say.VIRUS_TEXT),
    _row("complaint text", "feedback", "text", 3, "notice", *say.COMPLAINT_TEXT),
    _row("receipt text", "mdn", "text", 3, "notice", *say.RECEIPT_TEXT),
    _row("asks for a click", None, "doubt", -17, "body", *say.CALL_TO_CLICK),
    _row("link", None, "doubt", LURE, "notice", r"https?://"),
    _row("attachment of its own", None, "doubt", -17, "notice", r"content-disposition: ?attachment",
         r"content-type: ?(?:application|image|text/html)[^;]{0,60};.{0,80}\bname="),
)  # fmt: skip

NULL_SENDER = _row("null sender", None, "circumstance", SLIGHT, "", "")
DETECTED = _row("flufl.bounce", "bounce", "detector", 2, "", "")
"""A detector of flufl.bounce found a failed recipient."""
