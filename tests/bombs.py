"""Messages made to exhaust whoever reads them."""

import base64
import io
import zipfile
from collections.abc import Callable

HEAD = b"From: joe@a.example\r\nSubject: bomb\r\nMIME-Version: 1.0\r\n"


def mixed(*parts: bytes) -> bytes:
    """A multipart/mixed message of these parts, headers and all."""
    whole = b"".join(b"--b\r\n%s\r\n" % part for part in parts)
    return HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + whole + b"--b--\r\n"


TEXT = b"Content-Type: text/plain\r\n\r\nhello there\r\n"


def html(body: bytes) -> bytes:
    """A message whose only part is HTML."""
    return HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + body


def base64_of_100_mb() -> bytes:
    line = b"QUFB" * 19 + b"\r\n"
    head = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return mixed(TEXT, head + line * (100_000_000 // len(line)))


def nested_parts() -> bytes:
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(10_000)
    )
    return HEAD + opened + TEXT


def nested_messages() -> bytes:
    return HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 10_000 + TEXT


def zipped() -> bytes:
    """A zip bomb: 200 MB of zeros in 200 kB, in base64."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(200_000_000))
    head = b'Content-Type: application/zip; name="zeros.zip"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    return mixed(TEXT, head + base64.encodebytes(written.getvalue()))


BOMBS: dict[str, Callable[[], bytes]] = {
    "100 MB of base64": base64_of_100_mb,
    "10,000 multiparts in each other": nested_parts,
    "10,000 messages in each other": nested_messages,
    "1 MB header": lambda: HEAD + b"X-Long: " + b"a" * 1_000_000 + b"\r\n\r\nhello there\r\n",
    "1 MB subject of encoded words": lambda: (
        b"Subject:" + b" =?utf-8?q?=41?=" * 60_000 + b"\r\n\r\nhello there\r\n"
    ),
    "header folded 500,000 times": lambda: (
        HEAD + b"X-Fold: a" + b"\n " * 500_000 + b"\r\n\r\nhello there\r\n"
    ),
    "100,000 header fields": lambda: HEAD + b"X-Many: yes\r\n" * 100_000 + b"\r\nhello there\r\n",
    "100,000 Received fields": lambda: (
        b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 100_000 + HEAD + b"\r\nhello there\r\n"
    ),
    "encoded words without end": lambda: b"Subject: " + b"=?utf-8?q?" * 100_000 + b"\r\n\r\nhello there\r\n",
    "100,000 addresses": lambda: b"To: " + b"joe@a.example,\r\n " * 100_000 + b"\r\n\r\nhello there\r\n",
    "250 fields of half an address": lambda: (
        HEAD + (b"To: " + b"[" * 16_000 + b"\r\n") * 250 + b"\r\nhello there\r\n"
    ),
    "comments in comments": lambda: b"To: " + b"(" * 500_000 + b"\r\n\r\nhello there\r\n",
    "parameters without end": lambda: (
        b"Content-Type: text/plain" + b"; a*0*=x''%41" * 80_000 + b"\r\n\r\nhello there\r\n"
    ),
    "parts with nothing but quoted semicolons": lambda: mixed(
        *[b'Content-Type: text/plain; name="' + b";" * 16_000 + b"\r\n\r\nhello there\r\n"] * 500
    ),
    "flood of boundaries": lambda: mixed(TEXT) + b"--b\r\n" * 2_000_000,
    "flood of dashes": lambda: mixed(TEXT)[:-7] + b"--\r\n" * 3_000_000,
    "100,000 small parts": lambda: mixed(*[TEXT] * 100_000),
    "zip bomb": zipped,
    "100,000 divs in each other": lambda: html(b"<p>hello there" + b"<div>" * 100_000),
    "10 MB of <b>": lambda: html(b"hello there" + b"<b>" * 3_300_000),
    "tables in tables": lambda: html(b"<p>hello there" + b"<table><tr><td>" * 100_000),
    "half tags": lambda: html(b"hello there" + b"<a href=" * 1_000_000),
    "less than less than": lambda: html(b"hello there" + b"<" * 5_000_000),
    "comments without end": lambda: html(b"hello there" + b"<!--<style><script>" * 300_000),
    "attributes without end": lambda: html(b"hello there<p" + b" style='color:red;'" * 300_000),
    "one endless style": lambda: html(b"hello there<p style='" + b"color:rgb(1,1,1" * 300_000 + b"'>"),
    "100,000 links": lambda: html(
        b"hello there" + b"<a href='http://%d.example/'>www.b.example</a>" * 100_000
    ),
    "entities": lambda: html(b"hello there" + b"&lt;&#x41;&#99999999999999999;" * 200_000),
    "one line of URLs": lambda: HEAD + b"\r\nhello there" + b" http://a.example/" * 300_000,
    "http without end": lambda: HEAD + b"\r\nhello there " + b"http://" * 500_000,
    "invisible characters": lambda: html(b"hello there" + "\u200b\u202e ".encode() * 500_000),
    "nothing but line ends": lambda: HEAD + b"\r\nhello there" + b"\r\n" * 5_000_000,
    "quoted-printable": lambda: (
        HEAD + b"Content-Transfer-Encoding: quoted-printable\r\n\r\nhello there" + b"=41=\r\n" * 2_000_000
    ),
    "uuencode": lambda: (
        HEAD
        + b"Content-Transfer-Encoding: x-uuencode\r\n\r\nhello there\r\n"
        + b"begin 644 x\r\n#0V%T\r\n" * 500_000
    ),
    "a slow charset": lambda: (
        HEAD + b"Content-Type: text/plain; charset=punycode\r\n\r\nhello there" + b"a-b9" * 500_000
    ),
}
