"""urls and defang: what a message links to, written so that nothing makes it a link again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.view.defang import defang, defang_text, host, to_ascii, to_unicode
from trap.view.urls import MAX_URLS, misleading, urls


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://evil.example/a.b", "hxxps://evil[.]example/a.b"),
        ("HTTP://joe@evil.example:81/", "HxxP://joe[@]evil[.]example:81/"),
        ("ftp://evil.example/", "fxp://evil[.]example/"),
        ("//evil.example/x", "//evil[.]example/x"),
        ("www.evil.example/x", "www[.]evil[.]example/x"),
        ("evil.example:81/x", "evil[.]example:81/x"),
        ("javascript:alert(1)", "javascript[:]alert(1)"),
        ("http://a.example/\r\n\u202egpj", "hxxp://a[.]example/ ⟨U+202E⟩gpj"),
    ],
)
def test_a_url_loses_its_teeth(url: str, safe: str) -> None:
    assert defang(url) == safe


@given(
    st.text(), st.sampled_from(["http://", "https://", "HTTPS:\\\\", "mailto:", "javascript:", "ftp://", ""])
)
def test_none_keeps_them(rest: str, scheme: str) -> None:
    assert not re.search(
        r"\b(?:https?|ftp)://\w|javascript:|mailto:", defang(scheme + "a.example/" + rest), re.I
    ) or (re.search("javascript:|mailto:", rest, re.I))


def test_a_text_can_be_shown_where_links_are_made_of_urls() -> None:
    assert (
        defang_text("see http://a.example/x. or www.b.example!")
        == "see hxxp://a[.]example/x. or www[.]b[.]example!"
    )


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://user:pw@evil.example:81/x", "evil.example"),
        ("http://good.example@evil.example/", "evil.example"),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]"),
        ("http://%65vil.example/", "evil.example"),
        ("http:\\\\evil.example\\x", "evil.example"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://evil。example/", "evil.example"),
        ("javascript:alert(1)", ""),
        ("no url", ""),
    ],
)
def test_the_host_is_what_a_browser_would_ask_for(url: str, name: str) -> None:
    assert host(url) == name


def test_hosts_in_other_scripts_are_shown_both_ways() -> None:
    (found,) = urls("http://xn--bcher-kva.example/x", [])
    assert (found.host, found.unicode_host) == ("xn--bcher-kva[.]example", "bücher[.]example")
    assert to_ascii("\u0430\u0440\u0440\u04cf\u0435.example") == "xn--80ak6aa92e.example"
    assert to_unicode("xn--99999999999.example") == "xn--99999999999.example"


def test_text_and_html_are_searched() -> None:
    found = urls(
        "go to http://a.example/1, or (www.b.example/x).",
        [
            '<a href="http://c.example/&amp;x"><b>Your</b> bank</a><img src=http://c.example/pixel>'
            "<form action='http://d.example/post'><table background=//e.example/>"
            "<p style='background:url(http://f.example/bg)'><meta content='0;url=http://g.example/'>"
        ],
    )
    assert {(url.defanged, url.where, url.shown) for url in found} == {
        ("hxxp://a[.]example/1", "text", ""),
        ("hxxp://www[.]b[.]example/x", "text", ""),
        ("hxxp://c[.]example/&x", "link", "Your bank"),
        ("hxxp://c[.]example/pixel", "image", ""),
        ("hxxp://d[.]example/post", "form", ""),
        ("hxxp://e[.]example/", "image", ""),
        ("hxxp://f[.]example/bg", "style", ""),
        ("hxxp://g[.]example/", "other", ""),
    }


def test_those_of_one_host_stand_together_and_are_counted() -> None:
    found = urls("http://a.example/1 http://b.example/ http://a.example/2 http://a.example/1", [])
    assert [(url.defanged[7:], url.count) for url in found] == [
        ("a[.]example/1", 2),
        ("a[.]example/2", 1),
        ("b[.]example/", 1),
    ]


def test_there_is_an_end_to_them() -> None:
    assert len(urls(" ".join(f"http://{n}.example/" for n in range(1000)), [])) == MAX_URLS


@pytest.mark.parametrize(
    ("shown", "target", "lie"),
    [
        ("https://www.bank.example/login", "evil.example", True),
        ("www.bank.example", "bank.example.evil.example", True),
        ("joe@bank.example", "evil.example", True),
        ("bank.example", "click.bank.example", False),
        ("Your bank", "evil.example", False),
        ("invoice.pdf", "evil.example", False),
        ("version 1.2.3", "evil.example", False),
    ],
)
def test_a_link_that_shows_another_host_misleads(shown: str, target: str, lie: bool) -> None:
    assert misleading(shown, target) == lie
    (found,) = urls("", [f'<a href="http://{target}/">{shown}</a>'])
    assert found.misleading == lie


@given(st.text(), st.text())
def test_any_text_can_be_searched(text: str, source: str) -> None:
    urls(text, [source])
    host(text)
