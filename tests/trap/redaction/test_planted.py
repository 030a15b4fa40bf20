"""Names are planted in mail, in every spelling and every place, and no search finds them after redaction."""

import email
from collections.abc import Sequence
from pathlib import Path
from random import Random

import leakkit
import plantkit
from hypothesis import given, settings
from hypothesis import strategies as st
from support import mails

from trap.redact import Redactor
from trap.redaction.gate import leaks
from trap.redaction.identities import Identities
from trap.redaction.tokens import tokens

ADDRESSES = (
    "joe.miller@trap-mail.example",
    "f.oe@web.example",
    "7h3x@a-b.co.uk",
    "info@honey.example",
    "jo@trap.test",
)
spellings = st.sampled_from(sorted(plantkit.SPELLINGS))
places = st.sampled_from(sorted(plantkit.PLACES))


def names_of(ours: Identities) -> list[str]:
    """What may not be found: short words alone stand in all mail."""
    return sorted(ours.addresses | ours.domains | {word for word in ours.words if len(word) > 3})


@settings(deadline=None)  # of a machine that has more to do
@given(st.sampled_from(ADDRESSES), spellings, places, st.integers())
def test_nothing_is_found_of_what_was_planted(address: str, spelling: str, place: str, seed: int) -> None:
    ours = Identities.named([address])
    message = plantkit.PLACES[place](plantkit.SPELLINGS[spelling](address, Random(seed)))
    assert leaks(message, ours)
    done = Redactor(ours, b"key").redact(message)
    assert done.leaks == leaks(done.message, ours) == []
    assert leakkit.leaks(done.message, names_of(ours)) == []


@settings(deadline=None)  # of a machine that has more to do
@given(
    st.lists(st.tuples(st.sampled_from(ADDRESSES), spellings, places), min_size=2, max_size=4), st.integers()
)
def test_nor_of_many_in_one_message(planted: Sequence[tuple[str, str, str]], seed: int) -> None:
    random = Random(seed)
    parts = [
        plantkit.PLACES[place](plantkit.SPELLINGS[spelt](name, random)) for name, spelt, place in planted
    ]
    message = plantkit.forwarded(parts)
    ours = Identities.named([name for name, _, _ in planted])
    assert leaks(message, ours)
    done = Redactor(ours, b"key").redact(message)
    assert done.leaks == []
    assert leakkit.leaks(done.message, names_of(ours)) == []
    assert shape(done.message) == shape(message)


def shape(message: bytes) -> list[tuple[str, str]]:
    """The parts of a message: their types and transfer encodings."""
    walked = email.message_from_bytes(message).walk()
    return [(part.get_content_type(), part.get("content-transfer-encoding", "")) for part in walked]


def test_mail_of_the_corpus_tells_its_recipients_no_more(corpus: Path) -> None:
    for path in mails(corpus, 360):
        message = path.read_bytes()
        ours = Identities.named(leakkit.recipients(message))
        done = Redactor(ours, b"key").redact(message, tokens(message))
        assert done.leaks == [], path.name
        assert len(done.message) == len(message), path.name
        assert leakkit.leaks(done.message, names_of(ours)) == [], path.name
