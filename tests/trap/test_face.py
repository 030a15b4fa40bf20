"""The face: what each server says, and that nothing a client says can change the shape of a reply."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.config import Config, Size, Smtp
from trap.face import ECHO, Face, printable
from trap.facewords import PLAIN, WORDS, Words
from trap.job import new_id

FACES = sorted(WORDS)
CAUSES = sorted(PLAIN.hang_up)
JOB = "1795169337418546" + "3f6b3925"  # 2026-11-20 10:08:57 UTC
LINE = re.compile(rb"[2-5]\d\d[ -][ -~\t]{0,506}\r\n")


def face(name="postfix", auth="record"):
    return Face(Config(smtp=Smtp(hostname="mx.trap.example", face=name, auth=auth, max_size=Size(1000))))


def offers(name, *, auth="record", starttls=False):
    lines = face(name, auth).ehlo("client.example", "192.0.2.1", starttls=starttls).decode().split("\r\n")
    return [line[4:] for line in lines[1:-1]]


def replies(shown, said=""):
    """Every reply of a face, those that repeat something with `said` in them."""
    constant = (
        "data_go rset noop expn help quit line_too_long mail_syntax rcpt_syntax no_address mail_first "
        "rcpt_first no_valid_recipients too_many_recipients declared_too_large too_large no_room "
        "not_offered starttls_ready starttls_not_now starttls_argument bdat_syntax bdat_begun "
        "auth_ok auth_failed auth_syntax auth_aborted"
    )
    yield from (getattr(shown, name)() for name in constant.split())
    for name in ("mail_ok", "rcpt_ok", "vrfy", "unknown_verb", "no_such_user", "auth_unknown", "banner"):
        yield getattr(shown, name)(said)
    for starttls in (False, True):
        yield shown.ehlo(said, "2001:db8::1", starttls=starttls)
        yield shown.wrong_protocol(starttls)
    yield shown.helo(said, "192.0.2.1")
    yield shown.bdat_ok(10**18)
    yield shown.queued(new_id())
    yield from (shown.hang_up(code, cause) for code in (421, 521) for cause in CAUSES)


def well_formed(reply):
    """One reply: lines of one code, a hyphen after it in all but the last (RFC 5321, 4.2.1)."""
    lines = reply.splitlines(keepends=True)
    assert all(LINE.fullmatch(line) for line in lines), reply
    assert {line[:3] for line in lines} == {lines[0][:3]}
    assert [line[3:4] for line in lines] == [b"-"] * (len(lines) - 1) + [b" "]


@pytest.mark.parametrize("name", FACES)
def test_every_reply_is_one_reply_with_nothing_left_to_fill_in(name):
    for reply in replies(face(name, "offer"), "said"):
        well_formed(reply)
        assert b"{" not in reply


@given(st.sampled_from(FACES), st.text() | st.from_regex(r"[\r\n{}a-z0-9 -]{0,1000}", fullmatch=True))
def test_whatever_a_client_says_it_can_not_begin_a_line(name, said):
    for reply in replies(face(name), said):
        well_formed(reply)


@given(st.text(st.characters()))
def test_what_is_repeated_is_printable_and_bounded(said):
    shown = printable(said)
    assert len(shown) <= ECHO
    assert shown.isascii()
    assert not shown or shown.decode().isprintable()


def test_bytes_that_were_no_text_can_be_repeated():
    assert face().no_such_user("\udcff@x").startswith(b"550 5.1.1 <?@x>: ")


def test_no_client_can_have_itself_introduced_as_something_else():
    assert (
        face("exim").helo("{ip}{host}", "192.0.2.1")
        == b"250 mx.trap.example Hello {ip}{host} [192.0.2.1]\r\n"
    )


@pytest.mark.parametrize("name", sorted(set(FACES) - {"plain"}))
def test_a_face_has_words_of_its_own(name):
    """What is left at the defaults is what that server says as well, or nothing a client ever hears."""
    shared = {
        "postfix": {"helo", "ehlo", "mail_ok", "rcpt_ok", "queued", "rset", "noop", "quit", "mail_syntax"}
        | {"rcpt_syntax", "no_room", "auth_ok", "auth_aborted"},
        "exim": set(),
        "sendmail": {"too_many_recipients"},
        "exchange": {"auth_ok", "too_many_recipients", "line_too_long"},
        "qmail": {"banner", "helo", "ehlo"},
    }
    same = {field for field in Words._fields if getattr(WORDS[name], field) == getattr(PLAIN, field)}
    assert same == shared[name]


def test_everything_we_can_do_is_offered_by_plain_and_postfix():
    ours = {"PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES", "STARTTLS"}
    for name in ("plain", "postfix"):
        assert ours <= set(offers(name, starttls=True))


def test_no_face_offers_what_its_server_would_not():
    assert offers("exim") == ["SIZE 1000", "8BITMIME", "PIPELINING", "CHUNKING", "SMTPUTF8", "HELP"]
    assert offers("sendmail") == ["ENHANCEDSTATUSCODES", "PIPELINING", "8BITMIME", "SIZE 1000", "HELP"]
    assert offers("qmail") == ["PIPELINING", "8BITMIME", "SIZE 1000"]
    assert "BINARYMIME" in offers("exchange")


@pytest.mark.parametrize("name", FACES)
def test_starttls_and_auth_are_offered_where_they_are_meant(name):
    assert "STARTTLS" not in offers(name)
    assert "STARTTLS" in offers(name, starttls=True)
    for auth in ("record", "off", "offer", "accept"):
        there = [offer for offer in offers(name, auth=auth) if offer.startswith("AUTH ")]
        assert len(there) == (auth in {"offer", "accept"})


@pytest.mark.parametrize("name", FACES)
def test_who_offers_enhanced_codes_gives_them_and_the_others_do_not(name):
    """But for the greetings, and 3xx (RFC 2034, 4)."""
    shown = face(name)
    said = [reply for reply in replies(shown) if reply[3:4] == b" " and reply[:1] in b"245"]
    said = [one for one in said if not one.startswith((b"220 mx", b"250 mx", b"220 2.0.0"))]
    enhanced = [one for one in said if re.match(rb"(\d)\d\d \1\.\d\.\d+ ", one)]
    if "ENHANCEDSTATUSCODES" in offers(name):
        assert enhanced == said
    else:
        assert not enhanced


@pytest.mark.parametrize("name", FACES)
def test_521_says_the_same_as_421_and_its_enhanced_code_follows(name):
    shown = face(name)
    for cause in CAUSES:
        soft, hard = shown.hang_up(421, cause), shown.hang_up(521, cause)
        assert soft.startswith(b"421 ")
        assert hard.startswith(b"521 ")
        assert not re.search(rb"(^521 |#)4\.", hard)
        assert (
            re.sub(rb"^521|(^521 |#)5(?=\.)", b"", hard)[-12:] == re.sub(rb"^421|#4(?=\.)", b"", soft)[-12:]
        )


def test_the_plain_face_tells_the_job():
    assert face("plain").queued("id1") == b"250 2.0.0 Ok: queued as id1\r\n"


def test_other_faces_tell_ids_as_their_server_makes_them():
    assert face("postfix").queued(JOB) == b"250 2.0.0 Ok: queued as 662F22E3925\r\n"
    assert re.fullmatch(rb"250 OK id=\w{6}-\w{11}-\w{4}\r\n", face("exim").queued(JOB))
    assert re.fullmatch(
        rb"250 2\.0\.0 6AKA8v\w\w\d{6} Message accepted for delivery\r\n", face("sendmail").queued(JOB)
    )
    assert face("exchange").queued(JOB).startswith(b"250 2.6.0 <")
    assert re.fullmatch(rb"250 ok 1795169337 qp \d+\r\n", face("qmail").queued(JOB))


@pytest.mark.parametrize("name", FACES)
def test_an_id_follows_from_the_job_and_two_jobs_have_two(name):
    shown = face(name)
    jobs = [new_id(1.8e9 + number / 7) for number in range(100)]
    assert [shown.queued(job) for job in jobs] == [shown.queued(job) for job in jobs]
    assert len({shown.queued(job) for job in jobs}) == len(jobs)


def test_the_banner_names_the_server_and_hints_at_stress():
    assert face().banner() == b"220 mx.trap.example ESMTP Postfix\r\n"
    assert face().banner("busy, be quick") == b"220 mx.trap.example ESMTP Postfix busy, be quick\r\n"


def test_a_banner_with_the_time_goes_with_the_time(monkeypatch):
    shown = face("exim")
    banners = []
    for moment in (1795169337.2, 1795169337.9, 1795169338.1):
        monkeypatch.setattr("time.time", lambda moment=moment: moment)
        banners.append(shown.banner())
    assert banners[0] == banners[1] != banners[2]
    assert re.fullmatch(
        rb"220 mx\.trap\.example ESMTP Exim [\d.]+ \w{3}, \d\d \w{3} 2026 [\d:]{8} [+-]\d{4}\r\n", banners[0]
    )
