"""Who may ask for what: Host, origin, login, tokens, and the headers of every answer."""

from pathlib import Path

import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from webkit import HOME, Visitor, config_at, visitor

from trap.configweb import Web
from trap.web import passwords
from trap.web.app import build, routes
from trap.web.guard import PAGE_POLICY, Guard, is_same_origin
from trap.web.tries import TRIES, Tries

PASSWORD = "correct horse battery"
TOKEN, KEPT = passwords.new_token()
GUARDED = Web(users={"joe": passwords.hashed(PASSWORD)}, tokens={"grafana": KEPT})


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8025",
        "[::1]:8025",
        "192.0.2.7",
        "localhost",
        "LOCALHOST:80",
        "trap.example",
        "trap.example.:443",
    ],
)
def test_names_of_ours(host: str) -> None:
    assert Guard(lambda *_: None, Web(names=["Trap.example"])).is_ours(host)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8025",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "trap.example.evil",
        "1",
    ],
)
def test_a_name_that_somebody_points_at_us_is_none_of_ours(host: str) -> None:
    """DNS rebinding: the browser believes that a page of evil.example talks to evil.example."""
    assert not Guard(lambda *_: None, Web(names=["trap.example"])).is_ours(host)  # type: ignore[arg-type,return-value]


def test_another_host_is_shown_nothing(tmp_path: Path) -> None:
    with visitor(config_at(tmp_path)) as me:
        answer = me.get("/login", headers={"Host": "evil.example:8025"})
        assert answer.status_code == 421
        assert "web.names" in answer.text


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"origin": "http://127.0.0.1:8025"}, True),
        ({"origin": "https://127.0.0.1:8025"}, False),
        ({"origin": "http://127.0.0.1:9"}, False),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({}, False),
    ],
)
def test_where_a_request_comes_from(headers: dict[str, str], same: bool) -> None:
    assert is_same_origin(Headers({"host": "127.0.0.1:8025", **headers}), "http") is same


def test_nothing_changes_from_elsewhere_or_without_the_token(tmp_path: Path) -> None:
    with visitor(config_at(tmp_path)) as me:
        token = {"csrf": "guessed", "show": "1"}
        assert me.post("/identities", data=token).status_code == 403
        assert (
            me.post("/identities", data=token, headers={"Origin": "http://evil.example"}).status_code == 403
        )
        assert me.post("/identities", data=token, headers={"Origin": HOME}).status_code == 403
        assert "identities masked" in me.get("/login").text
        assert me.act("/identities", "/login", show="1").status_code == 303
        assert "identities shown" in me.get("/login").text


def test_whatever_takes_a_post_is_an_action(tmp_path: Path) -> None:
    """Made by forms.action, which proves the token; a route of another kind would be a hole."""
    seen = 0
    for route in routes():
        if isinstance(route, Mount):
            continue
        assert isinstance(route, Route)
        if not route.methods or route.methods - {"GET", "HEAD"}:
            assert getattr(route.endpoint, "is_action", False), route.path
            seen += 1
    assert seen >= 3


def test_every_answer_tells_the_browser_what_it_may_do(tmp_path: Path) -> None:
    with visitor(config_at(tmp_path)) as me:
        for path in ("/", "/login", "/nothing", "/static/app.js", "/static/nothing"):
            headers = me.get(path).headers
            assert headers["content-security-policy"] == PAGE_POLICY
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-opener-policy"] == "same-origin"
        assert me.get("/login").headers["cache-control"] == "no-store"


def test_where_there_are_users_nobody_else_sees_anything(tmp_path: Path) -> None:
    with visitor(config_at(tmp_path, GUARDED)) as me:
        for route in routes():
            path = getattr(route, "path", "")
            if path.startswith(("/login", "/static", "/healthz", "/readyz")):
                continue
            answer = me.get(path.replace("{", "").replace("}", ""))
            assert answer.status_code in {303, 401}, path
            assert answer.status_code == 401 or answer.headers["location"].startswith("/login")


def test_logging_in_and_out(tmp_path: Path) -> None:
    with visitor(config_at(tmp_path, GUARDED)) as me:
        assert me.get("/messages?q=a%20b").headers["location"] == "/login?next=/messages%3Fq%3Da%2520b"
        wrong = me.act("/login", "/login", name="joe", password="wrong password")
        assert wrong.status_code == 401
        assert "Name or password is wrong" in wrong.text
        done = me.act("/login", "/login", name="joe", password=PASSWORD, next="/messages?q=a")
        assert (done.status_code, done.headers["location"]) == (303, "/messages?q=a")
        assert me.get("/nothing").status_code == 404
        assert me.act("/logout", "/login").status_code == 303
        assert me.get("/nothing").status_code == 303
    log = (tmp_path / "state/acts.log").read_text()
    assert '"logged out"' in log
    assert '"logged in"' in log
    assert PASSWORD not in log


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nX: y", "javascript:1"]
)
def test_a_login_leads_to_a_page_of_ours(tmp_path: Path, to: str) -> None:
    with visitor(config_at(tmp_path, GUARDED)) as me:
        assert me.act("/login", "/login", name="joe", password=PASSWORD, next=to).headers["location"] == "/"


def test_a_cookie_of_before_the_password_changed_is_worth_nothing(tmp_path: Path) -> None:
    with visitor(config_at(tmp_path, GUARDED)) as me:
        me.act("/login", "/login", name="joe", password=PASSWORD)
        cookies = dict(me.cookies)
        assert me.get("/nothing").status_code == 404
    again = config_at(tmp_path, Web(users={"joe": passwords.hashed("another long one")}))
    with Visitor(build(again), base_url=HOME, cookies=cookies, follow_redirects=False) as me:
        assert me.get("/nothing").status_code == 303


def test_a_cookie_of_before_the_logout_is_worth_nothing(tmp_path: Path) -> None:
    with visitor(config_at(tmp_path, GUARDED)) as me:
        me.act("/login", "/login", name="joe", password=PASSWORD)
        cookies = dict(me.cookies)
        me.act("/logout", "/login")
        me.cookies.update(cookies)
        assert me.get("/nothing").status_code == 303


@pytest.mark.parametrize(
    ("path", "site", "mode", "status"),
    [
        ("/login", "cross-site", "navigate", 200),
        ("/login", "same-site", "no-cors", 403),
        ("/api/v1/status", "cross-site", "navigate", 403),
        ("/api/v1/export?identities=true", "cross-site", "no-cors", 403),
        ("/api/v1/openapi.json", "same-origin", "cors", 200),
        ("/api/v1/openapi.json", "none", "navigate", 200),
    ],
)
def test_other_sites_may_lead_here_and_no_more(
    tmp_path: Path, path: str, site: str, mode: str, status: int
) -> None:
    with visitor(config_at(tmp_path)) as me:
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
        assert me.get(path, headers=headers).status_code == status


def test_who_tries_too_often_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trap.web.tries._MINUTE", 1e9)  # all of them come in one
    cheap = Web(users={"joe": "scrypt:15:" + "0" * 32 + ":" + "0" * 64})
    with visitor(config_at(tmp_path, cheap)) as me:
        codes = {me.act("/login", "/login", name="joe", password="wrong").status_code for _ in range(12)}
        assert codes == {401, 429}


def test_a_program_shows_its_token(tmp_path: Path) -> None:
    with visitor(config_at(tmp_path, GUARDED)) as me:
        assert me.get("/api/v1/nothing").status_code == 401
        for wrong in ("Bearer st_wrong", "Bearer", f"Basic {TOKEN}", KEPT, "Bearer \xe9"):
            assert (
                me.get("/api/v1/nothing", headers={"Authorization": wrong.encode("latin-1")}).status_code
                == 401
            )
        assert me.get("/api/v1/nothing", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404
        assert me.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 303, (
            "tokens are for programs"
        )


def test_no_form_is_larger_than_any_of_ours(tmp_path: Path) -> None:
    """It is read before anybody knows who sent it."""
    with visitor(config_at(tmp_path, GUARDED)) as me:
        for fields in ({"name": "x" * 9000}, {f"f{n}": "x" * 8000 for n in range(40)}):
            answer = me.post("/login", data=fields, headers={"Origin": HOME})
            assert answer.status_code in {400, 413}
        assert me.get("/login").status_code == 200


async def test_many_passwords_at_once_are_no_more_than_many_one_by_one() -> None:
    tries = Tries()
    assert [tries.may("192.0.2.7") for _ in range(TRIES + 1)] == [True] * TRIES + [False]
    assert tries.may("192.0.2.8")
    tries.right("192.0.2.7")
    assert tries.may("192.0.2.7"), "what was right does not count"
    assert [tries.may(f"2001:db8::{n}") for n in range(TRIES + 1)][-1] is False, "a /64 is one place"
    while tries.may(f"10.0.{tries._tried.total()}.1"):
        pass
    assert not tries.may("203.0.113.9"), "enough is enough"
    tries._tried["192.0.2.7"] = 0
    assert tries.may("192.0.2.7"), "but whoever was right before is let in"


def test_a_mistake_of_ours_is_a_page_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_at(tmp_path)
    with visitor(config) as me:
        monkeypatch.setattr(me.app.state.site, "templates", None)  # type: ignore[attr-defined]
        monkeypatch.setattr("trap.web.app.wrong", lambda *_, **__: PlainTextResponse("sorry", 500))
        answer = me.get("/login")
        assert (answer.status_code, answer.text) == (500, "sorry")
        assert answer.headers["content-security-policy"] == PAGE_POLICY
        assert answer.headers["cache-control"] == "no-store"
