"""What may lie in Redis: the table in the docstring of keys.py, read and held against the keys of a queue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from ardiq.core.job import HEAD, LETTERS, JobStatus
from ardiq.store import keys as keys_module
from ardiq.store.keys import Keys
from tests.server import admin

_ROW = re.compile(r"^``([^`]+)``\s+(string|list|zset|hash)\s", re.M)


def table() -> list[tuple[re.Pattern[str], str]]:
    """(pattern behind the prefix, Redis type) of every key that keys.py promises."""
    rows = _ROW.findall(keys_module.__doc__ or "")
    assert len(rows) >= 10, "the keyspace table of keys.py cannot be read any more"
    return [(re.compile(re.sub(r"<\w+>", ".+", name)), kind) for name, kind in rows]


def strays(client: Any, queue: str) -> list[str]:
    """Keys of a queue that are neither in the table, with its type, nor have a TTL."""
    prefix, known, found = Keys(queue).prefix, table(), []
    for key in sorted(client.scan_iter(match=prefix + "*", count=1000)):
        name, kind = key.decode().removeprefix(prefix), client.type(key).decode()
        if kind == "none":
            continue  # its time has run out since it was listed
        listed = any(pattern.fullmatch(name) and kind == wanted for pattern, wanted in known)
        if not listed and client.ttl(key) < 0:
            found.append(f"{name} ({kind})")
    return found


def faults(client: Any, queue: str) -> list[str]:
    """What R20 forbids: a live job in no place or in two, or with a TTL; ids held by nobody."""
    keys = Keys(queue)
    prefix, out = keys.prefix, strays(client, queue)
    places: dict[str, list[str]] = {}

    def put(id: bytes, place: str) -> None:
        places.setdefault(id.decode(), []).append(place)

    for key in client.scan_iter(match=prefix + "lane:*", count=1000):
        lane = key.decode().removeprefix(prefix + "lane:")
        for id in client.lrange(key, 0, -1):
            put(id, f"queued in {lane}")
    for id in client.zrange(keys.scheduled, 0, -1):
        put(id, "scheduled")
    workers = {worker.decode() for worker in client.zrange(keys.workers, 0, -1)}
    for key in client.scan_iter(match=prefix + "held:*", count=1000):
        worker = key.decode().removeprefix(prefix + "held:")
        if worker not in workers:
            out.append(f"{worker} holds jobs and is not registered")
        for id in client.hkeys(key):
            put(id, "running")
    for key in client.scan_iter(match=prefix + "job:*", count=1000):
        id = key.decode().removeprefix(prefix + "job:")
        record = client.getrange(key, 0, 639)
        status = LETTERS[record[:1].decode()]
        lane = record[HEAD:].partition(b"\n")[0].decode()
        place = f"queued in {lane}" if status == "queued" else status.value
        # A lane may hold ids of jobs that live elsewhere by now; the record decides which place is theirs.
        own = [one for one in places.get(id, []) if not one.startswith("queued") or one == place]
        if status.finished:
            out += [f"{id} has ended and is {one}" for one in own]
        elif own != [place]:
            out.append(f"{id} is {status.value} but lies in {own}")
        if not status.finished and client.ttl(key) >= 0:
            out.append(f"{id} lives and has a TTL")
    return out + ungrouped(client, keys)


def ungrouped(client: Any, keys: Keys) -> list[str]:
    """What is wrong with the groups of dead letters: a job in one that is none, an empty one."""
    out, letters, prefix = [], {}, keys.prefix
    prints = client.hgetall(keys.fingerprints)
    for key in client.scan_iter(match=prefix + "letters:*", count=1000):
        for id in client.zrange(key, 0, -1):
            letters[id] = key.removeprefix(f"{prefix}letters:".encode())
    if letters != prints:
        out.append(f"groups have {letters}, but the fingerprints are {prints}")
    groups = set(client.zrange(prefix + "groups", 0, -1))
    described = {key.rpartition(b":")[2] for key in client.scan_iter(match=prefix + "group:*", count=1000)}
    if not groups == described == set(prints.values()):
        out.append(f"groups {groups}, described {described}, with letters {set(prints.values())}")
    listed = set(client.zrange(keys.ended(JobStatus.FAILED), 0, -1))
    for id in prints:
        letter = client.getrange(keys.job("").encode() + id, 0, 0)
        if letter != b"F" and (letter or id not in listed):
            out.append(f"{id!r} is no dead letter ({letter!r}) and stands in a group")
    return out


@pytest.fixture(autouse=True)
def orderly(request: pytest.FixtureRequest, clean: None) -> Iterator[None]:
    """After each test with a queue of its own: every key is known, every live job is in one place."""
    used = {"redis_url", "queue_name"} <= set(request.fixturenames)
    url = request.getfixturevalue("redis_url") if used else ""
    queue = request.getfixturevalue("queue_name") if used else ""
    yield
    if used:
        with admin(url) as client:
            found = faults(client, queue)
            assert not found, "\n".join(found)
