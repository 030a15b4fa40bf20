"""The mail that searches are measured with: the same each time, and known words where they should be."""

import sys
from collections import Counter
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import pytest
from support import lack

from trap.archive.fields import indexed
from trap.archive.record import Record

sys.path.append(str(Path(__file__).parents[2] / "bench"))  # where benches find each other
corpus, mailfactory = import_module("corpus"), import_module("mailfactory")

COUNT = 2000


def made(seed=1):
    return list(mailfactory.Factory(corpus.CORPUS, COUNT, seed, pool=60).mails())


@pytest.fixture(scope="module")
def mails():
    if not (corpus.CORPUS / "index.jsonl").exists():
        lack("there is no corpus")
    return made()


def test_it_is_the_same_mail_each_time(mails):
    def digest(some):
        return [(mail.job.id, sha256(mail.job.message).digest(), mail.job.notes, mail.text) for mail in some]

    assert digest(made()) == digest(mails)
    assert digest(made(seed=2)) != digest(mails)


def test_it_comes_in_order_and_no_two_are_alike(mails):
    ids = [mail.job.id for mail in mails]
    assert ids == sorted(set(ids))
    assert len({mail.job.message for mail in mails}) == COUNT


def test_a_marked_word_is_in_exactly_so_many(mails):
    found = Counter(word for mail in mails for word in set(mail.text.split()) if word.startswith("mark"))
    for kind, (often, _) in mailfactory.MARKED.items():
        expected = round(often * COUNT) if often < 1 else min(COUNT, often)
        assert {found[word] for word in mailfactory.marked(kind)} == {expected}


def test_a_parser_finds_what_is_said_to_be_there(mails):
    for mail in mails[::20]:
        job = mail.job
        fields = indexed(Record(job.id, b"", job.envelope, job.notes, job.message))
        assert fields.subject.split() == mail.subject.split()
        marks = {word for word in mail.text.split() if word.startswith("mark")}
        assert marks <= set(fields.text.split())


def test_few_campaigns_are_large_and_many_are_one_message(mails):
    sizes = Counter(mail.job.notes["dedup"]["campaign"] for mail in mails)
    assert max(sizes.values()) > 50
    assert sum(size == 1 for size in sizes.values()) > len(sizes) / 3
