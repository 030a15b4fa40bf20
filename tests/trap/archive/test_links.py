"""links: URLs in a text, and hosts in the one form in which they are compared."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.archive.links import MAX_URL, MAX_URLS, domain_of, families, family, host, host_of, urls_in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see http://a.example/x, or (https://b.example).", ["http://a.example/x", "https://b.example"]),
        ("HTTP://A.EXAMPLE/ http://b.example:81/?q=1&r", ["HTTP://A.EXAMPLE/", "http://b.example:81/?q=1&r"]),
        ('<a href="http://a.example/">http://a.example/</a>', ["http://a.example/"]),
        ("xhttp://a.example", ["http://a.example"]),
        ("ftp://a.example file:///etc ://b.example", []),
        ("http:// no", []),
        ("no link", []),
    ],
)
def test_urls(text: str, found: list[str]) -> None:
    assert urls_in(text) == found


def test_urls_are_few_and_short() -> None:
    many = urls_in(" ".join(f"http://{n}.example/{'x' * 1000}" for n in range(1000)))
    assert len(many) == MAX_URLS
    assert max(map(len, many)) == len("https://") - 1 + MAX_URL


@pytest.mark.parametrize("text", ["http://", "://a", "http:// ", "http://a.example ", "h" * 9, "http://(((("])
def test_urls_are_found_in_linear_time(text: str) -> None:
    start = time.process_time()
    urls_in(text * (1 << 16))
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("url", "leads_to"),
    [
        ("http://www.A.example:8080/x?y#z", "www.a.example"),
        ("https://paypal.example@evil.example/", "evil.example"),
        ("https://evil.example?paypal.example", "evil.example"),
        ("https://evil.example\\@paypal.example", "evil.example"),
        ("https:///evil.example/", "evil.example"),
        ("https://www%2Eevil%2eexample/", "www.evil.example"),
        ("https://192.0.2.1/x", "192.0.2.1"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://localhost/", ""),
        ("https://[2001:db8::1]/", ""),
        ("https://a..example/", ""),
        ("no url", ""),
    ],
)
def test_the_host_of_a_url(url: str, leads_to: str) -> None:
    assert host_of(url) == leads_to


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("joe@A.example", "a.example"),
        ("Joe <joe@a.example>", "a.example"),
        ("service@paypal.example <joe@a.example>", "a.example"),
        ("service@paypal.example <joe>", ""),
        ("joe", ""),
        ("", ""),
        ("joe@[192.0.2.1]", ""),
        ("joe@x y.example", ""),
    ],
)
def test_the_domain_of_an_address(address: str, domain: str) -> None:
    assert domain_of(address) == domain


def test_a_host_and_the_domains_it_is_in() -> None:
    assert family("a.example") == ("a.example", "example")
    assert family("www.a.example") == ("www.a.example", "a.example", "example")
    assert family("192.0.2.1") == ("192.0.2.1",)
    deep = family("z." * 100 + "b.a.example")
    assert (
        deep[0].startswith("z.z.z.")
        and deep[-3:] == ("b.a.example", "a.example", "example")
        and len(deep) < 10
    )


def test_families_are_few() -> None:
    assert families(["b.a.example", "", "c.a.example"], 9) == [
        "b.a.example",
        "a.example",
        "example",
        "c.a.example",
    ]
    assert len(families((f"{n}.x.example" for n in range(1000)), 64)) == 64


@given(st.text(max_size=400))
def test_no_name_breaks_it(text: str) -> None:
    name = host(text)
    assert name == host(name)
    assert name.isascii() and len(name) <= 253
    assert family(name)[0] == name
    assert isinstance(host_of(f"http://{text}/"), str)
    assert isinstance(domain_of(text), str)
