"""The evidence table of the backscatter stage: what speaks for mail being a machine's answer.

One row is one piece of evidence: its name (which ends up in the notes), the kind it speaks for, the
independent source it belongs to, its points, where to look, and what to look for. Only the strongest
row of a source counts, so ten phrases of one forged text weigh no more than one, and no single
source reaches the threshold: several must agree. The rows of source `doubt` lower the sum,
the lowest of them, unless there is proof.

Sources: `sender` (who it says it is from), `subject`, `declared` (what other header fields say it is),
`machine` (fields a program wrote for a program: RFC 3464, 5965, 8098), `returned` (the message it
gives back), `text` (what it tells a person), `circumstance` (the null sender of RFC 5321 section
4.5.5, an answer to a message, sent in bulk). The first three are claims: a line of a header says
whatever its writer likes.
"""

import re
from typing import Literal, NamedTuple

Kind = Literal["bounce", "delivery-notice", "autoreply", "challenge", "virus-notice", "feedback", "mdn"]

SLIGHT = 1
"""Points of what much ordinary mail has too; the body is not read for its sake."""

THRESHOLD = 6
"""From this sum on a message is backscatter; no single source can give as much."""

_REPORT_PROOFS = frozenset({"machine", "returned"})
PROOFS: dict[Kind, frozenset[str]] = {
    "bounce": _REPORT_PROOFS,
    "delivery-notice": _REPORT_PROOFS,
    "virus-notice": _REPORT_PROOFS,
    "feedback": _REPORT_PROOFS,
    "mdn": _REPORT_PROOFS,
    "autoreply": frozenset({"declared", "returned"}),
    "challenge": frozenset({"declared", "returned"}),
}
"""What dissolves a doubt: sources that a forger who wants a click seldom troubles to imitate."""

MARKERS = (
    b"message/delivery-status",
    b"message/feedback-report",
    b"message/disposition-notification",
    b"final-recipient:",
    b"notificationtype",
)
"""Without more than slight evidence in the header a body is read only if it holds one of these."""


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


# Subjects as mail systems and mail clients write them, lower case, by language. Phrases whole enough
# that a parcel service's "delivery notification" is none of them.
_BOUNCE_SUBJECTS = (
    r"undeliver(?:able|ed)\b|undelivrable|non-?deliver(?:y|able)|nondeliver",
    r"\breturned (?:e-?)?mail\b|returning (?:message|mail) to sender|return(?:ed)? to sender",
    r"(?:mail|message|e-?mail) delivery (?:sub)?(?:system|fail|problem|error|status|has failed)",
    r"delivery (?:status notification|failure|failed|error|has failed|problem|report\b|unsuccessful)",
    r"deliver(?:y|ing) (?:of )?(?:your )?(?:message|mail|e-?mail).{0,40}fail",
    r"^(?:re: ?|fwd?: ?)?failure notice|failure delivery|failed (?:mail|delivery)|\bmail fail(?:ed|ure)",
    r"mail (?:system )?error\b|error sending your mail|mail transaction failed|message status",
    r"(?:could|can) ?not be delivered|(?:not|un)able to deliver|was not delivered|could not deliver",
    r"(?:user|host|recipient|address|mailbox) (?:is )?(?:unknown|not found|full|over quota|unavailable)",
    r"(?:rejected|bounced?) (?:e-?mail|message)|(?:e-?mail|message) (?:bounce|rejected)|bounce notif",
    r"unzustellbar|nicht zu(?:gestellt|stellbar)|zustellung fehlgeschlagen|zustellungs?(?:fehler|status)",
    r"fehler bei der (?:nachrichten)?(?:zustellung|übermittlung)|mail ?zustellung",
    r"non remis|non délivré|non delivre|échec (?:de la |de )?(?:remise|livraison|distribution)|état de remise",
    r"no (?:se (?:puede|pudo|ha podido) )?entreg(?:ar|ado)|error (?:de|en la) entrega|correo devuelto",
    r"não (?:foi )?(?:possível )?entreg(?:ar|ue)|falha na entrega|mensagem devolvida",
    r"non (?:è stato )?(?:recapit|consegn)(?:abile|ato)|mancat[ao] (?:consegna|recapito)",
    r"onbestelbaar|niet (?:af|be)(?:geleverd|zorgd)|kunde inte levereras|kan inte levereras|olevererbar",
    r"kan ikke leveres|ikke leveret|kunne ikke leveres|toimitus epäonnistui|ei voitu toimittaa",
    r"niedostarcz|nie (?:można|udało się) dostarczyć|nedoručiteln|teslim edilemedi|kézbesíthetetlen",
    r"не (?:было )?доставлен|недоставлен|сбой доставки|ошибка доставки|невозможно доставить",
    r"配信(?:不能|エラー|でき)|送信できません|送信エラー|届けられません|エラーメール|メール.{0,6}エラー",
    r"退信|无法(?:送达|投递|传递)|(?:传输|投递|传递|发送|递送)失败|傳遞失敗|無法(?:送達|傳遞)|배달 ?실패|전송 ?실패|반송",
)
_DELAY_SUBJECTS = (
    r"delivery (?:status notification \(delay|delayed)|\(delay(?:ed)?\)|message .{0,40}(?:still )?delayed",
    r"delayed (?:mail|delivery|message)|(?:mail|message) delayed|still being retried|notification: delayed",
    r"could not send message for|cannot send message for|delivery warning|warning: could not send",
    r"zustellung.{0,20}verzögert|retard de (?:remise|livraison)|retrasad[oa]|配信遅延|delivery deferred",
    r"notification \(?(?:success|relay)|successful mail delivery|^delivered: |^relayed: |^expanded: ",
)
_REPLY_SUBJECTS = (
    r"\bout[ -]of[ -](?:the[ -])?office\b|\bautomati(?:c|sed|zed) (?:e-?mail )?(?:repl|respon)|^auto: |^unsubscribe$",
    r"\bauto[ -]?(?:matic )?(?:repl|respon)|\bvacation (?:repl|respon|notice|message)|\bvacation:",
    r"\baway (?:until|from (?:my|the|office|email|mail))|\bon (?:annual |maternity |sick )?leave\b|\booo\b",
    r"abwesenheit|abwesend|automatische antwort|réponse automatique|absen(?:ce|t) du bureau|absence:",
    r"respuesta automática|fuera de (?:la )?oficina|resposta automática|fora do escritório|ausência",
    r"risposta automatica|fuori (?:sede|ufficio)|automatisch antwoord|afwezigheid|autosvar|frånvaro",
    r"automaattinen vastaus|poissa toimistosta|automatyczna odpowiedź|automatická odpověď|otomatik yanıt",
    r"автоответ|автоматический ответ|нет на месте|自動(?:返信|応答|回覆)|不在(?:通知|です)|自动(?:回复|答复)|자동 ?(?:회신|응답)",
    r"awaits moderator approval|(?:post|message) awaiting approval|unsubscribe (?:confirmation|request)",
)
_VIRUS_SUBJECTS = (
    r"\bvirus (?:found|detected|alert|infected|notification|warning|in (?:mail|message|your))|^virus\b",
    r"(?:content|policy) (?:violation|filter)|banned (?:file|contents)|attachment (?:removed|blocked|quarant)",
    r"(?:mail|message|attachment)s? .{0,20}(?:virus|infected|quarantined)|infected (?:mail|message|file)",
    r"(?:scanmail|norton antivirus|interscan|antigen|mailscanner|symantec|amavis).{0,40}"
    r"(?:detect|found|alert|block|virus)",
)
_CHALLENGE_SUBJECTS = (
    r"(?:please )?(?:confirm|verify|authenticate|validate) (?:that you sent )?your (?:e-?mail|message)(?! addr)",
    r"(?:your )?(?:e-?mail|message|mail) (?:to .{1,60} )?(?:requires?|needs|awaiting|awaits) "
    r"(?:confirmation|verification|authori[sz]ation|your confirmation)",
    r"sender (?:verification|authentication|confirmation)|challenge[- ]response|spam ?arrest|^\[?confirm\]?:",
    r"verification (?:is )?required for (?:your )?(?:message|e-?mail) to",
)
_FEEDBACK_SUBJECTS = (
    r"(?:e-?mail )?feedback report|complaint about (?:message|e-?mail) from|abuse (?:report|complaint)",
    r"\bfbl (?:report|complaint)|spam (?:report|complaint) (?:from|about|for)|junk (?:e-?mail )?report",
)
_READ_SUBJECTS = (
    r"^(?:read|not read|gelesen|ungelesen gelöscht|lu|leído|letto|lido|lida|gelezen|läst|opened)\s?:",
    r"disposition notification|read receipt|return receipt|message (?:displayed|was read)|開封(?:通知|確認|済)|已读",
)

HEADER_RULES = (
    # who it is from
    _row("from mailer-daemon", "bounce", "sender", 4, "from", r"mailer[-_. ]?daemon", r"\bmdaemon@"),
    _row("from mail system", "bounce", "sender", 3, "from",
         r"mail (?:delivery|transfer) (?:sub)?system", r"system administrator|mail administrator",
         r"delivery (?:agent|service|subsystem)\b.*<(?:postmaster|mailer)"),
    _row("from postmaster", "bounce", "sender", 3, "from", r"(?:^|<|\")postmaster\\?@", r"^\W*postmaster\b"),
    _row("from nobody", "bounce", "sender", 2, "from", r"<\s*>"),
    _row("from virus scanner", "virus-notice", "sender", 3, "from",
         r"(?:^|<)(?:amavis|virus(?:-?(?:scan(?:ner)?|alert|admin|master))?|mailscanner|anti-?virus)\S*@",
         r"interscan|content filter|mail ?marshal|mimesweeper|scanmail"),
    _row("from confirmer", "challenge", "sender", 2, "from",
         r"(?:^|<)(?:confirm|challenge|verify-?sender|spamblocker|tmda|\S{1,64}-confirm-)\S*@"),
    _row("challenge service", "challenge", "declared", 4, "from", r"@(?:\S+\.)?(?:spamarrest|boxbe|bluebottle)\.com"),
    _row("from complaint desk", "feedback", "sender", 3, "from",
         r"(?:^|<)(?:feedback(?:loop)?|fbl|complaints?|scomp|arf|abuse-?report)\S*@", r"^<?staff@hotmail"),
    _row("from notification service", None, "sender", 2, "from", r"@sns\.amazonaws\.com"),
    _row("returned by mailer-daemon", "bounce", "sender", 2, "return-path", r"^<?mailer-daemon"),
    # what it calls itself
    _row("bounce subject", "bounce", "subject", 3, "subject", *_BOUNCE_SUBJECTS),
    _row("delay subject", "delivery-notice", "subject", 3, "subject", *_DELAY_SUBJECTS),
    _row("auto-reply subject", "autoreply", "subject", 3, "subject", *_REPLY_SUBJECTS),
    _row("courtesy subject", "autoreply", "subject", 2, "subject", r"^thank you for (?:your|contacting)"),
    _row("virus subject", "virus-notice", "subject", 3, "subject", *_VIRUS_SUBJECTS),
    _row("challenge subject", "challenge", "subject", 3, "subject", *_CHALLENGE_SUBJECTS),
    _row("feedback subject", "feedback", "subject", 3, "subject", *_FEEDBACK_SUBJECTS),
    _row("receipt subject", "mdn", "subject", 3, "subject", *_READ_SUBJECTS),
    # what its other fields declare
    _row("report-type delivery-status", "bounce", "declared", 4, "content-type",
         r"report-type\s*=\s*[\"']?delivery-status"),
    _row("report-type disposition-notification", "mdn", "declared", 4, "content-type",
         r"report-type\s*=\s*[\"']?disposition-notification"),
    _row("report-type feedback-report", "feedback", "declared", 4, "content-type",
         r"report-type\s*=\s*[\"']?(?:feedback-report|abuse-report)"),
    _row("multipart/report", None, "declared", SLIGHT, "content-type", r"multipart/report"),
    _row("x-failed-recipients", "bounce", "declared", 4, "x-failed-recipients", r"@"),
    _row("auto-submitted auto-replied", "autoreply", "declared", 5, "auto-submitted", r"auto-replied"),
    _row("auto-submitted failure", "bounce", "declared", 4, "auto-submitted", r"auto-\w+ \(failure"),
    _row("auto-submitted warning", "delivery-notice", "declared", 4, "auto-submitted", r"\(warning"),
    _row("x-autoreply", "autoreply", "declared", 5, "x-autoreply", r"\S"),
    _row("x-autorespond", "autoreply", "declared", 4, "x-autorespond", r"\S"),
    _row("x-autoresponder", "autoreply", "declared", 4, "x-autoresponder", r"\S"),
    _row("x-auto-reply-from", "autoreply", "declared", 4, "x-autoreply-from", r"\S"),
    _row("precedence auto_reply", "autoreply", "declared", 4, "precedence", r"auto[_-]?reply"),
    _row("apple vacation", "autoreply", "declared", 4, "x-apple-action", r"vacation"),
    _row("embedded report", "bounce", "declared", 2, "x-ms-embedded-report", r""),
    _row("x-tmda", "challenge", "declared", 4, "x-tmda-confirm", r"\S"),
    _row("challenge mailer", "challenge", "declared", 3, "x-mailer", r"choicemail|tmda|spam ?arrest|boxtrapper"),
    _row("sent to a list", None, "doubt", -3, "list-unsubscribe", r"\S"),
    # circumstances
    _row("answers a message", None, "circumstance", SLIGHT, "in-reply-to", r"@"),
    _row("precedence", None, "circumstance", SLIGHT, "precedence", r"bulk|junk|auto"),
)  # fmt: skip

PROOF_RULES = (
    # fields written by a program for a program
    _row("delivery-status part", "bounce", "machine", 4, "body", r"content-type:\s*message/(?:global-)?delivery-status"),
    _row("recipient status fields", "bounce", "machine", 5, "body",
         r"final-recipient:[^\n]{0,300}@(?s:.{0,600}?)\n[> \t]*(?:action|status):",
         r"(?:action|status):(?s:.{0,300}?)\n[> \t]*final-recipient:"),
    _row("action delayed", "delivery-notice", "machine", 5, "body", r"\n[> \t]*action:\s*(?:delayed|delivered|relayed|expanded)"),
    _row("status fields", "bounce", "machine", 3, "body", r"\n[> \t]*diagnostic-code:|\n[> \t]*reporting-mta:"),
    _row("disposition part", "mdn", "machine", 5, "body",
         r"content-type:\s*message/disposition-notification", r"\ndisposition:\s*(?:manual|automatic)-action/"),
    _row("feedback part", "feedback", "machine", 5, "body",
         r"content-type:\s*message/feedback-report", r"\nfeedback-type:\s*\w"),
    _row("bounce event", "bounce", "machine", 5, "body", r"notificationtype\W{1,12}bounce"),
    _row("delivery event", "delivery-notice", "machine", 5, "body", r"notificationtype\W{1,12}delivery"),
    _row("complaint event", "feedback", "machine", 5, "body", r"notificationtype\W{1,12}complaint"),
    # the message it returns
    _row("returned message part", None, "returned", 2, "body", r"content-type:\s*message/rfc822\b"),
    _row("returned headers part", "bounce", "returned", 3, "body", r"content-type:\s*text/rfc822-headers?"),
    _row("returned message inline", "bounce", "returned", 2, "body",
         r"\n[> \t]*(?:received: ?(?:from|by|\(qmail|\(from)[^\n]|return-path: ?<)"),
    _row("smtp reply", "bounce", "machine", 3, "notice",
         r"(?:\b[45]\d\d[ -]|[#(])[#(]?[45]\.\d{1,2}\.\d{1,2}\b", r"(?:rcpt to|mail from|data)\b.{0,120}\n?.{0,80}\b[45]\d\d\b",
         r"(?:said|reply|response|error|replied|remote).{0,60}\b(?:4[2-5]\d|55\d)\b", r"\b55[0-4][ -]\S.{0,80}@"),
    _row("action failed", "bounce", "verdict", 0, "body", r"\n[> \t]*action:\s*(?:fail|error)"),
)  # fmt: skip

TEXT_RULES = (
    # what it says to a person
    _row("failure text", "bounce", "text", 3, "notice",
         r"(?:could|can) ?n[o']t be (?:delivered|sent|reached|processed)|was(?: not|n't) delivered",
         r"(?:not|un)able to (?:deliver|send|transmit) (?:your|the|this|mail|message)|delivery (?:to|of) .{0,200}fail",
         r"did not reach the following|delivery failed|failed to deliver|permanent (?:fatal )?error|undeliverable",
         r"(?:following|these) (?:address|recipient)(?:es|s)?\W.{0,40}(?:fail|had|problem|error|not)",
         r"(?:user|address|recipient|host|domain|mailbox|account) .{0,40}(?:unknown|not (?:found|exist|listed|known)|"
         r"(?:does|do)(?: not|n't) exist|unavailable|disabled|is full|over ?quota|invalid|rejected)",
         r"(?:unknown|no such|invalid|bad|non-?existent) (?:user|address|recipient|host|domain|mailbox|local)",
         r"quota exceeded|exceed\w* .{0,20}(?:quota|storage)|mailbox (?:is )?full|message (?:was )?rejected",
         r"transcript of session|failed (?:recipient|address)|non-?delivery|reason (?:for|of) (?:the )?failure|returned mail",
         r"nicht (?:zugestellt|ausgeliefert)|unzustellbar|n'a pas pu etre|n'a pas pu être|no (?:se )?pudo|no ha podido",
         r"non (?:è stato|e' stato) possibile|не (?:может|могло|было|удалось)|配信でき|送信でき|届けられ|ユーザー?(?:が|は)"),
    _row("delay text", "delivery-notice", "text", 3, "notice",
         r"(?:has|have) (?:not yet )?been (?:delayed|postponed|deferred|queued)|not yet been delivered|is delayed for",
         r"will (?:be retried|keep trying|continue to (?:try|attempt))|you do not need to resend|warning message only",
         r"delivery (?:attempts will|is delayed|has been delayed)|temporary (?:failure|problem)|still (?:being )?(?:retri|trying)"),
    _row("absence text", "autoreply", "text", 3, "notice",
         r"(?:i am|i'm|i will be|he is|she is) (?:\w+ )?(?:away|out of|on (?:\w+ )?(?:leave|holiday|vacation)|travell?ing)",
         r"out of (?:the|my) office|(?:limited|no|intermittent|unable to|without) access to (?:my )?(?:e-?mail|voice)",
         r"(?:automat\w+|auto-?) ?(?:e-?mail )?(?:reply|repli|respon|generated (?:in )?(?:reply|response))",
         r"(?:reply|respond|get back|answer)\w* .{0,40}(?:as soon as|when i|upon my|on my return|shortly)",
         r"(?:mailbox|inbox|address|account) .{0,60}(?:no longer|not (?:being )?(?:monitored|in use|read))",
         r"no longer (?:with|works? (?:at|for)|employed)|abwesend|nicht im (?:büro|hause)|absent|de vacaciones"),
    _row("challenge text", "challenge", "text", 4, "notice",
         r"(?:deliver|release|accept)\w* .{0,80}(?:you (?:must|need)|please) .{0,40}(?:confirm|verif|click|reply|send)",
         r"(?:confirm|verify|reply|click|respond).{0,120}(?:to (?:have|get|allow) your (?:message|e-?mail|mail)|"
         r"so (?:that )?your (?:message|e-?mail|mail)|your (?:original )?(?:message|e-?mail|mail) (?:will|can) (?:then )?be)",
         r"(?:message|e-?mail|mail) .{0,40}\bheld\b.{0,120}(?:confirm|verif|approv|sender|recogni)",
         r"(?:approved|allowed|white-?list\w*) (?:sender|list) .{0,120}(?:confirm|click|reply)"),
    _row("virus text", "virus-notice", "text", 4, "notice",
         r"(?:virus|worm|trojan|infected|malware)\b.{0,120}\b(?:you sent|your (?:message|e-?mail|mail)|sent by you|in (?:a|an|the) "
         r"(?:message|e-?mail|mail|attachment)|attach)",
         r"(?:message|e-?mail|mail|attachment)s? .{0,80}(?:contain|infected|carr)\w* .{0,40}(?:virus|worm|trojan|malware|infect|banned)",
         r"banned (?:file|content|name)|v i r u s|our (?:virus|content) (?:scanner|checker|filter)|quarantined .{0,60}virus"),
    _row("complaint text", "feedback", "text", 3, "notice",
         r"(?:abuse|spam|feedback|complaint) (?:report|complaint)\b.{0,80}(?:message|e-?mail|ip|sent|received)",
         r"(?:marked|reported|flagged) .{0,40}(?:as )?(?:spam|junk|abus)"),
    _row("receipt text", "mdn", "text", 3, "notice",
         r"(?:message|mail).{0,200}(?:was|has been|is) (?:read|displayed|opened)\b|no guarantee .{0,40}(?:read|understood)",
         r"return receipt"),
)  # fmt: skip

DOUBT_RULES = (
    _row("asks for a click", None, "doubt", -12, "body", r"\bhref ?=|<form\b",
         r"(?:click|log ?in|sign ?in|verify|password|release|upgrade)\b.{0,200}https?://",
         r"https?://.{0,200}\b(?:click|log ?in|sign ?in|verify|password|release|upgrade)\b"),
    _row("link", None, "doubt", -3, "notice", r"https?://"),
    _row("attachment of its own", None, "doubt", -12, "notice", r"content-disposition: ?attachment",
         r"content-type: ?(?:application|image|text/html)[^;]{0,60};.{0,80}\bname="),
)  # fmt: skip

NULL_SENDER = _row("null sender", None, "circumstance", SLIGHT, "", "")
DETECTED = _row("flufl.bounce", "bounce", "detector", 3, "", "")
"""A detector of flufl.bounce found a failed recipient."""

RETURNED = re.compile(
    r"content-type:\s*(?:message/rfc822|text/rfc822-headers)"
    r"|\n[->\s*|]{0,20}(?:this is a copy|below this line|(?:the )?(?:original|returned|unsent|bounced) (?:message|e-?mail)"
    r"|message (?:header|text) follow|received: |return-path: )"
)
"""Where the notice ends and the returned message begins."""
