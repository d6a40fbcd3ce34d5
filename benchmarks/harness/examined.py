"""What a server was asked while something ran, as the server itself tells it.

INFO commandstats names every command, those inside of scripts as well, and so is the judge of what may be
used at all. It does not tell what a command was about: MONITOR does, with keys and ranges, also inside of
scripts. SLOWLOG tells how long the longest call took, a script as one.

A page of the admin may use ALLOWED and nothing else. Most of these cost the same however many jobs there are.
The others are bounded by what they are given, which is looked at in each single one: a range must name both
of its ends and be no longer than MOST, as must a list of fields or keys. What reads a whole key may do so
only of SMALL: keys that are bounded by how many lanes, tasks, workers and pauses a project has, and not by
how many jobs.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

MOST = 10_000  # elements: as many of the newest jobs as a search looks at (adminui/sources.py)
MOST_COMMANDS = 50_000  # for a page, those inside of scripts as well: about four for each job of a search
MOST_MS = 25  # of the server for one call: many times what one takes, a tenth of what a million elements take

FORBIDDEN = frozenset({
    "keys", "scan", "sort", "sort_ro", "smembers", "sscan", "sinter", "sunion", "sdiff", "zscan", "hkeys",
    "hvals", "randomkey", "flushall", "flushdb", "zunion", "zinter", "zdiff", "zlexcount",
})  # fmt: skip
_CONSTANT = frozenset({
    "evalsha", "eval", "script|load", "info", "time", "ping", "hello", "select", "auth", "client|setinfo",
    "client|setname", "exists", "get", "getrange", "strlen", "hget", "hexists", "hlen", "hstrlen", "zscore",
    "zcard", "zcount", "llen", "lpos", "type", "pttl", "ttl",
})  # fmt: skip
_LISTED = frozenset({"mget", "hmget", "zmscore"})
_RANGES = frozenset({"zrange", "zrevrange", "lrange"})
_BY_SCORE = frozenset({"zrangebyscore", "zrevrangebyscore"})
_WHOLE = frozenset({"hgetall"})
_SCANS = frozenset({"hscan"})
# Who looks at a queue drops what has expired from its lists, a bounded piece each time (lua/tidy.lua).
_TIDIES = frozenset({"zrem", "hdel", "del"})
ALLOWED = _CONSTANT | _LISTED | _RANGES | _BY_SCORE | _WHOLE | _SCANS | _TIDIES

SMALL = frozenset({"stats", "sums", "totals", "worker", "group", "paused", "bulk"})

_OWN = ("config|", "slowlog|", "monitor", "echo")  # of a Watch itself
_LINE = re.compile(r"^\+[\d.]+ \[\d+ ([^\]]*)\] (.*)$")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_KEY = re.compile(r"^ardiq:\{.*?\}:([a-z]+)")


@dataclass(slots=True)
class Examined:
    """``calls``: command -> how often, by INFO commandstats. ``slowest``: ms of one call, and what it was.
    ``asked``: each command with its arguments, by MONITOR."""

    calls: dict[str, int] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")
    asked: list[list[str]] = field(default_factory=list)

    @property
    def commands(self) -> int:
        return sum(self.calls.values())

    @property
    def complaints(self) -> list[str]:
        """What a page must not do, however fast the machine is; [] for a good one."""
        found = [f"{name.upper()} is forbidden" for name in sorted(self.calls) if name in FORBIDDEN]
        strange = sorted(set(self.calls) - ALLOWED - FORBIDDEN)
        found += [f"{name.upper()} is not on the list of what a page may use" for name in strange]
        if self.commands > MOST_COMMANDS:
            found.append(f"{self.commands:,} commands, {MOST_COMMANDS:,} at most")
        return [*found, *sorted({said for words in self.asked if (said := unbounded(words))})]


def unbounded(words: list[str]) -> str:
    """Why a command may look at any number of elements; '' for one that is bounded."""
    name, *rest = words
    name = name.lower()
    shown = " ".join(words[:4])
    family = _KEY.match(rest[0]) if rest else None
    small = family is not None and family[1] in SMALL
    if name in _WHOLE and not small:
        return f"{shown}: a whole key that is not small by construction"
    if name in _LISTED and len(rest) > MOST:
        return f"{name.upper()} of {len(rest):,}, {MOST:,} at most"
    if name in _RANGES and not small and (length := _length(*rest[1:3])) > MOST:
        return (
            f"{shown}: {'no end' if length == float('inf') else f'{length:,.0f} elements'}, {MOST:,} at most"
        )
    if name in _BY_SCORE:
        options = [word.lower() for word in rest[3:]]
        limit = options[options.index("limit") + 2] if "limit" in options else "-1"
        if not 0 <= int(limit) <= MOST and not small:
            return f"{shown}: no LIMIT"
    if name in _SCANS and (rest[1] != "0" or not _counted(rest) <= MOST):
        return f"{shown}: goes on"
    if name == "lpos" and "maxlen" not in [word.lower() for word in rest]:
        return f"{shown}: no MAXLEN"
    return ""


def _length(first: str, last: str) -> float:
    start, end = int(first), int(last)
    return end - start + 1 if (start < 0) == (end < 0) else float("inf")


def _counted(rest: list[str]) -> int:
    lower = [word.lower() for word in rest]
    return int(rest[lower.index("count") + 1]) if "count" in lower else 10


class Watch:
    """Looks at a server while something else is done. Needs all rights."""

    LOG = 20_000  # calls

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = redis.Redis.from_url(url, decode_responses=True, single_connection_client=True)
        self._client.config_set("slowlog-log-slower-than", 0)
        self._client.config_set("slowlog-max-len", self.LOG)

    def best(self, work: Callable[[], object], looks: int = 3) -> Examined:
        """That of several looks in which least was asked, where a worker lives beside: it does not renew its
        lease in each of them, but what the work needs it asks each time. The longest call is that of looks
        without MONITOR, which slows what it tells of, and of the fastest of these."""
        found = min((self.look(work) for _ in range(looks)), key=lambda one: one.commands)
        found.slowest = min(self._counted(work).slowest for _ in range(looks))
        return found

    def look(self, work: Callable[[], object]) -> Examined:
        """Do something, and tell what the server saw meanwhile."""
        with socket.create_connection(self._place) as monitor:
            lines = monitor.makefile("r", encoding="ascii", errors="backslashreplace", newline="\r\n")
            monitor.sendall(b"MONITOR\r\n")
            lines.readline()
            found = self._counted(work)
            self._client.echo("the end")
            found.asked += self._asked(lines)
        return found

    def _counted(self, work: Callable[[], object]) -> Examined:
        found = Examined()
        self._client.slowlog_reset()
        self._client.config_resetstat()
        work()
        stats, slow = self._client.info("commandstats"), self._client.slowlog_get(self.LOG)
        names = {name.removeprefix("cmdstat_"): told["calls"] for name, told in stats.items()}
        found.calls = {name: calls for name, calls in names.items() if not name.startswith(_OWN)}
        for entry in slow:
            words = entry["command"].decode("utf-8", "replace").split(" ")
            if not words[0].lower().startswith(("config", "slowlog", "monitor")):
                found.slowest = max(found.slowest, (entry["duration"] / 1000, " ".join(words[:2])))
        return found

    @property
    def _place(self) -> tuple[str, int]:
        options = self._client.connection_pool.connection_kwargs
        return options["host"], options["port"]

    def _asked(self, lines: Iterable[str]) -> Iterator[list[str]]:
        own = self._client.client_info()["addr"]
        for line in lines:
            if parsed := _LINE.match(line):
                words = _WORD.findall(parsed[2])
                if words == ["ECHO", "the end"]:
                    return
                if parsed[1] != own:
                    yield words
