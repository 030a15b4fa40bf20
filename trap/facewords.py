"""What well-known mail servers say, word for word, as data for trap/face.py.

Taken from the programs themselves where they could be asked: Postfix 3.7, Exim 4.96, Sendmail 8.17.
netqmail and Exchange 2019 are written down from what such servers are known to answer. A reply is
`code text`; lines are parted by a line feed. Blanks to fill:

    {host} {max}          our name and the size limit
    {name} {ip}           what the client calls itself, and its address
    {said}                the address, argument or verb that is answered
    {id}                  of a stored message in that server's form; may come in two parts
    {now}                 date and time
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Words(NamedTuple):
    """One server's replies. The defaults are our own plain ones."""

    banner: str = "220 {host} ESMTP"
    helo: str = "250 {host}"
    ehlo: str = "{host}"
    """The first line of the answer to EHLO and LHLO, without its code."""
    offers: str = (
        "PIPELINING, SIZE {max}, 8BITMIME, SMTPUTF8, ENHANCEDSTATUSCODES, "
        "CHUNKING, STARTTLS, AUTH PLAIN LOGIN"
    )
    """Its keywords in its order, those that we keep our word about; STARTTLS and AUTH may be left out."""
    mail_ok: str = "250 2.1.0 Ok"
    rcpt_ok: str = "250 2.1.5 Ok"
    data_go: str = "354 End with <CR><LF>.<CR><LF>"
    queued: str = "250 2.0.0 Ok: queued as {id}"
    rset: str = "250 2.0.0 Ok"
    noop: str = "250 2.0.0 Ok"
    vrfy: str = "252 2.5.1 Send some mail, we will see"
    expn: str = "502 5.5.1 Not offered"
    help: str = "214 2.0.0 HELO EHLO LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN AUTH HELP STARTTLS QUIT"
    quit: str = "221 2.0.0 Bye"
    unknown_verb: str = "500 5.5.2 Command not understood"
    line_too_long: str = "500 5.5.2 Line too long"
    mail_syntax: str = "501 5.5.4 Syntax: MAIL FROM:<address>"
    rcpt_syntax: str = "501 5.5.4 Syntax: RCPT TO:<address>"
    no_address: str = "501 5.1.3 No address"
    mail_first: str = "503 5.5.1 MAIL first"
    rcpt_first: str = "503 5.5.1 RCPT first"
    no_valid_recipients: str = "503 5.5.1 RCPT first"
    """To DATA after nothing but refused recipients."""
    no_such_user: str = "550 5.1.1 No such user here"
    too_many_recipients: str = "452 4.5.3 Too many recipients"
    declared_too_large: str = "552 5.3.4 Message is larger than {max} bytes"
    """To MAIL with SIZE=."""
    too_large: str = "552 5.3.4 Message is larger than {max} bytes"
    """To the message itself."""
    no_room: str = "452 4.3.1 Insufficient system storage"
    not_offered: str = "502 5.5.1 Not offered"
    """To AUTH where there is none."""
    starttls_ready: str = "220 2.0.0 Ready"
    starttls_not_now: str = "503 5.5.1 Not offered now"
    starttls_unknown: str = "503 5.5.1 Not offered now"
    """Where there is no TLS at all."""
    starttls_argument: str = "501 5.5.4 STARTTLS has no argument"
    bdat_ok: str = "250 2.0.0 {said} bytes"
    bdat_syntax: str = "501 5.5.4 Syntax: BDAT size [LAST]"
    bdat_begun: str = "503 5.5.1 BDAT was begun"
    wrong_protocol: str = "500 5.5.1 This is SMTP, say EHLO"
    """To LHLO in SMTP."""
    wrong_protocol_lmtp: str = "500 5.5.1 This is LMTP, say LHLO"
    """To HELO and EHLO in LMTP."""
    auth_ok: str = "235 2.7.0 Authentication successful"
    auth_failed: str = "535 5.7.8 Authentication failed"
    auth_syntax: str = "501 5.5.2 Syntax: AUTH mechanism [base64]"
    auth_unknown: str = "504 5.5.4 Unknown mechanism"
    auth_aborted: str = "501 5.7.0 Authentication aborted"
    hang_up: Mapping[str, str] = MappingProxyType(
        {
            "timeout": "421 4.4.2 Nothing heard for too long",
            "errors": "421 4.7.0 Too many errors",
            "commands": "421 4.7.0 Too many commands",
            "duration": "421 4.4.2 Session has lasted too long",
            "slow": "421 4.4.2 Data comes too slowly",
            "shutdown": "421 4.3.2 Shutting down",
            "busy": "421 4.3.2 Too busy",
            "internal": "421 4.3.0 Internal error",
            "rate": "421 4.7.0 Too much too fast",
        }
    )
    """By cause, for code 421; said with 521, the enhanced code follows."""


PLAIN = Words()


def _hang_ups(
    timeout: str, errors: str, shutdown: str, busy: str, rate: str, internal: str
) -> Mapping[str, str]:
    """Texts by cause, where a server has these six only."""
    return MappingProxyType(
        {"timeout": timeout, "duration": timeout, "slow": timeout, "errors": errors, "commands": errors}
        | {"shutdown": shutdown, "busy": busy, "rate": rate, "internal": internal}
    )


POSTFIX = PLAIN._replace(
    banner="220 {host} ESMTP Postfix",
    offers=(
        "PIPELINING, SIZE {max}, VRFY, STARTTLS, AUTH PLAIN LOGIN, ENHANCEDSTATUSCODES, "
        "8BITMIME, SMTPUTF8, CHUNKING"
    ),
    data_go="354 End data with <CR><LF>.<CR><LF>",
    vrfy="252 2.0.0 {said}",
    expn="500 5.5.2 Error: command not recognized",
    help="500 5.5.2 Error: command not recognized",
    unknown_verb="500 5.5.2 Error: command not recognized",
    line_too_long="500 5.5.2 Error: bad syntax",
    no_address="501 5.1.3 Bad recipient address syntax",
    mail_first="503 5.5.1 Error: need MAIL command",
    rcpt_first="503 5.5.1 Error: need RCPT command",
    no_valid_recipients="554 5.5.1 Error: no valid recipients",
    no_such_user="550 5.1.1 <{said}>: Recipient address rejected: User unknown in local recipient table",
    too_many_recipients="452 4.5.3 Error: too many recipients",
    declared_too_large="552 5.3.4 Message size exceeds fixed limit",
    too_large="552 5.3.4 Error: message file too big",
    not_offered="503 5.5.1 Error: authentication not enabled",
    starttls_ready="220 2.0.0 Ready to start TLS",
    starttls_not_now="554 5.5.1 Error: TLS already active",
    starttls_unknown="502 5.5.1 Error: command not implemented",
    starttls_argument="501 5.5.4 Syntax: STARTTLS",
    bdat_ok="250 2.0.0 Ok: {said} bytes",
    bdat_syntax="521 5.5.4 Syntax: BDAT count [LAST]",
    bdat_begun="503 5.5.1 Error: DATA after BDAT",
    wrong_protocol="500 5.5.2 Error: command not recognized",
    wrong_protocol_lmtp="500 5.5.2 Error: command not recognized",
    auth_failed="535 5.7.8 Error: authentication failed: (reason unavailable)",
    auth_syntax="501 5.5.4 Syntax: AUTH mechanism",
    auth_unknown="535 5.7.8 Error: authentication failed: Invalid authentication mechanism",
    hang_up=_hang_ups(
        timeout="421 4.4.2 {host} Error: timeout exceeded",
        errors="421 4.7.0 {host} Error: too many errors",
        shutdown="421 4.3.2 {host} Service unavailable - try again later",
        busy="421 4.3.2 All server ports are busy",
        rate="421 4.7.0 {host} Error: too many connections",
        internal="421 4.3.0 {host} Server local error",
    ),
)

EXIM = PLAIN._replace(
    banner="220 {host} ESMTP Exim 4.98.2 {now}",
    helo="250 {host} Hello {name} [{ip}]",
    ehlo="{host} Hello {name} [{ip}]",
    offers="SIZE {max}, 8BITMIME, PIPELINING, AUTH PLAIN LOGIN, CHUNKING, STARTTLS, SMTPUTF8, HELP",
    mail_ok="250 OK",
    rcpt_ok="250 Accepted",
    data_go='354 Enter message, ending with "." on a line by itself',
    queued="250 OK id={id}",
    rset="250 Reset OK",
    noop="250 OK",
    vrfy="252 Administrative prohibition",
    expn="550 Administrative prohibition",
    help="214-Commands supported:\n214 AUTH STARTTLS HELO EHLO MAIL RCPT DATA BDAT NOOP QUIT RSET HELP",
    quit="221 {host} closing connection",
    unknown_verb="500 unrecognized command",
    line_too_long="500 unrecognized command",
    mail_syntax="500 unrecognized command",
    rcpt_syntax="500 unrecognized command",
    no_address="501 <>: missing or malformed local part",
    mail_first="503 sender not yet given",
    rcpt_first="503 valid RCPT command must precede DATA",
    no_valid_recipients=(
        "503-All RCPT commands were rejected with this error:\n503-550 Unrouteable address\n"
        "503 valid RCPT command must precede DATA"
    ),
    no_such_user="550 Unrouteable address",
    too_many_recipients="452 too many recipients",
    declared_too_large="552 Message size exceeds maximum permitted",
    too_large="552 Message size exceeds maximum permitted",
    no_room="452 Space shortage, please try later",
    not_offered="503 AUTH command used when not advertised",
    starttls_ready="220 TLS go ahead",
    starttls_not_now="554 Already in TLS",
    starttls_unknown="503 STARTTLS command used when not advertised",
    starttls_argument="501 unexpected argument data",
    bdat_ok="250 {said} byte chunk received",
    bdat_syntax="501 missing size for BDAT command",
    bdat_begun="503 only BDAT permissible after non-LAST BDAT",
    wrong_protocol="500 unrecognized command",
    wrong_protocol_lmtp="500 unrecognized command",
    auth_ok="235 Authentication succeeded",
    auth_failed="535 Incorrect authentication data",
    auth_syntax="501 Invalid base64 data",
    auth_unknown="504 {said} authentication mechanism not supported",
    auth_aborted="501 Authentication cancelled",
    hang_up=_hang_ups(
        timeout="421 {host}: SMTP command timeout - closing connection",
        errors="421 {host}: Too many syntax or protocol errors",
        shutdown="421 {host}: Service not available - closing connection",
        busy="421 {host}: Too many concurrent SMTP connections; please try again later",
        rate="421 Too many concurrent SMTP connections from this IP address; please try again later.",
        internal="421 {host}: Local problem; please try again later",
    ),
)

SENDMAIL = PLAIN._replace(
    banner="220 {host} ESMTP Sendmail 8.18.1/8.18.1; {now}",
    helo="250 {host} Hello {name} [{ip}], pleased to meet you",
    ehlo="{host} Hello {name} [{ip}], pleased to meet you",
    offers="ENHANCEDSTATUSCODES, PIPELINING, 8BITMIME, SIZE {max}, AUTH LOGIN PLAIN, STARTTLS, HELP",
    mail_ok="250 2.1.0 <{said}>... Sender ok",
    rcpt_ok="250 2.1.5 <{said}>... Recipient ok",
    data_go="354 End data with <CR><LF>.<CR><LF>",
    queued="250 2.0.0 {id} Message accepted for delivery",
    rset="250 2.0.0 Reset state",
    noop="250 2.0.0 OK",
    vrfy="252 2.5.2 Cannot VRFY user; try RCPT to attempt delivery (or try finger)",
    expn="502 5.7.0 Sorry, we do not allow this operation",
    help=(
        "214-2.0.0 This is sendmail version 8.18.1\n214-2.0.0 Topics:\n"
        "214-2.0.0 \tHELO\tEHLO\tMAIL\tRCPT\tDATA\n214-2.0.0 \tRSET\tNOOP\tQUIT\tHELP\tVRFY\n"
        '214-2.0.0 For more info use "HELP <topic>".\n214 2.0.0 End of HELP info'
    ),
    quit="221 2.0.0 {host} closing connection",
    unknown_verb='500 5.5.1 Command unrecognized: "{said}"',
    line_too_long="500 5.5.4 Command line too long",
    mail_syntax='501 5.5.2 Syntax error in parameters scanning ""',
    rcpt_syntax='501 5.5.2 Syntax error in parameters scanning ""',
    no_address="553 5.0.0 <>... User address required",
    mail_first="503 5.0.0 Need MAIL before RCPT",
    rcpt_first="503 5.0.0 Need RCPT (recipient)",
    no_valid_recipients="503 5.0.0 Need RCPT (recipient)",
    no_such_user="550 5.1.1 <{said}>... User unknown",
    declared_too_large="552 5.2.3 Message size exceeds fixed maximum message size ({max})",
    too_large="552 5.3.4 Message exceeds maximum fixed size ({max})",
    no_room="452 4.4.5 Insufficient disk space; try again later",
    not_offered="503 5.3.3 AUTH not available",
    starttls_ready="220 2.0.0 Ready to start TLS",
    starttls_not_now="503 5.5.0 TLS not available",
    starttls_unknown="503 5.5.0 TLS not available",
    starttls_argument="501 5.5.2 Syntax error (no parameters allowed)",
    bdat_ok="250 2.0.0 {said} bytes received",
    bdat_syntax="501 5.5.4 Invalid chunk size",
    bdat_begun="503 5.5.1 DATA not allowed after BDAT",
    wrong_protocol='500 5.5.1 Command unrecognized: "LHLO"',
    wrong_protocol_lmtp='500 5.5.1 Command unrecognized: "EHLO"',
    auth_ok="235 2.0.0 OK Authenticated",
    auth_failed="535 5.7.0 authentication failed",
    auth_syntax="501 5.5.2 AUTH mechanism must be specified",
    auth_unknown="504 5.3.3 AUTH mechanism {said} not available",
    auth_aborted="501 5.0.0 AUTH aborted",
    hang_up=_hang_ups(
        timeout="421 4.4.1 {host} Lost input channel",
        errors="421 4.7.0 {host} Too many bad commands; closing connection",
        shutdown="421 4.3.2 {host} Service shutting down",
        busy="421 4.3.2 Too many open connections.",
        rate="421 4.3.2 Connection rate limit exceeded.",
        internal="421 4.3.0 closing connection",
    ),
)

EXCHANGE = PLAIN._replace(
    banner="220 {host} Microsoft ESMTP MAIL Service ready at {now}",
    helo="250 {host} Hello [{ip}]",
    ehlo="{host} Hello [{ip}]",
    offers=(
        "SIZE {max}, PIPELINING, ENHANCEDSTATUSCODES, STARTTLS, AUTH LOGIN, "
        "8BITMIME, BINARYMIME, CHUNKING, SMTPUTF8"
    ),
    mail_ok="250 2.1.0 Sender OK",
    rcpt_ok="250 2.1.5 Recipient OK",
    data_go="354 Start mail input; end with <CRLF>.<CRLF>",
    queued="250 2.6.0 <{id}@{host}> [InternalId={id}, Hostname={host}] Queued mail for delivery",
    rset="250 2.0.0 Resetting",
    noop="250 2.0.0 OK",
    vrfy="252 2.1.5 Cannot VRFY user",
    expn="500 5.3.3 Unrecognized command 'EXPN'",
    help=(
        "214-This server supports the following commands:\n"
        "214 HELO EHLO STARTTLS RCPT DATA RSET MAIL QUIT HELP AUTH BDAT"
    ),
    quit="221 2.0.0 Service closing transmission channel",
    unknown_verb="500 5.3.3 Unrecognized command '{said}'",
    line_too_long="500 5.5.2 Line too long",
    mail_syntax="501 5.5.4 Invalid arguments",
    rcpt_syntax="501 5.5.4 Invalid arguments",
    no_address="501 5.1.3 Invalid address",
    mail_first="503 5.5.2 Need mail command",
    rcpt_first="503 5.5.2 Need rcpt command",
    no_valid_recipients="503 5.5.2 Need rcpt command",
    no_such_user="550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
    declared_too_large="552 5.3.4 Message size exceeds fixed maximum message size",
    too_large="552 5.3.4 Message size exceeds fixed maximum message size",
    no_room="452 4.3.1 Insufficient system resources",
    not_offered="500 5.3.3 Unrecognized command 'AUTH'",
    starttls_ready="220 2.0.0 SMTP server ready",
    starttls_not_now="503 5.5.2 Only one STARTTLS command can be issued per session",
    starttls_unknown="500 5.3.3 Unrecognized command",
    starttls_argument="501 5.5.4 Invalid arguments",
    bdat_ok="250 2.6.0 CHUNK received OK, {said} octets",
    bdat_syntax="501 5.5.4 Invalid arguments",
    bdat_begun="503 5.5.2 Bad sequence of commands",
    wrong_protocol="500 5.3.3 Unrecognized command 'LHLO'",
    wrong_protocol_lmtp="500 5.3.3 Unrecognized command 'EHLO'",
    auth_failed="535 5.7.3 Authentication unsuccessful",
    auth_syntax="501 5.5.4 Invalid arguments",
    auth_unknown="504 5.7.4 Unrecognized authentication type",
    auth_aborted="501 5.7.0 Authentication cancelled",
    hang_up=_hang_ups(
        timeout="421 4.4.1 Connection timed out",
        errors="421 4.7.0 Too many errors on this connection, closing transmission channel",
        shutdown="421 4.3.2 Service not available, closing transmission channel",
        busy="421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, "
        "closing transmission channel",
        rate="421 4.3.2 The maximum number of concurrent connections has exceeded a per-source limit, "
        "closing transmission channel",
        internal="421 4.3.0 Internal server error, closing transmission channel",
    ),
)

QMAIL = PLAIN._replace(
    offers="AUTH LOGIN PLAIN, STARTTLS, PIPELINING, 8BITMIME, SIZE {max}",
    mail_ok="250 ok",
    rcpt_ok="250 ok",
    data_go="354 go ahead",
    queued="250 ok {id} qp {id}",
    rset="250 flushed",
    noop="250 ok",
    vrfy="252 send some mail, i'll try my best",
    expn="502 unimplemented (#5.5.1)",
    help="214 netqmail home page: http://qmail.org/netqmail",
    quit="221 {host}",
    unknown_verb="502 unimplemented (#5.5.1)",
    line_too_long="502 unimplemented (#5.5.1)",
    mail_syntax="555 syntax error (#5.5.4)",
    rcpt_syntax="555 syntax error (#5.5.4)",
    no_address="555 syntax error (#5.5.4)",
    mail_first="503 MAIL first (#5.5.1)",
    rcpt_first="503 RCPT first (#5.5.1)",
    no_valid_recipients="503 RCPT first (#5.5.1)",
    no_such_user="550 sorry, no mailbox here by that name. (#5.1.1)",
    too_many_recipients="452 too many recipients (#4.5.3)",
    declared_too_large="552 sorry, that message size exceeds my databytes limit (#5.3.4)",
    too_large="552 sorry, that message size exceeds my databytes limit (#5.3.4)",
    no_room="452 qq write error or disk full (#4.3.0)",
    not_offered="502 unimplemented (#5.5.1)",
    starttls_ready="220 ready for tls",
    starttls_not_now="502 unimplemented (#5.5.1)",
    starttls_unknown="502 unimplemented (#5.5.1)",
    starttls_argument="501 Syntax error (no parameters allowed) (#5.5.4)",
    bdat_ok="250 ok {said} octets",
    bdat_syntax="502 unimplemented (#5.5.1)",
    bdat_begun="503 BDAT first (#5.5.1)",
    wrong_protocol="502 unimplemented (#5.5.1)",
    wrong_protocol_lmtp="502 unimplemented (#5.5.1)",
    auth_ok="235 ok, go ahead (#2.0.0)",
    auth_failed="535 authorization failed (#5.7.0)",
    auth_syntax="501 malformed auth input (#5.5.4)",
    auth_unknown="504 auth type unimplemented (#5.5.1)",
    auth_aborted="501 auth exchange cancelled (#5.0.0)",
    hang_up=_hang_ups(
        timeout="421 timeout (#4.4.2)",
        errors="421 too many errors (#4.7.0)",
        shutdown="421 service not available (#4.3.2)",
        busy="421 too many connections, try again later (#4.3.2)",
        rate="421 too many connections from you, try again later (#4.7.0)",
        internal="421 out of memory (#4.3.0)",
    ),
)

WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "plain": PLAIN,
        "postfix": POSTFIX,
        "exim": EXIM,
        "sendmail": SENDMAIL,
        "exchange": EXCHANGE,
        "qmail": QMAIL,
    }
)
"""By the name that smtp.face has."""
