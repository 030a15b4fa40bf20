"""What a configuration must be beyond the types of its settings: wiring, ranges, shapes."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from ipaddress import ip_address, ip_network
from pathlib import Path

from trap.config import Config, Listener, Room, Stage
from trap.configlimits import Level
from trap.configweb import PASSWORD, TOKEN
from trap.job import MAX_SIZE

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED = frozenset({"tmp", "bad", "reports"})
MAX_WORKERS = 256
MAX_PROCESSES = 64
MAX_DEADLINE = 7 * 86400
_CRON_FIELDS = 5
_LEVEL_COUNTS = ("commands", "errors", "junk")
_COUNTS = ("connections", "per_address", "per_network", "connection_rate", "message_rate", *_LEVEL_COUNTS)
_SHORTEST = 0.01
_HINT = re.compile(r"[ -~]{0,60}")
_HOST = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,20}")
_MODE = re.compile(r"0?[0-7]{3}")
_LISTENER = Listener()
_DOMAIN = re.compile(r"\.?[^\s@.]+(\.[^\s@.]+)*\.?")

Where = tuple[str | int, ...]
"""Keys and indices that lead to a place in the file."""
Mistakes = Iterator[tuple[Where, str]]
"""Places in the file, and what is wrong there."""


def nearest(word: object, valid: Iterable[object]) -> str:
    """Return " (did you mean …?)" or the list of what is valid, to end an error with."""
    import difflib  # noqa: PLC0415 - for mistakes only: `inject` is in a hurry, as below

    choices = sorted(map(str, valid))
    close = difflib.get_close_matches(str(word), choices, 1)
    return f" (did you mean {close[0]}?)" if close else f" (valid: {', '.join(choices)})"


def mistakes(config: Config) -> Mistakes:
    """Every mistake of a configuration whose settings have the right types, the gravest first."""
    yield from _wiring(config)
    yield from _turning_back(config)
    yield from _listeners(config)
    yield from _networks(config)
    yield from _recipients(config)
    yield from _when_full(config)
    yield from _numbers(config)
    yield from _reaper(config)
    yield from _stress(config)
    yield from _web(config)
    for key in ("spool", "archive", "state", "plugins"):
        path: Path | None = getattr(config.paths, key)
        if path is not None and not path.is_absolute():
            yield ("paths", key), f"{path} depends on where one stands: write it from / on"
    if bool(config.tls.cert) != bool(config.tls.key):
        yield ("tls",), "cert and key go together: set both, or neither"


def _wiring(config: Config) -> Mistakes:
    """The pipeline names each stage once, branches only at its end, and every queue has a good name."""
    seen: set[str] = set()
    if not config.pipeline:
        yield ("pipeline",), "names no stage"
    for at, step in enumerate(config.pipeline):
        where: Where = ("pipeline", at)
        if isinstance(step, list) and at != len(config.pipeline) - 1:
            yield where, "parallel stages stand at the end of the pipeline only"
        if isinstance(step, list) and at == 0:
            yield where, "the pipeline begins with one stage, not with parallel ones"
        for name in step if isinstance(step, list) else [step]:
            if name in seen:
                yield where, f"{name!r} stands here twice; give one another name and `use: {name}`"
            seen.add(name)
    for name in [*seen, *config.stages]:
        if not NAME.fullmatch(name) or name in RESERVED:
            place: Where = ("stages", name) if name in config.stages else ("pipeline",)
            yield place, f"{name!r} can't name a queue: lower case letters, digits, - and _"
    for name, stage in config.stages.items():
        yield from _stage(config, name, stage)


def _stage(config: Config, name: str, stage: Stage) -> Mistakes:
    """What the worker is told about a stage makes sense."""
    where: Where = ("stages", name)
    if stage.next is not None and name in config.pipeline_stages:
        yield (*where, "next"), "the pipeline already says what follows; leave this out"
    for key, targets in (("next", stage.next or []), ("to", [stage.settings.get("to")])):
        for target in targets:
            if target is not None and target not in config.queues:
                yield (*where, key), f"no queue {target!r}" + nearest(str(target), config.queues)
    for key, least in (("workers", 0), ("concurrency", 1), ("batch", 1), ("deadline", 0.001)):
        if getattr(stage, key) < least:
            yield (*where, key), f"should be {least} or more"
    if stage.workers > MAX_WORKERS:
        yield (*where, "workers"), f"should be {MAX_WORKERS} or fewer"
    if stage.deadline > MAX_DEADLINE:
        yield (*where, "deadline"), "should be 7d or less"


def _turning_back(config: Config) -> Mistakes:
    """Following `next`, `to` and the pipeline, no message comes to a queue twice."""
    graph: dict[str, set[str]] = {name: set(config.after(name)) for name in config.queues}
    for name, stage in config.stages.items():
        if isinstance(to := stage.settings.get("to"), str):
            graph[name].add(to)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        ring: list[str] = error.args[1][::-1]
        name = next((each for each in ring if each in config.stages), ring[0])
        yield ("stages", name), f"mail would go round for ever: {' -> '.join(ring)}"


def _listeners(config: Config) -> Mistakes:
    if not config.listen:
        yield ("listen",), "names no address to listen on"
    seen = set()
    for at, listener in enumerate(config.listen):
        if not 0 <= listener.port <= 65_535:
            yield ("listen", at, "port"), "should be 0 to 65535"
        place = listener.unix or (listener.host, listener.port)
        if listener.unix and listener.proxy:
            yield ("listen", at, "proxy"), "names networks, and nobody comes to a UNIX socket from one"
        if not _MODE.fullmatch(listener.mode):
            yield ("listen", at, "mode"), f'{listener.mode!r} is no mode of a file; write it like "0660"'
        for key in ("mode", "group"):
            if not listener.unix and getattr(listener, key) != getattr(_LISTENER, key):
                yield ("listen", at, key), "is for UNIX sockets; ports have none"
        if listener.port and place in seen:
            yield ("listen", at), f"{listener.label} stands here twice"
        seen.add(place)


def _networks(config: Config) -> Mistakes:
    """Everything that should be a network is one."""
    places: list[tuple[Where, str]] = [
        (("listen", at, "proxy", nth), text)
        for at, listener in enumerate(config.listen)
        for nth, text in enumerate(listener.proxy)
    ]
    places += [(("smtp", "banner_delays", text), text) for text in config.smtp.banner_delays]
    for where, text in places:
        try:
            ip_network(text)
        except ValueError:
            try:
                meant = f" (did you mean {ip_network(text, strict=False)}?)"
            except ValueError:
                meant = "; write it like 192.0.2.0/24 or 2001:db8::/32"
            yield where, f"{text!r} is not a network{meant}"


def _recipients(config: Config) -> Mistakes:
    for domain in config.accept.domains:
        if not _DOMAIN.fullmatch(domain):
            yield ("accept", "domains", domain), f"{domain!r} is not a domain"
    for address in config.accept.addresses:
        if "@" not in address or any(c.isspace() for c in address):
            yield ("accept", "addresses", address), f"{address!r} is not an address"
    for pattern in config.accept.patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            yield ("accept", "patterns", pattern), f"{pattern!r} is not a regular expression: {error}"
    for at, entry in enumerate(config.route):
        if entry.to not in config.queues:
            yield ("route", at, "to"), f"no queue {entry.to!r}" + nearest(entry.to, config.queues)


def _when_full(config: Config) -> Mistakes:
    """Every tag that has a choice of its own is some recipient's."""
    accept = config.accept
    kinds = (accept.domains, accept.addresses, accept.patterns)
    tags = {tagged.tag for kind in kinds for tagged in kind.values()} - {""}
    for tag in config.spool.when_full:
        if tag not in {*tags, "default"}:
            yield (
                ("spool", "when_full", tag),
                f"no recipient has the tag {tag!r}" + nearest(tag, {*tags, "default"}),
            )


def _numbers(config: Config) -> Mistakes:
    """Numbers lie where they make sense."""
    bounds: list[tuple[Where, float, float]] = [
        (("smtp", "max_recipients"), config.smtp.max_recipients, 1),
        (("smtp", "max_size"), config.smtp.max_size, 1),
        (("smtp", "processes"), config.smtp.processes, 1),
        (("smtp", "timeout"), config.smtp.timeout, _SHORTEST),
        (("reaper", "interval"), config.reaper.interval, 0.01),
        (("reaper", "max_count"), config.reaper.max_count, 0),
        (("maillog", "rotate"), config.maillog.rotate, 4096),
        (("maillog", "keep"), config.maillog.keep, 0),
        (("spool", "max_waiting"), config.spool.max_waiting, 0),
        *((("limits", key), getattr(config.limits, key), 0) for key in _COUNTS),
    ]
    for where, number, least in bounds:
        if number < least:
            yield where, f"should be {least:g} or more"
    if config.smtp.processes > MAX_PROCESSES:
        yield ("smtp", "processes"), f"should be {MAX_PROCESSES} or fewer"
    if config.smtp.max_size > MAX_SIZE:
        yield ("smtp", "max_size"), "should be less than 4GB"


def _stress(config: Config) -> Mistakes:
    """The levels rise, and nothing that a client hears breaks a line."""
    stress = config.stress
    for key in ("connections", "lag", "spool"):
        for name in ("yellow", "red"):
            if not getattr(getattr(stress, name), key):
                yield ("stress", name, key), "should be more than 0"
        if getattr(stress.yellow, key) > getattr(stress.red, key):
            yield ("stress", "yellow", key), "should not be more than at red"
    levels: list[tuple[str, Level]] = [
        ("green", stress.green),
        ("yellow", stress.yellow),
        ("red", stress.red),
    ]
    for name, level in levels:
        if level.timeout is not None and level.timeout < _SHORTEST:
            yield ("stress", name, "timeout"), f"should be {_SHORTEST} or more"
        for key in _LEVEL_COUNTS:
            if (getattr(level, key) or 0) < 0:
                yield ("stress", name, key), "should be 0 or more"
        if not _HINT.fullmatch(level.hint):
            yield ("stress", name, "hint"), "should be at most 60 printable characters of ASCII"


def _web(config: Config) -> Mistakes:
    """Nobody who is not meant to can come in, and who is meant to can."""
    web = config.web
    if not 0 <= web.port <= 65_535:
        yield ("web", "port"), "should be 0 to 65535"
    if not web.loopback and not web.users:
        yield (
            ("web", "host"),
            f"{web.host!r} is more than this machine, and nobody has a password: set web.users"
            " (spamtrap web-password), or listen on 127.0.0.1",
        )
    for key in ("names", "proxies"):
        if getattr(web, key) and not web.users:
            yield ("web", key), "others come in, but nobody has a password: set web.users too"
    for key, kind, program in (("users", PASSWORD, "web-password"), ("tokens", TOKEN, "web-token")):
        for name, text in getattr(web, key).items():
            if not kind.fullmatch(text):
                yield ("web", key, name), f"not what `spamtrap {program}` prints"
    for at, name in enumerate(web.names):
        if not _HOST.fullmatch(name):
            yield ("web", "names", at), f"{name!r} is not a host name"
    for at, proxy in enumerate(web.proxies):
        try:
            ip_address(proxy)
        except ValueError:
            yield ("web", "proxies", at), f"{proxy!r} is not an address"


def _reaper(config: Config) -> Mistakes:
    rooms: Iterable[tuple[Where, Room]] = [
        (("reaper", "max_bytes"), config.reaper.max_bytes),
        (("reaper", "max_inodes"), config.reaper.max_inodes),
    ]
    for where, room in rooms:
        if not room.of(1 << 40):
            yield where, "would throw everything away"
    if config.spool.reserve.share is not None and config.spool.reserve.share >= 1:
        yield ("spool", "reserve"), "would leave no room for mail"
    if config.reaper.purge:
        import cronsim  # noqa: PLC0415

        try:
            cronsim.CronSim(config.reaper.purge, datetime(2000, 1, 1))
            if len(config.reaper.purge.split()) != _CRON_FIELDS:
                yield ("reaper", "purge"), "not a cron expression: five fields, minute to day of the week"
        except cronsim.CronSimError as error:
            yield ("reaper", "purge"), f"not a cron expression: {error}"
