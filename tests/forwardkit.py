"""Mail as donors forward it."""

import base64
import quopri

from stages.extraction.donors import Donor
from trap.envelope import Envelope, Rcpt

SPAM = (
    b"Return-Path: <evil@spam.example>\r\n"
    b"Delivered-To: joe@donor.example\r\n"
    b"Received: from lan.donor.example (lan [10.0.0.7])\r\n"
    b"\tby imap.donor.example; Tue, 3 Nov 2026 10:00:02 +0000\r\n"
    b"Received: from spammer (pc.isp.example [203.0.113.9])\r\n"
    b"\tby mx.donor.example (Postfix) with ESMTP id 1 for <joe@donor.example>;\r\n"
    b"\tTue, 3 Nov 2026 10:00:00 +0000\r\n"
    b"Received: from bank.example ([198.51.100.1]) by mx.donor.example; Tue, 3 Nov 2026 09:00:00 +0000\r\n"
    b"Subject: Buy  now\r\n"
    b"From: evil@spam.example\r\n"
    b"\r\n"
    b"Buy.  \r\n\r\n--b\n mixed ends\n"
)
ORIGINAL = SPAM[SPAM.index(b"Received: from bank") :]
DONOR = Donor(name="joe", network=["192.0.2.0/24"], trusted=["*.donor.example", "donor.example"])
SESSION = Envelope(
    client_ip="192.0.2.25",
    helo="out.donor.example",
    mail_from="joe@donor.example",
    rcpts=[Rcpt(address="gift@trap.example", tag="donated")],
    listener="mx",
    received_at=1e9,
    dialect={"pregreet": True},
)
TEXT = b"Content-Type: text/plain\r\n\r\nMore of it.\r\n"


def forward(*parts: bytes, kind: bytes = b"multipart/mixed", boundary: bytes = b"outer") -> bytes:
    head = b"From: joe@donor.example\r\nSubject: Fwd\r\nContent-Type: %s; boundary=%s\r\n\r\n" % (
        kind,
        boundary,
    )
    return head + b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--\r\n" % boundary


def rfc822(message: bytes) -> bytes:
    return b"Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n" + message


def encoded(message: bytes) -> bytes:
    head = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + base64.encodebytes(message)


def quoted(message: bytes) -> bytes:
    head = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + quopri.encodestring(message.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def as_file(message: bytes) -> bytes:
    head = b"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=spam.EML\r\n"
    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(message)


FORWARDS = {
    "attached": forward(TEXT, rfc822(SPAM)),
    "attached alone": forward(rfc822(SPAM)),
    "attached in base64": forward(TEXT, encoded(SPAM)),
    "attached as a file": forward(TEXT, as_file(SPAM)),
    "in a digest": forward(b"\r\n" + SPAM, kind=b"multipart/digest"),
    "the message is one": b"From: joe@donor.example\r\nContent-Type: message/rfc822\r\n\r\n" + SPAM,
    "twice the same": forward(rfc822(SPAM), encoded(SPAM)),
}
