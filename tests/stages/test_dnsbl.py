"""The stage dnsbl, and its lists asked by real servers: rbldnsd, and unbound in front of it."""

import json
import sqlite3
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from listkit import MD5, SOON, SUM, asked, letter, make, published, rbldnsd, shelf, unbound
from support import eventually, mails

from stages.backscatter import Backscatter
from stages.dnsbl import Dnsbl
from stages.extract import Extract
from stages.names.blocklists import reverse
from stages.reporting.senders import LargeSenders
from trap.redaction.gate import found_by
from trap.redaction.identities import Identities
from trap.redaction.search import Searcher
from trap.stage import Pass, Unavailable


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Dnsbl]:
    """A stage for which one hit is enough."""
    made = make(tmp_path)
    yield made
    made.close()


class TestWhatCounts:
    def test_client_domains_and_files_are_noted_and_published(self, stage: Dnsbl) -> None:
        said = stage.process(letter(links=["www.bad.example"], file=True))
        assert said == Pass(
            {"counted": {"addresses": ["192.0.2.7"], "domains": ["bad.example"], "files": [SUM]}}
        )
        stage.tick()
        assert published(stage) == ["192.0.2.7"]
        assert published(stage, "domains") == ["bad.example"]
        assert published(stage, "files") == [SUM]
        assert published(stage, "backscatter") == []

    def test_a_host_of_ipv6_is_listed_with_its_64(self, stage: Dnsbl) -> None:
        stage.process(letter("2001:db8:1:2::3"))
        stage.tick()
        assert published(stage) == ["2001:db8:1:2::/64"]

    def test_backscatter_has_a_list_of_its_own(self, stage: Dnsbl) -> None:
        job = letter(notes={"backscatter": {"kind": "bounce", "score": 9}}, links=["returned.example"])
        assert stage.process(job) == Pass({"counted": {"backscatter": ["192.0.2.7"]}})
        stage.tick()
        assert (published(stage), published(stage, "backscatter")) == ([], ["192.0.2.7"])

    def test_a_job_that_comes_again_counts_once(self, stage: Dnsbl) -> None:
        job = letter()
        assert stage.process(job) == stage.process(job)
        (known,) = stage.desk.about("192.0.2.7")["evidence"]
        assert (known["hits"], known["traps"]) == (1, 1)

    def test_one_message_lists_nobody_by_default(self, tmp_path: Path) -> None:
        """Else a spammer would learn, address by address, which are traps."""
        stage = make(tmp_path, "batch: 64")
        stage.process_batch([letter() for _ in range(50)])
        stage.tick()
        assert published(stage) == []
        stage.process(letter(to=["ann@trap.example"]))
        stage._publisher._next = 0.0
        stage.tick()
        assert published(stage) == ["192.0.2.7"]
        stage.close()

    def test_plus_makes_no_second_trap(self, stage: Dnsbl) -> None:
        stage.process(letter(to=["joe+1@trap.example", "Joe+2@Trap.example"]))
        assert stage.desk.about("192.0.2.7")["evidence"][0]["traps"] == 1

    def test_recipients_are_nowhere_in_the_state(self, stage: Dnsbl, tmp_path: Path) -> None:
        stage.process(letter(to=["joe.doe@trap.example"]))
        stage.tick()
        stage.close()
        for path in (tmp_path / "state").rglob("*"):
            if path.is_file():
                assert b"joe.doe" not in path.read_bytes()
                assert b"trap.example" not in path.read_bytes()

    def test_state_that_others_hold_is_unavailable(
        self, stage: Dnsbl, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stages.listing.tables.BUSY", 0.05)
        stage._store.close()
        stage.process(letter())
        other = sqlite3.connect(stage._store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"evidence in .*locked"):
            stage.process(letter())
        other.rollback()
        other.close()
        assert isinstance(stage.process(letter()), Pass)


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "wrong"),
        [
            ("traps: [pristine, typo]", "its senders are never listed"),
            ("traps: [Typo-Old]", "its senders are never listed"),
            ("lists: {domains: {min_traps: 0}}", "min_traps: 0 is not between"),
            ("lists: {addresses: {code: 127.0.0.1}}", "is no answer of a list"),
            ("lists: {addresses: {half_life: 1s}}", "half_life: must be a minute"),
            ("publish: {every: 1s}", "every: must be 2s"),
            ("publish: {valid: 10s}", "valid: must be a minute"),
            ("publish: {ns: ['a b']}", "is not the name of a host"),
            ("publish: {reason: '\u2603'}", "must be plain ASCII"),
            ("removal: {cool_down: 0s}", "cool_down: must be a minute"),
            ("allow: [192.0.2.0/24, nonsense]", "'nonsense' is neither an address"),
            ("trusted: [10.0.0.1/8]", "has host bits set"),
            ("max_bytes: 1kB", "must be 1MB"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, tmp_path: Path, settings: str, wrong: str) -> None:
        with pytest.raises(Exception, match=wrong):
            make(tmp_path, settings)

    def test_a_mistake_in_a_file_of_what_is_allowed_is_told_by_line(self, tmp_path: Path) -> None:
        file = tmp_path / "allow"
        file.write_text("# friends\n192.0.2.0/24\n\nfriend.example # a shop\nwhat is this\n")
        with pytest.raises(Exception, match=rf"{file}:5: 'what is this' is neither"):
            make(tmp_path, f"allow: {file}")


class Servers:
    """A stage whose lists real servers answer from, and lists of a trap that died."""

    def __init__(self, home: Path, lists: Path, dead: Path) -> None:
        self.lists = lists
        said = f'directory: {lists}, valid: 1m, every: 2s, ns: [ns.bl.example], reason: "see https://bl/?q=$"'
        self.stage = make(home, f"publish: {{{said}}}\n    {SOON}")
        self.stage.process_batch(
            [letter("198.51.100.77"), letter("198.51.100.66", links=["w.hidden.example"])]
        )
        self.stage.tick()
        kinds = {
            "bl.example": ("ip4trie:addresses.ip4", "ip6trie:addresses.ip6"),
            "uri.example": ("dnset:domains.dnset",),
            "hash.example": ("dnset:files.dnset",),
            "bounce.example": ("ip4trie:backscatter.ip4",),
            "dead.example": (f"ip4trie:{dead}/addresses.ip4",),
        }
        zones = [f"{zone}:{each}" for zone, sets in kinds.items() for each in sets]
        self.rbldnsd = rbldnsd(home, ["-w", str(lists), *zones])
        self.unbound = unbound(home, dict.fromkeys(kinds, self.rbldnsd.port), {})
        try:
            last_words(home / "dead", dead)
            self.rbldnsd.start()
            assert asked(self.rbldnsd, "5.100.51.198.dead.example") == ["127.0.0.2"]
            self.unbound.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.unbound.kill()
        self.rbldnsd.kill()
        self.stage.close()

    def become(self, answers: dict[tuple[str, str], str]) -> None:
        """Wait until names and types are answered so, at most ten seconds; the worker ticks meanwhile."""

        def check() -> bool:
            self.stage.tick()
            return all(
                any(answer in said for said in asked(self.unbound, name, kind))
                for (name, kind), answer in answers.items()
            )

        eventually(check, seconds=10.0, what=str([asked(self.unbound, *each) for each in answers]))


def last_words(home: Path, lists: Path) -> None:
    """Publish as a trap did that died so long ago that its lists end in two seconds."""
    stage = make(home, f"publish: {{directory: {lists}, valid: 1m}}\n    {SOON}")
    stage.process(letter("198.51.100.5", at=time.time() - 100))
    stage._publisher._prepare()
    stage._publisher.publish(time.time() - 58)
    stage.close()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """rbldnsd with a stage's lists, and unbound in front of it."""
    with shelf() as lists, shelf() as dead:
        made = Servers(tmp_path_factory.mktemp("lists"), lists, dead)
        yield made
        made.stop()


class TestRealServers:
    def test_who_comes_and_who_is_removed_is_known_within_ten_seconds(self, servers: Servers) -> None:
        assert asked(servers.rbldnsd, "77.100.51.198.bl.example") == ["127.0.0.2"]
        servers.stage.process(letter("198.51.100.9", links=["evil.example"], file=True))
        servers.stage.process(letter("2001:db8:9:9::1"))
        servers.stage.process(letter("198.51.100.10", notes={"backscatter": {"kind": "bounce"}}))
        servers.stage.desk.remove("198.51.100.77")
        servers.become(
            {
                ("9.100.51.198.bl.example", "A"): "127.0.0.2",
                ("9.100.51.198.bl.example", "TXT"): "see https://bl/?q=198.51.100.9",
                (f"{reverse(ip_address('2001:db8:9:9::ffff'))}.bl.example", "A"): "127.0.0.2",
                ("www.evil.example.uri.example", "A"): "127.0.0.2",
                (f"{MD5}.hash.example", "A"): "127.0.0.2",
                ("10.100.51.198.bounce.example", "A"): "127.0.0.2",
                ("10.100.51.198.bl.example", "A"): "NXDOMAIN",
                ("77.100.51.198.bl.example", "A"): "NXDOMAIN",
            }
        )

    @pytest.mark.parametrize(
        ("name", "answer"),
        [
            ("2.0.0.127.bl.example", "127.0.0.2"),
            ("1.0.0.127.bl.example", "NXDOMAIN"),
            (f"{reverse(ip_address('::ffff:7f00:2'))}.bl.example", "127.0.0.2"),
            (f"{reverse(ip_address('::ffff:7f00:1'))}.bl.example", "NXDOMAIN"),
            ("test.uri.example", "127.0.0.2"),
            ("invalid.uri.example", "NXDOMAIN"),
        ],
    )
    def test_entries_by_which_a_list_is_tested(self, servers: Servers, name: str, answer: str) -> None:
        """RFC 5782, section 5."""
        assert asked(servers.unbound, name) == [answer]

    def test_when_the_trap_dies_its_lists_are_not_answered_any_more(self, servers: Servers) -> None:
        eventually(lambda: asked(servers.rbldnsd, "5.100.51.198.dead.example") == ["SERVFAIL"], seconds=15)
        assert asked(servers.unbound, "2.0.0.127.dead.example") == ["SERVFAIL"]

    def test_a_policy_zone_hides_what_is_listed(self, servers: Servers, tmp_path: Path) -> None:
        """Domains by their names, and names of any domain that lead to a listed address."""
        policies = {name: servers.lists / f"{name}.rpz" for name in ("domains", "addresses")}
        names = ["hidden.example", "seen.example"]
        with shelf() as world:
            (world / "zone").write_text("www A 192.0.2.80\nbot A 198.51.100.66\n")
            knows = rbldnsd(tmp_path, [f"{name}:generic:{world}/zone" for name in names])
            resolver = unbound(tmp_path, dict.fromkeys(names, knows.port), policies)
            with knows, resolver:
                assert asked(resolver, "www.seen.example") == ["192.0.2.80"]
                assert asked(resolver, "www.hidden.example") == ["NXDOMAIN"]
                assert asked(resolver, "bot.seen.example") == ["NXDOMAIN"]


def test_of_real_mail_no_large_sender_is_listed_and_no_recipient_named(corpus: Path, tmp_path: Path) -> None:
    """Where one hit is enough, and all of the corpus came to traps: spam, bounces and honest mail."""
    known = [json.loads(line) for line in (corpus / "index.jsonl").read_text().splitlines()]
    facts = {corpus / each["file"]: each for each in known}
    read, noted = Extract(qr=False), Backscatter(to="dnsbl")
    stage = make(tmp_path, f"publish: {{at_least: 100000}}\n    {SOON}", accept="everything")
    traps = set()
    for path in mails(corpus, 60):
        fact, message = facts[path], path.read_bytes()
        to = str(fact.get("env_rcpt") or "joe@trap.example")
        traps.add(to)
        job = letter(str(fact.get("client_ip") or ""), [to], message=message)
        notes = {"extract": read.process(job).notes, "backscatter": noted.process(job).notes}
        stage.process(letter(job.envelope.client_ip, [to], notes=notes, message=message))
    stage.tick()
    large = LargeSenders()
    assert len(published(stage)) > 5
    assert len(published(stage, "domains")) > 5
    assert not [name for name in published(stage, "domains") if large.owns_domain(name)]
    assert not [ip for ip in published(stage) if large.owns_ip(ip.partition("/")[0])]
    identities = Identities.named(trap for trap in traps if trap.count("@") == 1)
    searcher = Searcher(identities)
    for name in ("addresses", "backscatter", "files"):
        for path in stage._publisher.directory.glob(f"{name}.*"):
            assert found_by(searcher, path.read_bytes()) == []
    stage.close()
