"""query: what a person types, what it finds, and what is said of what is no query.

What is found is shown on a table of the index's columns, with nothing of the index around it.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator

import pytest
from archived import DAY, NOVEMBER, job, mail, mixed_message
from hypothesis import given, settings
from hypothesis import strategies as st

from trap.archive import query as query_module
from trap.archive.facts import tokens
from trap.archive.fields import indexed
from trap.archive.query import COLUMNS, FIELDS, MAX_DEPTH, QueryError, parse
from trap.archive.record import Record
from trap.archive.terms import MAX_LEXEMES, RANGES
from trap.archive.text import FACT, searchable
from trap.envelope import Rcpt

NOW = NOVEMBER + 2 * DAY + 3600.0
"""2026-11-03, 01:00 UTC."""
Search = Callable[[str], list[int]]


def table() -> sqlite3.Connection:
    """The columns that a query's expression is about, and no row."""
    db = sqlite3.connect(":memory:")
    db.execute(
        f"CREATE VIRTUAL TABLE words USING fts5 ({', '.join(COLUMNS)}, content='', columnsize=0,"
        " tokenize='unicode61 remove_diacritics 2')"
    )
    return db


def columns(record: Record) -> list[str]:
    """What the index holds of a message."""
    envelope, fields = record.envelope, indexed(record)
    texts = [
        fields.subject,
        "\n".join([envelope.mail_from, *fields.senders]),
        "\n".join([*envelope.rcpt_tos, *fields.recipients]),
        "\n".join(file.name for file in fields.attachments),
        f"{envelope.client_ip}\n{envelope.helo}",
        fields.text,
        "\n".join(fields.urls),
    ]
    return [*(searchable(text, 1 << 16) for text in texts), " ".join(tokens(record, fields))]


def records() -> Iterator[Record]:
    """Five messages, numbered from 1."""
    messages = [
        mail(1, "You won the prize", "Claim your lottery money at http://claim.b.example/now!"),
        mail(2, "Café invoice", "Please pay the money, bank transfer only."),
        mixed_message(3),
        mail(4, "发票", "代开各地增值税发票 money"),
        b"not a header at all, just money\r\n",
    ]
    envelopes: list[dict[str, object]] = [
        {"client_ip": "192.0.2.1", "rcpts": [Rcpt(address="trap@trap.example", tag="web form")]},
        {"client_ip": "192.0.2.2", "mail_from": "ann@sender.example"},
        {"client_ip": "198.51.100.3", "mail_from": "", "helo": "relay.mail.ru"},
        {"client_ip": "2001:db8::4"},
        {"client_ip": "", "mail_from": "joe@shop.co.uk"},
    ]
    for number, (message, envelope) in enumerate(zip(messages, envelopes, strict=True), 1):
        made = job(number, message=message, **envelope)
        notes: dict[str, object] = {"dedup": {"campaign": f"{number % 2}"}}
        if number == 5:
            notes["backscatter"] = {"kind": "autoreply"}
        yield Record(made.id, hashlib.sha256(message).digest(), made.envelope, notes, message)


@pytest.fixture(scope="module")
def search() -> Iterator[Search]:
    """Searches the five messages, and gives the numbers of those found."""
    db = table()
    for number, record in enumerate(records(), 1):
        values = columns(record)
        db.execute(
            f"INSERT INTO words (rowid, {', '.join(COLUMNS)}) VALUES (?{', ?' * 8})", [number, *values]
        )

    def found(text: str) -> list[int]:
        match = parse(text, NOW).match
        return [row[0] for row in db.execute("SELECT rowid FROM words WHERE words MATCH ?", [match])]

    yield found
    db.close()


SECOND = hashlib.sha256(list(records())[1].message).hexdigest()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("money", [1, 2, 4, 5]),
        ("MONEY bank", [2]),
        ('"bank transfer"', [2]),
        ('"transfer bank"', []),
        ("mon*", [1, 2, 4, 5]),
        ('"bank tran"*', [2]),
        ("cafe", [2]),
        ("CAFÉ", [2]),
        ("Überweisung", [3]),
        ("增值税", [4]),
        ("税值", []),
        ("12:00", []),
        # not, or, parentheses
        ("money -bank", [1, 4, 5]),
        ("-money", [3]),
        ("-money -Konto", []),
        ("-(-money)", [1, 2, 4, 5]),
        ("prize or invoice", [1, 2]),
        ("prize OR invoice OR konto", [1, 2, 3]),
        ("prize or invoice bank", [2]),
        ("bank invoice or prize", [2]),
        ("(bank invoice) or prize", [1, 2]),
        ("prize or -money", [1, 3]),
        ("-prize or -money", [2, 3, 4, 5]),
        ("-(prize or invoice)", [3, 4, 5]),
        ("money -(prize or (bank invoice))", [4, 5]),
        ('"or"', []),
        ("(money)(bank)", [2]),
        # in one place
        ("subject:invoice", [2]),
        ("SUBJECT:invoice", [2]),
        ("subject:money", []),
        ("body:money -subject:prize", [2, 4, 5]),
        ("from:joe@a.example", [1, 2, 4]),
        ("from:sender.example", [2]),
        ("from:jorg", [3]),
        ("to:trap@trap.example", [1, 2, 3, 4, 5]),
        ("to:joe", []),
        ("helo:mail.a.example", [1, 2, 4, 5]),
        ("attachment:invoice3.pdf", [3]),
        ("attachment:pdf", [3]),
        ("login.c.example", [3]),
        ("http://claim.b.example/now", [1]),
        ("url:claim", [1]),
        ('url:"http://login.c.example/x"', [3]),
        ("url:lottery", []),
        # what is exactly so
        ("from:<>", [3]),
        ("-from:<> -money", []),
        ("from:@a.example", [1, 2, 4]),
        ("from:@sender.example", []),
        ("from:@shop.co.uk", [5]),
        ("ip:192.0.2.1", [1]),
        ("ip:192.0.2.0/24", [1, 2]),
        ("-ip:192.0.2.0/24", [3, 4, 5]),
        ("cidr:192.0.2.0/31", [1]),
        ("cidr:192.0.0.0/17", [1, 2]),
        ("cidr:198.0.0.0/7", [3]),
        ("cidr:0.0.0.0/0", [1, 2, 3]),
        ("cidr:::ffff:192.0.2.1", [1]),
        ("cidr:::ffff:192.0.2.0/120", [1, 2]),
        ("ip:2001:db8::/32", [4]),
        ("ip:2001:DB8:0::4", [4]),
        ("cidr:2001:db8::/41", [4]),
        ("cidr:2001:db9::/41", []),
        ("cidr:2001:d00::/24 or cidr:192.0.2.2", [2, 4]),
        ("cidr:::/0", [4]),
        ("domain:b.example", [1, 3]),
        ("domain:*.B.EXAMPLE.", [1, 3]),
        ("domain:login.c.example", [3]),
        ("domain:mail.ru", [3]),
        ("domain:ru", [3]),
        ("domain:.uk", [5]),
        ("tld:uk", [5]),
        ("tld:.UK", [5]),
        ("tld:ru", []),
        ('tag:"web form"', [1]),
        ('tag:"Web Form"', [1]),
        ("tag:web", []),
        ("stage:backscatter", [5]),
        ("campaign:1 money", [1, 5]),
        ("-campaign:1 money", [2, 4]),
        ("kind:autoreply", [5]),
        ("kind:attachment or kind:plain", [1, 2, 3, 4]),
        ("charset:utf8", [3]),
        ("charset:other", []),
        (f"hash:{SECOND}", [2]),
        (f"hash:{SECOND.upper()} or attachment:{SECOND}", [2]),
    ],
)
def test_what_is_found(search: Search, text: str, found: list[int]) -> None:
    assert search(text) == found


def test_an_attachment_is_found_by_its_sha256(search: Search) -> None:
    third = list(records())[2]
    (file,) = indexed(third).attachments
    assert search(f"attachment:{file.sha256}") == search(f"hash:{file.sha256}") == [3]


def test_nothing_but_ranges_is_true_of_every_text() -> None:
    for text in ("", "   ", "date:2026-11-01 size:>1k"):
        assert parse(text, NOW).match == ""


def test_dates_and_sizes_narrow_the_whole_query() -> None:
    query = parse("date:2026-11.. money date:..2026-11-02 size:>=1k size:..2k or2", NOW)
    assert (query.since, query.until) == (NOVEMBER, NOVEMBER + 2 * DAY)
    assert (query.min_size, query.max_size) == (1024, 2048)
    assert query.match == '("money" AND "or2")'


def test_no_text_of_a_mail_or_a_query_is_a_fact(search: Search) -> None:
    """Not even one that holds a fact's token, character by character."""
    (fact,) = set(parse("tag:a").match.split('"')[1::2])
    made = job(1, message=mail(1, fact, f"{fact} {fact[1:]}"), mail_from=f"{fact}@{fact}.example", helo=fact)
    record = Record(made.id, b"", made.envelope, {}, made.message)
    held = columns(record)
    assert not any(FACT in column for column in held[:-1])
    assert fact not in held[-1]
    assert FACT not in parse(f'"{fact}" a{fact} subject:{fact}').match


@pytest.mark.parametrize(
    ("text", "error", "place"),
    [
        ("prize form:joe", "no field 'form:'; did you mean from:?", "form:"),
        ("-sbject:prize", "no field 'sbject:'; did you mean subject:?", "sbject:"),
        ("re:hello", "no field 're:'; for the word, put it in quotation marks", "re:"),
        ('the "bank transfer', "no other to end the phrase", '"bank transfer'),
        ("subject: prize", "subject: needs a value right behind it", "subject:"),
        ("a !!! b", "no letter and no digit", "!!!"),
        ("___", "no letter and no digit", "___"),
        ("a - b", "no letter and no digit", "-"),
        ("subject:_*", "no letter and no digit", "subject:_*"),
        ("x" * 5000, "longer than", "x" * 1000),
        ("x " * 401, "at most 400 words", "x"),
        # or and parentheses
        ("or prize", "missing before this", "or"),
        ("a or or b", "missing before this", "or"),
        ("prize or", "missing behind the last or", ""),
        ("(a or) b", "missing before this parenthesis", ")"),
        ("a (b", "this parenthesis is not closed", "("),
        ("a -(b", "this parenthesis is not closed", "-("),
        ("a) b", "this parenthesis closes none", ")"),
        ("a ( ) b", "nothing between these parentheses", "( )"),
        ("(" * 11 + "a" + ")" * 11, "more than 10 deep", "("),
        # dates and sizes
        ("a date:soon", "'soon' is not a date", "date:soon"),
        ("date:2026-13", "not in the calendar", "date:2026-13"),
        ("a -date:2026", "say date:..A or date:B..", "-date:2026"),
        ("(date:2026)", "narrows the whole query", "date:2026"),
        ("a or date:2026", "narrows the whole query", "date:2026"),
        ("date:2026 or a", "narrows the whole query", "date:2026"),
        ("-size:>1M", "say size:<=A or size:>B", "-size:>1M"),
        ("a or size:>1M", "narrows the whole query", "size:>1M"),
        ("size:big", "not a range of sizes", "size:big"),
        # facts
        ("ip:300.1.1.1", "not an IP address", "ip:300.1.1.1"),
        ("cidr:192.0.2.0/64", "not an IP address", "cidr:192.0.2.0/64"),
        ("cidr:2001:db8::/36", "/36 is too wide .* the nearest are /40 and /32", "cidr:2001:db8::/36"),
        ("cidr:2001:db8::/50", "/50 is too wide .* the nearest are /56 and /48", "cidr:2001:db8::/50"),
        ("cidr:2001:db8::/8", "/8 is too wide .* the nearest are /24 and /0", "cidr:2001:db8::/8"),
        ("cidr:10.0.0.0/25 " * 9, "so many networks at once", "cidr:10.0.0.0/25"),
        ("hash:0123", "64 hexadecimal digits", "hash:0123"),
        ("domain:" + "a" * 3000, "is not a domain like", "domain:" + "a" * 3000),
        ("domain:a..example", "is not a domain like", "domain:a..example"),
        ('domain:""', "is not a domain like", 'domain:""'),
        ("tld:example", "country's top-level domain", "tld:example"),
        ("charset:klingon", "no charset that is known", "charset:klingon"),
        ('tag:"web"*', "whole values", 'tag:"web"*'),
        ("tag:web*", "whole values", "tag:web*"),
        ('tag:""', "needs a value", 'tag:""'),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_shown(text: str, error: str, place: str) -> None:
    with pytest.raises(QueryError, match=error) as raised:
        parse(text)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 200
    assert raised.value.text == text
    assert text[raised.value.start : raised.value.end] == place


VALUES = [
    "",
    "<>",
    "@a.example",
    "10.0.0.0/9",
    "2001:db8::/120",
    "3d",
    ">1M",
    "utf8",
    "ru",
    '"a b"',
    "a*",
    "-",
]
TYPED = st.text(max_size=60) | st.lists(
    st.sampled_from(
        [*'"-*:a ()^+{}\u0345\u00b2\ue000\0\ud800', " or ", "NEAR(", "AND", "NOT", "--", "(", ")", "税"]
    )
    | st.sampled_from([f"{name}:{value}" for name in FIELDS for value in VALUES]),
    max_size=40,
).map("".join)


@settings(deadline=None)
@given(TYPED)
def test_whatever_is_typed_is_a_query_or_one_clear_error(text: str) -> None:
    """And SQLite understands all that comes of it."""
    try:
        query = parse(text)
    except QueryError as error:
        assert 0 <= error.start <= error.end <= len(text)
        assert str(error).isprintable() and len(str(error)) < 200
        return
    db = table()
    if query.match:
        db.execute("SELECT rowid FROM words WHERE words MATCH ?", [query.match]).fetchall()
    db.close()


@pytest.mark.parametrize(
    "text",
    [
        "-(a or " * MAX_DEPTH + "b" + ")" * MAX_DEPTH,
        "(" * MAX_DEPTH + "-a -b or c" + ") d or -e" * MAX_DEPTH,
        "-(-a (b or c) " * (MAX_DEPTH - 1) + "d" + " or (e -f))" * (MAX_DEPTH - 1),
        " ".join(["a"] * MAX_LEXEMES),
        " or ".join(["-a"] * (MAX_LEXEMES // 2)),
        " ".join(f"-cidr:10.{n}.0.0/25" for n in range(8)),
        " or ".join(f"cidr:2001:db8:{n}::/56" for n in range(4)),
    ],
)
def test_the_largest_queries_are_understood_by_sqlite(text: str) -> None:
    db = table()
    db.execute("SELECT rowid FROM words WHERE words MATCH ?", [parse(text).match]).fetchall()
    db.close()


@pytest.mark.parametrize(
    "text", ["a:", "-", "(", ")", '"', "a" * 4000, "a(", '"a"', "a:b", "- ", "ip:1 ", "or "]
)
def test_time_is_in_proportion_to_the_length(text: str) -> None:
    start = time.process_time()
    with pytest.raises(QueryError):
        parse((text * 4000)[:4000] + '"')
    assert time.process_time() - start < 2


def test_every_field_is_in_the_manual() -> None:
    assert query_module.__doc__
    for name in FIELDS:
        assert f"{name}:" in query_module.__doc__
    assert set(FIELDS) >= RANGES
