"""What our own reports say must not hold them: a recipient may be called sample, or domains."""

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from trap.configfile import parse
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.plugin import build
from trap.redaction.vocabulary import common

CONFIG = """\
accept: {{domains: [zq.example]}}
pipeline: [dedup, [arf, xarf, spamcop, webhook, misp, feed, stix]]
paths: {{spool: {0}/spool, archive: {0}/archive, state: {0}/state}}
stages:
  arf: {{reporter: "Qx <qx@qx.example>", contacts: {{default: [qy@qx.example]}}}}
  xarf: {{reporter: "Qx <qx@qx.example>", contacts: {{default: [qy@qx.example]}}}}
  spamcop: {{reporter: "Qx <qx@qx.example>", submit: qy@qx.example}}
  webhook: {{url: "https://qx.example/", secret: {0}/secret}}
  misp: {{url: "https://qx.example/", key: {0}/secret}}
  stix: {{use: feed, format: stix}}
"""
NOTES: dict[str, Any] = {
    "extract": {
        "urls": ["http://qx.example/"],
        "domains": ["qx.example"],
        "addresses": ["qx@qx.example"],
        "attachments": [
            {"name": "qx", "type": "text/plain", "size": 9, "sha256": "ab" * 32, "md5": "ab" * 16}
        ],
        "wallets": [{"kind": "bitcoin", "address": "qx"}],
    },
    "auth": {
        "spf": {"result": "pass", "domain": "qx.example"},
        "dkim": [{"domain": "qx.example", "selector": "qx", "result": "pass"}],
        "dmarc": {"result": "pass"},
    },
    "dns": {"ptr": "qx.example", "ptr_confirmed": True, "asn": 64496, "as_name": "qx", "country": "DE"},
    "spamd": {"score": 7.1, "required": 5.0, "spam": True, "rules": {"QX": 1.0}},
}
_OURS = re.compile(r"\b[a-z]{3,20}\b")
_DRAWN = re.compile(r"--[0-9a-f-]{36}|[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{6,}|\\n|v1,\S+")
"""Ids, which change from report to report."""


@pytest.mark.parametrize("reporter", ["arf", "xarf", "spamcop", "webhook", "misp", "feed", "stix"])
def test_every_word_of_ours_is_a_usual_one(reporter: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + base64.b64encode(b"q" * 32).decode() + "\n")
    secret.chmod(0o600)
    envelope = Envelope(
        client_ip="203.0.113.9",
        client_port=4242,
        helo="qx.example",
        mail_from="qx@qx.example",
        rcpts=[Rcpt(address="zq@zq.example")],
    )
    job = Job.from_message(b"Subject: qx\r\n\r\nqx\r\n", envelope)
    stage = build(parse(CONFIG.format(tmp_path)), reporter)
    (preview,) = asyncio.run(stage.preview(Job(job.id, envelope, NOTES, job.message)))
    stage.close()
    assert not preview.why_not
    text = _DRAWN.sub(" ", _plain(preview.text.decode("latin-1")).lower())
    unusual = {word for word in _OURS.findall(text) if not common(word)}
    assert unusual <= {"qx", "example"}


def _plain(text: str) -> str:
    """The text with what it holds in base64 decoded: the JSON of XARF, and samples."""
    if found := re.search(r"\r?\n\r?\n((?:[A-Za-z0-9+/=]{60,}\r?\n)+[A-Za-z0-9+/=]+)", text):
        inside = base64.b64decode(found[1]).decode("latin-1")
        return text.replace(found[1], _plain(inside))
    try:
        told = json.loads(text)
    except ValueError:
        return text
    return " ".join(_strings(told))


def _strings(thing: Any) -> list[str]:
    """Keys and texts of a document, but for what is base64."""
    if isinstance(thing, dict):
        return [text for key, value in thing.items() for text in (key, *_strings(value))]
    if isinstance(thing, list):
        return [text for item in thing for text in _strings(item)]
    return [thing] if isinstance(thing, str) and not re.fullmatch(r"[A-Za-z0-9+/]{20,}={0,2}", thing) else []
