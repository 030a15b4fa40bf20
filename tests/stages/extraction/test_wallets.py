"""Addresses of crypto currencies: those whose check sum is right, and no others."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.extraction import checksums, wallets

KNOWN = {
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa": "BTC",
    "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy": "BTC",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4": "BTC",
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4": "BTC",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0": "BTC",
    "bitcoincash:qr95sy3j9xwd2ap32xkykttr4cvcu7as4y0qverfuy": "BCH",
    "qr95sy3j9xwd2ap32xkykttr4cvcu7as4y0qverfuy": "BCH",
    "LVg2kJoFNg45Nbpy53h7Fe1wKyeXVRhMH9": "LTC",
    "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9": "LTC",
    "DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L": "DOGE",
    "XpESxaUmonkq8RaLLp46Brx2K39ggQe226": "DASH",
    "t1VpYecBW4UudbGcy4ufh61eWxQCoFaUrPs": "ZEC",
    "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t": "TRX",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed": "ETH",
    "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh": "XRP",
    "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A": "XMR",
    "888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H": "XMR",
    "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7": "XLM",
    "EQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqB2N": "TON",
    "addr1qx2fxv2umyhttkxyxp8x0dlpdt3k6cwng5pxj3jhsydzer3n0d3vllmyqwsx5wktcd8"
    "cc3sq835lu7drv2xwl2wywfgse35a3x": "ADA",
}


@pytest.mark.parametrize(
    ("address", "kind"), KNOWN.items(), ids=[f"{kind} {it[:12]}" for it, kind in KNOWN.items()]
)
def test_addresses_in_use(address, kind):
    for text in (f"Pay 0.1 to {address}, today.", f"to _{address}_"):
        assert wallets.find(text) == [{"kind": kind, "address": address}]


@pytest.mark.parametrize("address", KNOWN, ids=[f"{kind} {it[:12]}" for it, kind in KNOWN.items()])
def test_one_letter_wrong_is_no_address(address):
    for at in range(len(address) - 12, len(address), 3):
        other = next(c for c in "23456789acefABCEF" if c.lower() != address[at].lower())
        wrong = address[:at] + other + address[at + 1 :]
        assert wallets.find(wrong) == [], wrong


def test_what_has_no_check_sum_needs_words_about_it():
    ether = "0x" + "de0b295669a9fd93d5f28d9ec85e40f4cb697bae"
    assert wallets.find(f"commit {ether}") == []
    assert wallets.find(f"Send USDT to {ether}") == [{"kind": "ETH", "address": ether}]
    solana = "7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV"
    assert wallets.find(f"token {solana}") == []
    assert wallets.find(f"my Phantom: {solana}") == [{"kind": "SOL", "address": solana}]


def test_where_addresses_stand():
    (address, *_) = KNOWN
    for text in (f"bitcoin:{address}?amount=1", f"({address})", f'"{address}".', f"\n{address}\n"):
        assert wallets.find(text) == [{"kind": "BTC", "address": address}]
    for text in (f"x{address}", f"{address}x", f"{address[:20]} {address[20:]}"):
        assert wallets.find(text) == []


def test_each_is_told_once_and_there_is_an_end():
    (address, *_) = KNOWN
    assert len(wallets.find(f"{address} " * 9)) == 1
    words = " ".join(f"1{'1' * 20}{'A' * 5}{number:05}".replace("0", "2") for number in range(9999))
    assert wallets.find(f"{words} {address}") == []


@given(st.text(alphabet=string.ascii_letters + string.digits + " :_-", max_size=200))
def test_no_text_is_too_odd(text):
    wallets.find(text)
    for check in (checksums.base58check, checksums.bech32, checksums.monero):
        check(text)
    checksums.cashaddr("bitcoincash", text)
