"""What identifies a recipient without his name: keys in known places, and what varies between copies."""

import base64
import random
import string
import uuid
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import at_most, mails

from trap.redaction.alignment import varying
from trap.redaction.marks import in_field, in_sender, in_url, registered
from trap.redaction.opaque import is_wallet, likely, opaque, runs
from trap.redaction.tokens import MAX_TOKEN, MAX_TOKENS, tokens

# -- what is opaque --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        *("48291734", "user48291734", "a3f9c1d20b7e", "Xk3Jq9Lm2P", "qzxkvbtw", "wXqBnTzKpR", "XKCDQWRT"),
        *("d41d8cd98f00b204e9800998ecf8427e", "g6NHHphY090509", "qx" * 2500 + "7654321"),
    ],
)
def test_keys_are_opaque(word):
    assert opaque(word)


@pytest.mark.parametrize(
    "word",
    [
        # Words of people, in several languages and cases.
        *(
            "unsubscribe",
            "Rechtsschutzversicherung",
            "aangemeld",
            "suscripción",
            "McDonalds",
            "ListUnsubscribe",
        ),
        # Dates and times, sizes, colours, charsets, names of files and products, short numbers.
        *("20241231", "20241231235959", "20241231T235959Z", "202412", "31122024", "1400x2800", "ff8800"),
        *("iso88591", "utf8", "windows1252", "image001", "mp3player", "MimeOLE", "base64", "4711", "12pt"),
        *("", "žluťoučký123456", "日本語テキスト"),
    ],
)
def test_what_says_something_is_not(word):
    assert not opaque(word)


def drawn(kind: str, dice: random.Random) -> str:
    """A key as senders make them."""
    if kind == "hex":
        return f"{dice.getrandbits(64):016x}"
    if kind == "base62":
        return "".join(dice.choices(string.ascii_letters + string.digits, k=14))
    if kind == "base64":
        return base64.urlsafe_b64encode(dice.randbytes(15)).decode()
    if kind == "number":
        return str(dice.randrange(10**7, 10**12))
    if kind == "uuid":
        return str(uuid.UUID(int=dice.getrandbits(128)))
    return "".join(dice.choices(string.ascii_lowercase, k=16))


@pytest.mark.parametrize(
    ("kind", "share"),
    [("hex", 0.99), ("base62", 0.97), ("base64", 0.9), ("number", 0.99), ("uuid", 0.98), ("letters", 0.9)],
)
def test_nearly_all_keys_are_found_whole_by_their_look_alone(kind, share):
    """What is missed so, as sixteen letters that make a word by chance, copies show."""
    dice = random.Random(kind)
    keys = [drawn(kind, dice) for _ in range(500)]
    found = [
        key for key in keys if key.strip("-_=") in {run.strip("=") for run in runs(f"the key {key} is it")}
    ]
    assert len(found) >= share * len(keys)


def test_what_is_joined_is_found_together():
    assert list(runs("2024-12-31/unsubscribe.php/48291734-Xk3Jq9.html")) == ["48291734-Xk3Jq9"]
    assert list(runs("buy-cheap-watches-online-now_2024-12-31.html")) == []
    assert list(runs("84df9e7f-e9f6-40af-b435-3b1f20c7d9aa")) == ["84df9e7f-e9f6-40af-b435-3b1f20c7d9aa"]


def test_where_keys_are_expected_short_ones_count():
    assert likely("a1b2")
    assert likely("4711")
    assert not likely("home")
    assert not likely("a1")


def test_wallets_are_known():
    assert is_wallet("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq")
    assert is_wallet("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2")
    assert not is_wallet("unsubscribe")


# -- where keys stand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("return-path", "<b-4711-joe=trap.example@shop.example>", {"4711", "b-4711-joe=trap.example"}),
        ("return-path", "<SRS0=Hk3x=ZQ=a.example=joe@b.example>", {"SRS0=Hk3x=ZQ=a.example=joe"}),
        ("return-path", "<news@shop.example>", set()),
        ("message-id", "<20241231.8f3c.joe@mx.shop.example>", {"20241231.8f3c.joe"}),
        ("references", "<one.id@a.example> <two.id@b.example>", {"one.id", "two.id"}),
        ("content-id", "<image001.png@01DB5A7E.4C21F0B0>", {"01db5a7e.4c21f0b0"}),
        ("received", "from a (b [192.0.2.1]) by c with ESMTPS id 4XyZ12abC; Tue, 3 Dec 2024", {"4XyZ12abC"}),
        ("received", "from a by c with HTTPS id 15.20.8182.18; Tue, 3 Dec 2024", set()),
        ("dkim-signature", "v=1; d=a.example; s=k1; bh=Zm9vZg==; b=QUJD REVG", {"Zm9vZg==", "QUJD", "REVG"}),
        ("arc-seal", "i=1; cv=none; d=a.example; s=k1; b=QUJDREVG", {"QUJDREVG"}),
        ("feedback-id", "4711:spring:8f3a9c2d:shopmail", {"4711", "8f3a9c2d"}),
        ("x-sg-eid", "u1.QUJDreVGx7Kp2mNq+tR9wZ3/8fLc", {"u1.QUJDreVGx7Kp2mNq+tR9wZ3/8fLc"}),
        ("x-mid", "48291", {"48291"}),
        ("x-report-abuse-to", "<https://abuse.shop.example/?c=48291>", {"48291"}),
        ("list-unsubscribe", "<mailto:u-8f3a9c2d@a.example>, <https://a.example/8Xk3Jq9>",
         {"8f3a9c2d", "8Xk3Jq9"}),
        ("content-type", 'multipart/mixed; boundary="--_Part_8f3a9c2d.4829"; foo=bar', {"8f3a9c2d.4829"}),
        ("content-type", 'multipart/mixed; boundary="frontier"; name="scan_48291734.pdf"', set()),
        ("reply-to", "Ann <sales+8f3a9c2d@shop.example>", {"8f3a9c2d"}),
        # What says something stays: who it is from, what about, by which program, over which servers.
        ("from", "Ann <ann48291734@gmail.com>", set()),
        ("subject", "Invoice 48291734", set()),
        ("date", "Tue, 3 Dec 2024 04:05:06 +0000", set()),
        ("x-mailer", "Mailer 48291734", set()),
        ("x-originating-ip", "[192.0.2.1]", set()),
        ("authentication-results", "mx.a.example; dkim=pass header.b=QUJDREVG", set()),
        ("x-campaign-date", "2024-12-31", set()),
    ],
)  # fmt: skip
def test_keys_in_header_fields(name, value, found):
    assert set(in_field(name, value)) - {""} == found


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://shop.example/c/Xk3Jq9Lm2P/open.gif", {"Xk3Jq9Lm2P"}),
        ("https://u8fq3xk2.ct.shop.example/", {"u8fq3xk2"}),
        ("http://joe42:x@shop.example/", {"joe42:x"}),
        ("https://shop.example/?id=a1b2&utm_source=newsletter&lang=en&v=1.2.3&w=600x400", {"a1b2"}),
        ("https://shop.example/?email=joe&u=4711", {"joe", "4711"}),
        ("https://shop.example/?4711abcd", {"4711abcd"}),
        ("https://shop.example/#am9lQHRyYXAuZXhhbXBsZQ==", {"am9lQHRyYXAuZXhhbXBsZQ=="}),
        ("https://shop.example/r?to=https%3A%2F%2Fevil.example%2Fp%2FXk3Jq9Lm2P", {"Xk3Jq9Lm2P"}),
        ("mailto:leave+8f3a9c2d@shop.example?subject=remove%2048291734", {"8f3a9c2d", "48291734"}),
        # Names, dates and files are what the URL is about.
        ("https://shop.example/2024/12/31/summer-sale/image001.png", set()),
        ("https://hftiif.blogspot.com/2024/12/prize.html", set()),
        ("https://www.xkqzv7.example/login", set()),
        ("https://", set()),
    ],
)
def test_keys_in_urls(url, found):
    assert set(in_url(url)) - {""} == found


def test_a_sender_who_shows_himself_is_evidence_but_for_an_extension():
    assert list(in_sender("ann48291734@a.example", shown=True)) == []
    assert "8f3a9c2d" in in_sender("ann+8f3a9c2d@a.example", shown=True)
    assert "ann48291734" in in_sender("ann48291734@a.example")
    assert list(in_sender("")) == []


def test_what_is_registered_stays():
    assert registered("a.b.shop.example") == "shop.example"
    assert registered("joe.blogspot.com") == "joe.blogspot.com"
    assert registered("localhost") == ""


# -- what varies -----------------------------------------------------------------------------------------


def found(mine: str, *others: str, place: str = "text", twins: tuple[str, ...] = ()) -> set[str]:
    copies = [{place: other} for other in others]
    return set(varying({place: mine}, copies, [{place: twin} for twin in twins]))


LETTER = "Dear {}, we looked at your site {} and found that it could do better. Call {} before {}. Yours, Ann"


def test_what_varies_is_found_wherever_lines_end():
    mine = LETTER.format("Joachim Ringelnatz", "kuddeldaddeldu", "4711", "Monday")
    other = LETTER.format("Eve", "morgenstern", "4712", "Friday").replace(" ", "\n")
    assert found(mine, other) == {"Joachim", "Ringelnatz", "kuddeldaddeldu"}


def test_short_names_are_found_together():
    assert found("Dear Jo Li, your prize is waiting", "Dear Al Wu, your prize is waiting") == {"Jo Li"}


def test_names_without_spaces_around_them():
    assert "王小明" in found("尊敬的王小明先生您好,您的包裹已经到达", "尊敬的李大卫先生您好,您的包裹已经到达")


def test_prices_and_dates_are_everybodys():
    mine = "Pay 1234 Euro before 31.12.2024, Tuesday, or 20241231 at the latest, in 12pt"
    other = "Pay 4321 Euro before 01.01.2025, Wednesday, or 20250101 at the latest, in 14pt"
    assert found(mine, other) == set()


def test_what_is_told_in_another_order_names_nobody():
    assert found("red green blue violet yellow house", "violet house red blue green yellow") == set()


def test_a_paragraph_of_its_own_names_nobody():
    common = "The quick brown fox jumps over the lazy dog while all of us look on in wonder. " * 3
    own = " ".join(f"wort{letter}{letter}" for letter in string.ascii_lowercase)
    assert found(common + own.replace("wort", "Sentence"), common) == set()


def test_other_texts_are_not_compared():
    assert found("Buy our splendid watches today", "Your parcel could not be delivered yesterday") == set()


def test_where_keys_stand_all_that_varies_counts():
    assert found("a1-b2-c3", "a4-b5-c6", place="field x-id") == {"a1-b2-c3"}
    assert "4711" in found(" /u/4711/home", " /u/4712/home", place="url")
    assert found("2024-12-31 04:05:06", "2024-12-30 07:08:09", place="field x-sent") == set()


def test_copies_to_one_recipient_tell_what_varies_by_the_copy():
    """What is drawn for each copy names nobody; but a key may be looked up, whatever it was drawn for."""
    text = "Dear {}, what a {} day to order our watches, the code is {}"
    mine = text.format("Joachim", "splendid", "Xk3Jq9Lm2P")
    twin = text.format("Joachim", "marvellous", "Qw8Zr4Tb6V")
    other = text.format("Marianne", "glorious", "Pn5Hc7Gd3S")
    assert found(mine, other) == {"Joachim", "splendid", "Xk3Jq9Lm2P"}
    assert found(mine, other, twins=(twin,)) == {"Joachim", "Xk3Jq9Lm2P"}


# -- whole messages --------------------------------------------------------------------------------------

TEXT = """Dear {name},

we have good news about the account {account} that you opened with us: because you are a loyal customer, we
can offer you a new watch at half its price until the end of the month. Visit us here:

    https://{label}.shop.example/offer/{path}/watch.html?utm_source=mail&c={parameter}

Yours faithfully, the team of the Example Shop at Example Street in Springfield. {hidden}
"""
HTML = """<html><body style="color:#ff8800"><h1>Dear {name}</h1><p>we have good news about the account
{account}&nbsp;that you opened with us: because you are a loyal customer, we can offer you a new watch at half
its price until the end of the month.</p><a href="https://shop.example/go?c={parameter}&amp;lang=en">Visit
us</a><img src='https://img.shop.example/p/{pixel}.gif' width=1 height=1 alt="{name}"></body></html>"""
COMMON = {
    *("dear", "good", "news", "about", "account", "that", "opened", "because", "loyal", "customer", "offer"),
    *(
        "watch",
        "half",
        "price",
        "until",
        "month",
        "visit",
        "shop.example",
        "https",
        "watch.html",
        "utm_source",
    ),
    *("yours", "faithfully", "team", "example", "shop", "street", "springfield", "ff8800", "half price"),
}

FIELDS = ("account", "path", "parameter", "hidden", "pixel", "verp", "mid", "campaign", "boundary")
SEEDS = st.integers(0, 10**9)


def recipient(
    seed: int, name: str = "Guðrún", kinds: tuple[str, ...] = ("hex", "number", "uuid")
) -> dict[str, str]:
    """What a sender plants for one."""
    dice = random.Random(seed)
    planted = {field: drawn(dice.choice(kinds), dice) for field in FIELDS}
    return planted | {"name": name, "label": f"t{dice.getrandbits(48):012x}"}


ENCODINGS = st.sampled_from(["7bit", "quoted-printable", "base64", "8bit"])


def campaign(planted: dict[str, str], encoding: str) -> bytes:
    """One copy, with what is planted for its recipient."""
    message = EmailMessage()
    message["Return-Path"] = f"<bounce-{planted['verp']}@shop.example>"
    message["From"] = "News <news@shop.example>"
    message["Subject"] = f"{planted['name']}, half price for account {planted['account']}"
    message["Message-ID"] = f"<{planted['mid']}@shop.example>"
    message["X-Campaign-Id"] = planted["campaign"]
    message["List-Unsubscribe"] = f"<https://shop.example/leave/{planted['path']}>"
    cte = encoding if planted["name"].isascii() or encoding != "7bit" else "8bit"
    message.set_content(TEXT.format(**planted), cte=cte)
    message.add_alternative(HTML.format(**planted), subtype="html", cte=cte)
    message.set_boundary(f"=_{planted['boundary']}")
    return message.as_bytes()


def covered(token: str, where: frozenset[str]) -> bool:
    """Whether a string is hidden when all that was found is."""
    left = token
    for each in sorted(where, key=len, reverse=True):
        left = left.replace(each, "")
    return len(left.strip("-_.=")) < 4


@settings(deadline=None)  # of a machine that has more to do
@given(st.lists(SEEDS, min_size=2, max_size=4, unique=True), ENCODINGS)
def test_all_that_is_planted_is_found_between_copies_and_nothing_else_is(seeds, encoding):
    names, kinds = ["Joachim", "Marianne", "Krzysztof", "Guðrún"], ("hex", "base62", "letters", "number")
    mine, *others = [recipient(seed, name, kinds) for seed, name in zip(seeds, names, strict=False)]
    where = tokens(campaign(mine, encoding), [campaign(other, encoding) for other in others])
    lowered = frozenset(map(str.lower, where))
    assert not [field for field, token in mine.items() if not covered(token.lower(), lowered)]
    taken = {word.lower() for token in where for word in token.split()}
    assert not taken & COMMON


@settings(deadline=None)  # of a machine that has more to do
@given(SEEDS, ENCODINGS)
def test_from_one_message_alone_what_stands_where_keys_are_is_found(seed, encoding):
    planted = recipient(seed)
    where = tokens(campaign(planted, encoding), mail_from=f"b-{planted['verp']}@shop.example")
    known = ("path", "parameter", "pixel", "verp", "mid", "campaign", "boundary")
    missed = [field for field in known if not covered(planted[field], where)]
    assert not missed
    assert not {word.lower() for word in where} & COMMON


def test_the_senders_domains_and_address_stay_readable():
    message = (
        b"From: x <kq48291734xv@shop.example>\nReturn-Path: <kq48291734xv@shop.example>\n\n"
        b"https://qxzkvj7.example/qxzkvj7?u=qxzkvj7.example and kq48291734xv@shop.example"
    )
    where = tokens(message)
    assert not {"qxzkvj7", "qxzkvj7.example", "kq48291734xv@shop.example"} & where


def test_pages_that_are_sent_as_files_are_read():
    message = EmailMessage()
    page = b"<script>location = 'https://a.example/p?e=joachim&id=8f3a9c2d1b'</script>"
    message.add_attachment(page, "application", "octet-stream", filename="Invoice.HTML")
    message.add_attachment(
        page.replace(b"8f3a9c2d1b", b"7e2b8d1c0a"), "application", "zip", filename="Invoice.zip"
    )
    where = tokens(message.as_bytes())
    assert {"joachim", "8f3a9c2d1b"} <= where
    assert "7e2b8d1c0a" not in where


def test_a_wallet_stays_readable_where_it_is_the_same_for_all():
    copy = b"Subject: x\n\nPay to bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq at once, or all will see it"
    assert tokens(copy, [copy, copy]) == frozenset()
    other = copy.replace(b"bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2")
    assert "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq" in tokens(copy, [other])


# -- hostile ones ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"X-A: " + b"a@" * 200_000 + b"\n\n",
        b"Return-Path: <" + b"a=" * 200_000 + b"@a.example>\n\n",
        b"Content-Type: text/html\n\n" + b"<a href='http://" * 30_000,
        b"\n" + b"http://a.example/?" + b"a=1&" * 50_000,
        b"\n" + b"www." * 1_000_000,
        b"\n" + b"aB3" * 200_000,
        b"\n" + b"Ab3dEf6hIj9lMn2p " * 20_000,
        b"Content-Type: text/html\n\n" + b"&#9999999999999999999999;" * 100_000,
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(5000)),
        b"Message-ID: <" * 100_000,
        b"DKIM-Signature: " + b"b=a;" * 200_000 + b"\n\n",
        b"Subject: =?utf-8?b?" + b"//" * 100_000 + b"?=\n\n\xff\xfe",
    ],
    ids=range(13),
)
def test_hostile_messages_cost_little(message):
    with at_most(4.0):
        where = tokens(message, [message[: len(message) // 2], message], twins=[message])
    assert len(where) <= MAX_TOKENS + 1000
    assert all(len(token) <= MAX_TOKEN for token in where)


@settings(deadline=None)  # of a machine that has more to do
@given(st.binary(max_size=400), st.binary(max_size=400))
def test_nothing_makes_it_raise(message, other):
    tokens(b"Received: " + message, [other, message], twins=[other], mail_from=message.decode("latin-1"))


def test_little_is_hidden_of_what_real_mail_says(corpus):
    """Of the words that a reader sees, as good as all stay: keys are not what he reads."""
    hidden = []
    for path in mails(Path(corpus / "spam"), 60) + mails(Path(corpus / "ham"), 60):
        message = path.read_bytes()
        body = message.partition(b"\n\n")[2].decode("latin-1").split()
        where = tokens(message)
        words = [word for word in body if word.isalpha()]
        hidden.append(sum(word in where for word in words) / max(1, len(words)))
    assert sum(hidden) / len(hidden) < 0.005


def test_what_a_client_calls_itself_may_be_drawn_for_each_recipient():
    found = tokens(b"\n\nhi", helo="u8fq3xk2.t.shop.example")
    assert found == {"u8fq3xk2"}
    assert (
        tokens(b"\n\nhi", helo="[192.0.2.48]") == tokens(b"\n\nhi", helo="mail.shop.example") == frozenset()
    )


def test_so_may_the_name_of_a_key():
    field = b"DKIM-Signature: v=1; d=shop.example; s=k3Jq9Lm2P8xw; b=abcd\n\nhi"
    assert "k3Jq9Lm2P8xw" in tokens(field)
    assert "20240101" not in tokens(field.replace(b"k3Jq9Lm2P8xw", b"20240101"))


def test_names_of_files_that_differ_between_copies_tell_whom_they_are_for():
    def copy(name: bytes) -> bytes:
        head = b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nhi\n--x\n"
        file = (
            b"Content-Type: application/pdf\nContent-Disposition: attachment; filename=%s\n\n%%PDF\n--x--\n"
        )
        return head + file % name

    assert "joachim17" in tokens(copy(b"invoice-joachim17.pdf"), [copy(b"invoice-marianne4.pdf")])
    assert tokens(copy(b"invoice.pdf"), [copy(b"invoice.pdf")]) == frozenset()


@pytest.mark.parametrize(
    "field", ["Subject: Your order %s", "X-Mailer: Shop/1.0 (%s)", "From: Shop %s <a@b.example>"]
)
def test_long_keys_among_words_of_the_header(field):
    key = "645c21a72d26f0c9b1aa"
    assert key in tokens((field % key).encode() + b"\n\nhi")
    assert tokens((field % "Summer-Holiday-2026").encode() + b"\n\nhi") == frozenset()
