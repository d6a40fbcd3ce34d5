"""What a server is like, in remarks for whoever runs it: version, eviction, persistence, rights, clock ...

Much of it may be forbidden: least-privilege users and managed services hide INFO, CONFIG or ACL. Whatever
cannot be asked is said to be unknown, never guessed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ardiq.store import inspector, server
from ardiq.store.client import Store
from ardiq.store.keys import Keys
from ardiq.store.refusals import Refused
from ardiq.store.scripts import Call, Part
from ardiq.store.server import Info

State = Literal["ok", "look", "wrong", "unknown"]

SKEW = 2_000  # ms between the clocks that nobody needs to hear of
NEARLY = 0.9  # of maxmemory

_KEYS = (
    "exists", "del", "persist", "pttl", "type", "get", "mget", "strlen", "lpop", "llen", "hgetall", "hlen",
    "hkeys", "zcard",
)  # fmt: skip
_ARGS: dict[str, tuple[Part, ...]] = {
    "pexpire": (1,), "set": ("x",), "msetnx": ("x",), "getrange": (0, 1), "setrange": (0, "x"),
    "rpush": ("x",), "lpush": ("x",), "blpop": (1,), "lrange": (0, 1), "lrem": (0, "x"), "lpos": ("x",),
    "hset": ("x", "x"), "hsetnx": ("x", "x"), "hget": ("x",), "hmget": ("x",), "hdel": ("x",),
    "hexists": ("x",), "hscan": (0,),
    "zadd": (1, "x"), "zrem": ("x",), "zremrangebyrank": (0, 0), "zscore": ("x",), "zmscore": ("x",),
    "zcount": (0, 1), "zrange": (0, 1), "zrevrange": (0, 1), "zrangebyscore": (0, 1), "zscan": (0,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Remark:
    """One line. ``text`` says what is, ``way_out`` what to do about it where there is something to do."""

    name: str
    state: State
    text: str
    way_out: str = ""


def checkup(store: Store, keys: Keys) -> list[Remark]:
    """Look at the server of a queue. Raises BrokerError when it cannot be reached."""
    # A call with a key first: on a Cluster it leads to the node that has the queue.
    store.run(inspector.counts(keys, ()))
    info = _asked(store, server.info()) or Info()
    remarks = [_version(info), _eviction(info), _persistence(info, store), _replicas(info)]
    return [*remarks, _rights(store, keys), _clock(store), _memory(info)]


def _asked(store: Store, call: Call) -> Any:
    """What the server answers; None where it does not say."""
    try:
        return store.run(call)
    except Refused:
        return None


def _version(info: Info) -> Remark:
    if not info.version:
        return Remark(
            "server", "unknown", "cannot be seen here (no rights: INFO)", "allow it: ACL SETUSER <user> +info"
        )
    text = f"{info.name} {info.version}"
    if info.too_old:
        return Remark("server", "wrong", f"{text} is too old", "ardiq needs Redis 6.2 or newer, or Valkey")
    return Remark("server", "ok", text)


def _eviction(info: Info) -> Remark:
    if wrong := server.danger(info.policy):
        return Remark("eviction", "wrong", wrong, server.REMEDY)
    if odd := server.doubt(info.policy):
        return Remark("eviction", "look" if info.policy else "unknown", odd)
    return Remark("eviction", "ok", info.policy)


def _setting(store: Store, name: str) -> str | None:
    reply = _asked(store, Call(("CONFIG", "GET", name), list))
    return reply[1].decode() if reply else None


def _persistence(info: Info, store: Store) -> Remark:
    name, aof = "persistence", info.number("aof_enabled")
    if aof is None:
        return Remark(name, "unknown", "cannot be seen here; jobs survive a restart only with appendonly yes")
    for what, field in (("AOF", "aof_last_write_status"), ("last snapshot", "rdb_last_bgsave_status")):
        if info.fields.get(field, "ok") != "ok":
            return Remark(name, "wrong", f"the {what} could not be written", "look into the server's log")
    if aof:
        fsync = _setting(store, "appendfsync")
        if fsync == "no":
            text = "AOF, but the kernel decides when it reaches the disk: a power cut may cost 30 s"
            return Remark(name, "look", text, "CONFIG SET appendfsync everysec")
        if fsync is None:
            return Remark(
                name, "ok", "AOF; how often it reaches the disk cannot be seen (no rights: CONFIG GET)"
            )
        loss = {"always": "nothing is lost", "everysec": "a power cut costs 1 to 2 s at most"}
        return Remark(name, "ok", f"AOF, fsync {fsync}: {loss.get(fsync, '?')}")
    remedy = "CONFIG SET appendonly yes, and the same in its configuration"
    saves = _setting(store, "save")
    if saves is None:
        text = "no AOF, and whether snapshots are taken cannot be seen (no rights: CONFIG GET)"
        return Remark(name, "look", text, remedy)
    if saves == "":
        return Remark(name, "look", "none: a restart of the server loses every job", remedy)
    seconds = max(0, int(time.time()) - (info.number("rdb_last_save_time") or 0))
    changes = info.number("rdb_changes_since_last_save") or 0
    text = f"snapshots only: a crash now would lose {changes:,} changes of the last {seconds:,} s"
    return Remark(name, "look", text, remedy)


def _replicas(info: Info) -> Remark:
    role, count = info.fields.get("role"), info.number("connected_slaves")
    if role is None or count is None:
        return Remark("replicas", "unknown", "cannot be seen here (no rights: INFO)")
    if role != "master":
        return Remark("replicas", "wrong", "this server is a replica itself", "name its primary in REDIS_URL")
    if not count:
        return Remark("replicas", "ok", "none")
    text = f"{count}; what they have not yet got is lost when one of them takes over"
    return Remark("replicas", "ok", text)


def _samples(keys: Keys) -> Iterable[tuple[Part, ...]]:
    """Every command that ardiq sends or its scripts run, with arguments that it might have; but for INFO and
    SCAN, which it can do without."""
    key = keys.wake
    yield from ((command, key) for command in _KEYS)
    yield from ((command, key, *arguments) for command, arguments in _ARGS.items())
    yield from (("eval", "return 1", 1, keys.prefix), ("evalsha", "0" * 40, 1, keys.prefix))
    yield from (("publish", keys.control, "x"), ("subscribe", keys.control))
    yield from (("ping",), ("select", 0), ("time",))


def _rights(store: Store, keys: Keys) -> Remark:
    user = _asked(store, Call(("ACL", "WHOAMI"), bytes.decode))
    samples = list(_samples(keys))
    answers: list[bytes] = []
    for sample in samples if user is not None else ():
        answer = _asked(store, Call(("ACL", "DRYRUN", user, *sample), lambda reply: reply))
        if answer is None:
            break
        answers.append(answer)
    if len(answers) < len(samples):
        return Remark("rights", "unknown", "cannot be seen here (no rights: ACL DRYRUN, Redis 7 or newer)")
    denied = [str(one[0]) for one, answer in zip(samples, answers, strict=True) if answer != b"OK"]
    if denied:
        text = f"user {user} may not run {', '.join(denied)} on the keys of this queue"
        return Remark("rights", "wrong", text, f"ACL SETUSER {user} {' '.join(f'+{one}' for one in denied)}")
    return Remark("rights", "ok", f"user {user} may run all {len(samples)} commands that ardiq needs")


def _clock(store: Store) -> Remark:
    before = time.time()
    seconds, micros = store.run(Call(("TIME",), lambda reply: map(int, reply)))
    after = time.time()
    ahead = round((seconds + micros / 1_000_000 - (before + after) / 2) * 1_000)
    text = f"the server is {abs(ahead):,} ms {'ahead of' if ahead > 0 else 'behind'} this host"
    if abs(ahead) < SKEW // 100:
        return Remark("clock", "ok", "that of the server and that of this host agree")
    if abs(ahead) < SKEW:
        return Remark("clock", "ok", text)
    return Remark(
        "clock", "look", f"{text}; jobs fall due by the server's clock", "let both keep time with NTP"
    )


def _memory(info: Info) -> Remark:
    used, most = info.number("used_memory"), info.number("maxmemory")
    if used is None or most is None:
        return Remark("memory", "unknown", "cannot be seen here (no rights: INFO)")
    if not most:
        return Remark("memory", "ok", f"{_size(used)} used, no limit of its own")
    text = f"{_size(used)} used of {_size(most)}"
    if used < most * NEARLY:
        return Remark("memory", "ok", text)
    way_out = "let workers catch up, lower RESULT_TTL_MS, or raise maxmemory"
    return Remark("memory", "look", f"{text}; when it is full, enqueuing raises QueueFull", way_out)


def _size(number: int) -> str:
    return f"{number / 1_048_576:,.1f} MB"
