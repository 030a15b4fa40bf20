"""What counts as the same, as alike, and as different."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.copies.fingerprint import MAX_WORDS, Fingerprint, fingerprint, shingles, similarity, words

LETTER = (
    "Dear {name}, your parcel {number} could not be delivered because nobody was at home. "
    "Please confirm your address within two days, or it will be sent back to the sender. "
    "Confirm here: http://{host}/track/{number} Kind regards, your parcel service"
)
OTHER = (
    "I am the widow of a general and have a sum of money that I must bring out of the country with "
    "the help of a trustworthy person like you, who will keep a third of it for his trouble and silence"
)


def letter(name: str = "Ann", number: int = 1, host: str = "a.example", head: str = "") -> Fingerprint:
    return fingerprint((head + "\r\n" + LETTER.format(name=name, number=number, host=host)).encode())


def test_numbers_links_addresses_and_layout_make_no_difference() -> None:
    first = letter(name="ann@trap.example", number=1)
    assert letter(name="bob@trap.example", number=2048, host="b.example").exact == first.exact
    html = "<p>" + LETTER.format(name="<b>x@y.example</b>", number=7, host="c.example") + "</p>"
    assert fingerprint(f"Content-Type: text/html\r\n\r\n{html}".encode()).exact == first.exact
    assert (
        letter(name="ann@trap.example", head="Subject: anything\r\nX-Mailer: other\r\n").exact == first.exact
    )


def test_case_invisible_letters_and_drawn_letters_make_no_difference() -> None:
    plain = words("Please verify your account")
    assert words("PLEASE ve\u200bri\u00adfy your ac\u2060count") == plain
    fullwidth = "".join(chr(ord(letter) + 0xFEE0) for letter in "verify")
    assert words(f"Please {fullwidth} your account") == plain


def test_a_near_copy_is_alike_and_shares_a_band() -> None:
    one, two = letter("Ann"), letter("Mister Smith")
    assert one.exact != two.exact
    assert similarity(one.sketch, two.sketch) > 0.8
    assert one.bands & two.bands


def test_another_text_is_unlike_and_shares_none() -> None:
    one, other = letter(), fingerprint(b"\r\n" + OTHER.encode())
    assert similarity(one.sketch, other.sketch) < 0.05
    assert not one.bands & other.bands


def test_with_few_words_subject_links_and_pictures_count() -> None:
    frame = (
        "Subject: {}\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n\r\nclick here\r\n--b\r\n"
    )
    image = "Content-Type: image/png\r\n\r\n{}\r\n--b--\r\n"

    def picture(subject: str, data: str) -> Fingerprint:
        return fingerprint((frame.format(subject) + image.format(data)).encode())

    assert picture("win a car", "AAAA").exact == picture("win a car", "AAAA").exact
    assert similarity(picture("win a car", "AAAA").sketch, picture("win a car", "BBBB").sketch) < 1
    assert similarity(picture("win a car", "A").sketch, picture("lose some weight", "B").sketch) < 0.6
    links = [fingerprint(f"\r\nhttp://{host}.example/{host}".encode()) for host in ("one", "one", "two")]
    assert links[0].exact == links[1].exact != links[2].exact


def test_a_subject_is_decoded() -> None:
    encoded = fingerprint(b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\r\n")
    assert encoded == fingerprint(b"Subject: =?iso-8859-1?q?Gr=FC=DFe?=\r\n\r\n")
    assert encoded != fingerprint(b"Subject: other\r\n\r\n")
    fingerprint(b"Subject: =?utf-8?b?abcde?= =?nope?q?=FF?= =?x?=\r\n\r\n")


def test_scripts_without_spaces_have_words_too() -> None:
    assert words("お客様の口座") == list("お客様の口座")
    thai = words("ไ" * 50)
    assert [len(word) for word in thai] == [20, 20, 10]


def test_a_message_without_anything_has_no_bands_and_equals_its_like() -> None:
    nothing = fingerprint(b"")
    assert nothing == fingerprint(b"From: x\r\n\r\n  \r\n")
    assert not nothing.bands
    assert similarity(nothing.sketch, nothing.sketch) == 1.0
    assert similarity(nothing.sketch, letter().sketch) == 0.0


def test_a_repeated_text_is_not_the_text() -> None:
    once, twice = fingerprint(b"\r\n" + OTHER.encode()), fingerprint(b"\r\n" + f"{OTHER} {OTHER}".encode())
    assert 0.4 < similarity(once.sketch, twice.sketch) < 0.6


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_the_estimate_is_near_the_truth_for_long_texts(share: float) -> None:
    dice = random.Random(share)
    vocabulary = ["".join(dice.choices("abcdefgh", k=6)) for _ in range(4000)]
    one = dice.choices(vocabulary, k=2000)
    two = one[: int(2000 * share)] + dice.choices(vocabulary, k=2000 - int(2000 * share))
    mine, theirs = (set(shingles([word.encode() for word in text])) for text in (one, two))
    truth = len(mine & theirs) / len(mine | theirs)
    prints = [fingerprint(b"\r\n" + " ".join(text).encode()) for text in (one, two)]
    assert similarity(prints[0].sketch, prints[1].sketch) == pytest.approx(truth, abs=0.2)


def test_work_is_bounded() -> None:
    huge = " ".join(f"{a}{b}" for a in words("abcdefgh ijkl " * 50) for b in words("x y z " * 60)).encode()
    assert len(words(huge.decode())) == MAX_WORDS
    assert len(fingerprint(b"\r\n" + huge).sketch) == 256
    fingerprint(b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "\u0301\u0323".encode() * 100_000)
    fingerprint(b"\r\n" + b"a." * 500_000 + b"@")


@given(st.text(alphabet="ab @.:/<\u0301ü字\ud800", max_size=60), st.text(alphabet="ab c", max_size=60))
def test_similarity_is_a_share_and_symmetric(one: str, two: str) -> None:
    prints = [fingerprint(b"\r\n" + text.encode("utf-8", "surrogatepass")) for text in (one, two)]
    likeness = similarity(prints[0].sketch, prints[1].sketch)
    assert 0 <= likeness <= 1
    assert likeness == similarity(prints[1].sketch, prints[0].sketch)
    assert similarity(prints[0].sketch, prints[0].sketch) == 1


def test_it_is_the_same_in_every_process() -> None:
    """What is stored must be found again by the next release's interpreter."""
    print_ = fingerprint(b"\r\nthe quick brown fox jumps over the lazy dog again and again")
    assert print_.exact == 0x7439AEFC6AC4
    assert sum(print_.bands) == 1_224_334_572_318_930
