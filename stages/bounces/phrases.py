"""The words that mail systems and their users put into answers: subjects by kind and language, texts by kind.

Regular expressions for lower-case text; white space in a text is one space. A subject's phrases are
whole enough that a parcel service's "delivery notification" is none of them. The evidence table in
stages/bounces/evidence.py gives them their points.
"""

BOUNCE_SUBJECT = (
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
    # German, French
    r"unzustellbar|nicht zu(?:gestellt|stellbar)|zustellung fehlgeschlagen|zustellungs?(?:fehler|status)",
    r"fehler bei der (?:nachrichten)?(?:zustellung|übermittlung)|mail ?zustellung",
    r"non remis|non d[ée]livr[ée]|échec (?:de la |de )?(?:remise|livraison|distribution)|état de remise",
    # Spanish, Portuguese, Italian
    r"no (?:se (?:puede|pudo|ha podido) )?entreg(?:ar|ado)|error (?:de|en la) entrega|correo devuelto",
    r"não (?:foi )?(?:possível )?entreg(?:ar|ue)|falha na entrega|mensagem devolvida",
    r"non (?:è stato )?(?:recapit|consegn)(?:abile|ato)|mancat[ao] (?:consegna|recapito)",
    # Dutch and the Nordic languages
    r"onbestelbaar|niet (?:af|be)(?:geleverd|zorgd)|ku?an?(?:de)? inte levereras|olevererbar",
    r"(?:kan|kunne) ikke leveres|ikke leveret|toimitus epäonnistui|ei voitu toimittaa",
    # Polish, Czech, Turkish, Hungarian, Russian
    r"niedostarcz|nie (?:można|udało się) dostarczyć|nedoručiteln|teslim edilemedi|kézbesíthetetlen",
    r"не (?:было )?доставлен|недоставлен|сбой доставки|ошибка доставки|невозможно доставить",
    # Japanese, Chinese, Korean
    r"配信(?:不能|エラー|でき)|送信できません|送信エラー|届けられません|エラーメール|メール.{0,6}エラー",
    r"退信|无法(?:送达|投递|传递)|(?:传输|投递|传递|发送|递送)失败|傳遞失敗|無法(?:送達|傳遞)",
    r"배달 ?실패|전송 ?실패|반송",
)
DELAY_SUBJECT = (
    r"\(delay(?:ed)?\)|message .{0,40}(?:still )?delayed|delivery (?:delayed|deferred|warning)",
    r"delayed (?:mail|delivery|message)|(?:mail|message) delayed|still being retried",
    r"notification: delayed|could not send message for|cannot send message for",
    r"zustellung.{0,20}verzögert|retard de (?:remise|livraison)|retrasad[oa]|配信遅延",
    r"notification \(?(?:success|relay)|successful mail delivery|^(?:delivered|relayed|expanded): ",
)
REPLY_SUBJECT = (
    r"\bout[ -]of[ -](?:the[ -])?office\b|\bautomati(?:c|sed|zed) (?:e-?mail )?(?:repl|respon)|^auto: ",
    r"\bauto[ -]?(?:matic )?(?:repl|respon)|\bvacation (?:repl|respon|notice|message)|\bvacation:",
    r"\baway (?:until|from (?:my|the|office|email|mail))|\bon (?:\w+ )?leave\b|\booo\b",
    r"awaits moderator approval|(?:post|message) awaiting approval|^unsubscribe$",
    r"abwesenheit|abwesend|automatische antwort|réponse automatique|absen(?:ce|t) du bureau|absence:",
    r"respuesta automática|fuera de (?:la )?oficina|resposta automática|fora do escritório|ausência",
    r"risposta automatica|fuori (?:sede|ufficio)|automatisch antwoord|afwezigheid|autosvar|frånvaro",
    r"automaattinen vastaus|poissa toimistosta|automatyczna odpowiedź|automatická odpověď",
    r"otomatik yan\u0131t|автоответ|автоматический ответ|нет на месте",
    r"自動(?:返信|応答|回覆)|不在(?:通知|です)|自动(?:回复|答复)|자동 ?(?:회신|응답)",
)
VIRUS_SUBJECT = (
    r"\bvirus (?:found|detected|alert|infected|notification|warning|in (?:mail|message|your))|^virus\b",
    r"(?:content|policy) (?:violation|filter)|banned (?:file|contents)",
    r"attachment (?:removed|blocked|quarant)|infected (?:mail|message|file)",
    r"(?:mail|message|attachment)s? .{0,20}(?:virus|infected|quarantined)",
    r"(?:scanmail|norton antivirus|interscan|antigen|mailscanner|symantec|amavis).{0,40}"
    r"(?:detect|found|block)",
)
CHALLENGE_SUBJECT = (
    r"(?:confirm|verify|authenticate|validate) (?:that you sent )?your (?:e-?mail|message)(?! addr)",
    r"(?:e-?mail|message|mail) (?:to .{1,60} )?(?:requires?|needs|awaiting|awaits) (?:your )?"
    r"(?:confirmation|verification|authori[sz]ation)",
    r"sender (?:verification|authentication|confirmation)|challenge[- ]response|spam ?arrest|^\[?confirm\]?:",
    r"verification (?:is )?required for (?:your )?(?:message|e-?mail) to|\(verification(?: required)?\)$",
)
FEEDBACK_SUBJECT = (
    r"feedback report|complaint about (?:message|e-?mail) from|abuse (?:report|complaint)",
    r"\bfbl (?:report|complaint)|spam (?:report|complaint) (?:from|about|for)|junk (?:e-?mail )?report",
)
RECEIPT_SUBJECT = (
    r"^(?:read|not read|gelesen|ungelesen gelöscht|lu|leído|letto|lido|lida|gelezen|läst|opened)\s?:",
    r"disposition notification|(?:read|return) receipt|message (?:displayed|was read)",
    r"開封(?:通知|確認|済)|已读",
)

SMTP_REPLY = (
    r"(?:\b[45]\d\d[ -]|[#(])[#(]?[45]\.\d{1,2}\.\d{1,2}\b",
    r"(?:rcpt to|mail from|data)\b.{0,200}\b[45]\d\d\b",
    r"(?:said|reply|response|error|replied|remote).{0,60}\b(?:4[2-5]\d|55\d)\b",
    r"\b55[0-4][ -]\S.{0,80}@",
)
FAILURE_TEXT = (
    r"(?:could|can) ?n[o']t be (?:delivered|sent|reached|processed)|(?:was|been)(?: not|n't) delivered",
    r"(?:not|un)able to (?:deliver|send|transmit) (?:your|the|this|mail|message)",
    r"delivery (?:to|of) .{0,200}fail|delivery failed|failed to deliver|did not reach the following",
    r"(?:not been|never) delivered|permanent (?:fatal )?error|undeliverable|non-?delivery|returned mail",
    r"(?:following|these) (?:address|recipient)(?:es|s)?\W.{0,40}(?:fail|had|problem|error|not)",
    r"(?:user|address|recipient|host|domain|mailbox|account) .{0,40}(?:unknown|unavailable|disabled|invalid|"
    r"rejected|is full|over ?quota|no longer valid|not (?:found|exist|listed|known)|(?:does|do)n't exist)",
    r"(?:unknown|no such|invalid|bad|non-?existent) (?:user|address|recipient|host|domain|mailbox|local)",
    r"quota exceeded|exceed\w* .{0,20}(?:quota|storage)|mailbox (?:is )?full|message (?:was )?rejected",
    r"transcript of session|failed (?:recipient|address)|reason (?:for|of) (?:the )?failure",
    r"nicht (?:zugestellt|ausgeliefert)|unzustellbar|n'a pas pu [eê]tre|no (?:se )?pudo|no ha podido",
    r"non (?:è|e') stato possibile|не (?:может|могло|было|удалось)|配信でき|送信でき|届けられ",
)
DELAY_TEXT = (
    r"(?:has|have) (?:not yet )?been (?:delayed|postponed|deferred|queued)|not yet been delivered",
    r"will (?:be retried|keep trying|continue to (?:try|attempt))|you do not need to resend",
    r"warning message only|delivery (?:attempts will|is delayed)|is delayed for",
    r"temporary (?:failure|problem)|still (?:being )?(?:retri|trying)",
)
ABSENCE_TEXT = (
    r"(?:i am|i'm|i will be|he is|she is) (?:\w+ )?(?:away|out of|travell?ing|on (?:\w+ )?(?:leave|holiday))",
    r"out of (?:the|my) office|(?:limited|no|intermittent|without) access to (?:my )?(?:e-?mail|voice)",
    r"(?:automat\w+|auto-?) ?(?:e-?mail )?(?:reply|repli|respon|generated (?:in )?(?:reply|response))",
    r"(?:reply|respond|get back|answer)\w* .{0,40}(?:as soon as|when i|upon my|on my return|shortly)",
    r"(?:mailbox|inbox|address|account) .{0,60}(?:no longer|not (?:being )?(?:monitored|in use|read))",
    r"no longer (?:with|works? (?:at|for)|employed)|abwesend|nicht im (?:büro|hause)|absent|de vacaciones",
)
CHALLENGE_TEXT = (
    r"(?:deliver|release|accept)\w* .{0,80}(?:you (?:must|need)|please) .{0,40}"
    r"(?:confirm|verif|click|reply|send)",
    r"(?:confirm|verify|reply|click|respond).{0,120}to (?:have|get|allow) your (?:message|e-?mail|mail)",
    r"(?:confirm|verify|reply|click|respond).{0,120}so (?:that )?your (?:message|e-?mail|mail)",
    r"(?:message|e-?mail|mail) .{0,40}\bheld\b.{0,120}(?:confirm|verif|approv|sender|recogni)",
    r"(?:approved|allowed|white-?list\w*) (?:sender|list) .{0,120}(?:confirm|click|reply)",
)
VIRUS_TEXT = (
    r"(?:virus|worm|trojan|infected|malware)\b.{0,120}\b(?:you sent|sent by you|attach)",
    r"(?:virus|worm|trojan|infected|malware)\b.{0,120}\b(?:in (?:a|an|the)|your) (?:message|e-?mail|mail)",
    r"(?:message|mail|attachment)s? .{0,80}(?:contain|infected|carr)\w* .{0,40}"
    r"(?:virus|worm|trojan|malware|banned)",
    r"banned (?:file|content|name)|v i r u s|our (?:virus|content) (?:scanner|checker|filter)",
)
COMPLAINT_TEXT = (
    r"(?:abuse|spam|feedback|complaint) (?:report|complaint)\b.{0,80}(?:message|e-?mail|ip|sent|received)",
    r"(?:marked|reported|flagged) .{0,40}(?:as )?(?:spam|junk|abus)",
)
RECEIPT_TEXT = (
    r"(?:message|mail).{0,200}(?:was|has been|is) (?:read|displayed|opened)\b|return receipt",
    r"no guarantee .{0,40}(?:read|understood)",
)
CALL_TO_CLICK = (
    r"\bhref ?=|<form\b",
    r"(?:click|log ?in|sign ?in|verify|password|release|upgrade)\b.{0,200}https?://",
    r"https?://.{0,200}\b(?:click|log ?in|sign ?in|verify|password|release|upgrade)\b",
)
