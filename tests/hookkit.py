"""A case as reporters get it, already redacted, for tests of what is made of it."""

from types import SimpleNamespace
from typing import Any

from trap.envelope import Envelope

FILE = b"MZ this is no program"
MESSAGE = (
    b"From: =?utf-8?q?Joe_D=C3=B6e?= <joe@spammer.example>\r\n"
    b"To: <qkwrt@mhx.zzzzzzz>\r\n"
    b"Subject: =?utf-8?q?cheap_=E2=82=AC?= pills\r\n"
    b"Message-ID: <xxxx@spammer.example>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n"
    b"\r\n"
    b"--b\r\n"
    b"Content-Type: text/plain\r\n"
    b"\r\n"
    b"Buy now: http://shop.example/?id=1\r\n"
    b"--b\r\n"
    b"Content-Type: application/octet-stream; name=pills.exe\r\n"
    b"Content-Disposition: attachment; filename=pills.exe\r\n"
    b"\r\n" + FILE + b"\r\n"
    b"--b--\r\n"
)
NOTES: dict[str, Any] = {
    "extract": {
        "urls": ["http://shop.example/?id=1", "http://mhx.zzzzzzz/u"],
        "links": [
            {"host": "shop.example", "from": "text", "to": "http://end.example/"},
            {"host": "mhx.zzzzzzz", "from": "text"},
        ],
        "domains": ["shop.example", "mhx.zzzzzzz"],
        "addresses": ["joe@spammer.example", "qkwrt@mhx.zzzzzzz"],
        "phones": ["+15550100"],
        "wallets": [{"kind": "BTC", "address": "bc1q"}],
    },
    "dns": {"asn": "15133", "country": "US"},
    "spamd": {"score": 7.125, "spam": True},
    "auth": {"authenticated": ["spammer.example"]},
}


def case(**changes: Any) -> Any:
    """A case; what is given takes the place of what is usual."""
    usual = {
        "message": MESSAGE,
        "envelope": Envelope(client_ip="93.184.216.34", helo="pc.example", mail_from="joe@spammer.example"),
        "notes": NOTES,
        "weight": 12,
        "first": 1_795_158_000.0 + 125,  # 2026-11-20T07:02:05Z
        "last": 1_795_158_000.0 + 4000,
        "campaign": "c" * 20,
        "id": "a" * 20,
        "signatures": ["dkim d=spammer.example"],
        "masked": {},
        "blanked": [],
    }
    return SimpleNamespace(**{**usual, **changes})
