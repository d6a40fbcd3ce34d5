"""``manage.py ardiq_check``: what it says of servers and of queues, and that it may run beside workers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command

from ardiq import Ardiq
from ardiq.core.redact import MASK
from ardiq.store import checkup, fsck
from ardiq.store.client import Store
from ardiq.store.keys import Keys
from ardiq.store.server import Info
from tests import topologies
from tests.keyspace import faults
from tests.server import admin, answers, free_port, need_binary, start_server, stop_server
from tests.workers import Workers, until

PASSWORD = "not-to-be-shown"
Start = Callable[..., redis.Redis]


@pytest.fixture
def server(tmp_path: Path, settings: Any) -> Iterator[Start]:
    """Starts a server with options and makes it that of the queue "check"."""
    processes = []

    def start(*options: str, userinfo: str = "") -> redis.Redis:
        port = free_port()
        processes.append(start_server(need_binary(), tmp_path, port, *options))
        url = f"redis://127.0.0.1:{port}/0"
        assert answers(url, 10)
        settings.ARDIQ = {"check": {"REDIS_URL": url.replace("://", f"://{userinfo}")}}
        return redis.Redis.from_url(url)

    yield start
    for process in processes:
        stop_server(process)


def said(*arguments: str, first: str = "check") -> tuple[int, str]:
    """Exit code and output of the command. Other tests may have left queues of their own in this process."""
    out, code = StringIO(), 0
    try:
        call_command("ardiq_check", "--queue", first, *arguments, stdout=out)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, out.getvalue()


def line(text: str, name: str) -> str:
    found = [one for one in text.splitlines() if one[11:].startswith(name)]
    assert len(found) == 1, text
    return " ".join(found[0].split())


def test_a_server_that_is_fit(server: Start) -> None:
    """I: version, eviction, persistence, replicas, rights, clock, memory, jobs: one line each; exit 0."""
    server("--appendonly", "yes", "--appendfsync", "everysec")
    code, text = said()
    assert code == 0
    assert [one.split()[:2] for one in text.splitlines()[1:]] == [
        ["ok", name] for name in
        ("server", "eviction", "persistence", "replicas", "rights", "clock", "memory", "jobs")
    ]  # fmt: skip
    assert (
        line(text, "persistence") == "ok persistence AOF, fsync everysec: a power cut costs 1 to 2 s at most"
    )
    assert line(text, "jobs") == "ok jobs 0 looked at, everything in its place"


@pytest.mark.parametrize(
    ("options", "name", "told", "expected"),
    [
        (["--maxmemory-policy", "allkeys-lru"], "eviction", "wrong eviction maxmemory-policy", 1),
        (["--maxmemory-policy", "volatile-lru"], "eviction", "look eviction maxmemory-policy", 0),
        ([], "persistence", "look persistence none: a restart", 0),
        (["--save", "3600 1"], "persistence", "look persistence snapshots only: a crash now would lose 0", 0),
        (["--appendonly", "yes", "--appendfsync", "always"], "persistence", "ok persistence AOF, fsync", 0),
        (["--appendonly", "yes", "--appendfsync", "no"], "persistence", "look persistence AOF, but", 0),
        (["--maxmemory", "3mb"], "memory", "ok memory", 0),
        (["--replicaof", "127.0.0.1 1"], "replicas", "wrong replicas this server is a replica", 1),
    ],
)  # fmt: skip
def test_servers(server: Start, options: list[str], name: str, told: str, expected: int) -> None:
    """I: what matters is told with the way out; exit 1 only for what is wrong."""
    server(*options)
    code, text = said()
    assert line(text, name).startswith(told)
    assert code == expected


def test_a_user_with_few_rights(server: Start) -> None:
    """I, S12: what may not be asked is unknown and not guessed; passwords never show."""
    client = server(userinfo=f"few:{PASSWORD}@")
    client.acl_setuser(
        "few", enabled=True, passwords=[f"+{PASSWORD}"], keys=["ardiq:*"], channels=["ardiq:*"],
        commands=["+@all", "-@admin", "-@dangerous", "-scan"],
    )  # fmt: skip
    for arguments in ([], ["--json"]):
        code, text = said(*arguments)
        assert code == 0 and PASSWORD not in text and MASK in text
    code, text = said()
    for name in ("server", "eviction", "persistence", "replicas", "rights", "memory"):
        assert line(text, name).startswith("unknown"), text
        assert "cannot be seen here" in line(text, name), text
    assert "may not SCAN" in text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--appendonly", "yes"],
            "ok persistence AOF; how often it reaches the disk cannot be seen (no rights",
        ),
        (
            [],
            "look persistence no AOF, and whether snapshots are taken cannot be seen (no rights: CONFIG GET)",
        ),
    ],
)
def test_what_the_user_of_the_page_cannot_see(server: Start, options: list[str], told: str) -> None:
    """I, S5: the least-privilege user is told what it was not shown, instead of a guess or of nothing."""
    client = server(*options, userinfo=f"ardiq:{PASSWORD}@")
    rights = topologies.acl_lines()["ardiq"].split()[5:]
    client.execute_command("ACL", "SETUSER", "ardiq", "on", f">{PASSWORD}", *rights)
    code, text = said()
    assert code == 0 and line(text, "persistence").startswith(told)
    assert (
        line(text, "rights") == "unknown rights cannot be seen here (no rights: ACL DRYRUN, Redis 7 or newer)"
    )


def test_rights_that_are_missing_are_named(server: Start) -> None:
    """I: with ACL DRYRUN (Redis 7), which commands of ours this user may not run, and what to grant."""
    client = server(userinfo=f"few:{PASSWORD}@")
    version: Any = client.info("server")
    if int(version["redis_version"].split(".")[0]) < 7:
        pytest.skip("ACL DRYRUN came with Redis 7")
    client.acl_setuser(
        "few", enabled=True, passwords=[f"+{PASSWORD}"], keys=["ardiq:*"], channels=["ardiq:*"],
        commands=["+@all", "-lpos", "-zmscore"],
    )  # fmt: skip
    code, text = said()
    assert code == 1
    assert line(text, "rights") == (
        "wrong rights user few may not run lpos, zmscore on the keys of this queue "
        "-> ACL SETUSER few +lpos +zmscore"
    )


def test_no_right_is_forgotten() -> None:
    """I: every command that a script names is among those that are tried."""
    import re
    from importlib.resources import files

    tried = {str(one[0]) for one in checkup._samples(Keys("q"))} | {"scan"}  # it can do without that one
    for path in (files("ardiq.store") / "lua").iterdir():
        text = path.read_text("utf-8")
        named = set(re.findall(r"redis\.p?call\('(\w+)'", text)) | set(re.findall(r"push\('(\w+)'", text))
        assert {name.lower() for name in named} <= tried, path.name


def test_what_a_server_may_say() -> None:
    """I: versions, clocks and memory that no server of these tests has."""
    assert checkup._version(Info({"redis_version": "6.0.9"})).state == "wrong"
    assert checkup._memory(Info({"used_memory": "95", "maxmemory": "100"})).state == "look"
    assert (
        checkup._persistence(Info({"aof_enabled": "1", "aof_last_write_status": "err"}), None).state
        == "wrong"
    )  # type: ignore[arg-type]
    assert "2; what" in checkup._replicas(Info({"role": "master", "connected_slaves": "2"})).text


def test_findings_and_their_repair(server: Start) -> None:
    """I, R20: exit 1 with findings, also when all were repaired, and 0 afterwards; the same as JSON."""
    client = server()
    app, keys = Ardiq("check"), Keys("check")
    ids = [app.ref("t").enqueue_sync(n).id for n in range(30)]
    client.delete(keys.lane("default"))
    code, text = said()
    assert code == 1
    assert text.count("is queued and in no lane") == 20 and "and 10 more" in text
    assert line(text, "jobs").startswith("wrong jobs 30 looked at, 30 findings, 30 left -> --repair")

    code, text = said("--json")
    told = json.loads(text)
    assert (code, told["ok"], told["queues"]["check"]["found"]) == (1, False, 30)
    assert {one["subject"] for one in told["queues"]["check"]["findings"]} == set(ids)

    code, text = said("--repair")
    assert code == 1 and line(text, "jobs") == "mended jobs 30 looked at, 30 findings, all repaired"
    assert said()[0] == 0
    assert json.loads(said("--json")[1])["ok"] is True
    assert client.llen(keys.lane("default")) == 30


def test_mistakes(server: Start) -> None:
    """I: a queue that is not there; a server that is away."""
    client = server()
    with pytest.raises(CommandError, match=r"There is no queue 'chekc'; there are .*check"):
        said("--queue", "chekc")
    assert said("--queue", "check")[1].count("check at redis://") == 1
    client.shutdown(nosave=True)
    code, text = said()
    assert code == 1 and line(text, "server").startswith("wrong server Redis at 127.0.0.1:")
    assert "cannot be reached" in text


def test_one_server_that_is_down(server: Start, settings: Any) -> None:
    """I: it is told, and the other queues are checked all the same; exit 1."""
    server()
    settings.ARDIQ = {"away": {"REDIS_URL": "redis://127.0.0.1:1/0"}, **settings.ARDIQ}
    code, text = said("--queue", "check", first="away")
    assert code == 1 and text.index("away at redis://127.0.0.1:1/0") < text.index("check at redis://")
    assert text.count("cannot be reached") == 1
    assert line(text, "jobs") == "ok jobs 0 looked at, everything in its place"
    code, text = said("--queue", "check", "--json", first="away")
    told = json.loads(text)
    assert code == 1 and told["ok"] is False
    assert "cannot be reached" in told["queues"]["away"]["error"] and told["queues"]["check"]["found"] == 0


def test_a_harmless_finding(server: Start) -> None:
    """I: told, repaired when asked, and no reason to wake anybody."""
    client, keys = server(), Keys("check")
    job = Ardiq("check").ref("t").enqueue_sync()
    client.rpush(keys.lane("default"), job.id)
    code, text = said()
    assert code == 0 and line(text, "twice").startswith(f"look twice job {job.id} stands in its lane more")
    assert line(text, "jobs").startswith("look jobs 1 looked at, 1 finding, harmless, 1 left -> --repair")
    told = json.loads(said("--json")[1])
    assert told["ok"] is True and told["queues"]["check"]["findings"][0]["harmless"] is True
    code, text = said("--repair")
    assert code == 0 and line(text, "jobs") == "mended jobs 1 looked at, 1 finding, all repaired"
    client.delete(keys.lane("default"))
    client.rpush(keys.lane("default"), *[job.id] * 2, "x")
    client.set(keys.prefix + "surprise", 1)
    code, text = said("--repair")
    assert code == 1 and text.count("--repair") == 0, "what has just been done is not advised"
    assert line(text, "jobs") == "wrong jobs 1 looked at, 2 findings, 1 left"


@pytest.mark.slow
def test_beside_busy_workers(workers: Workers, app: Ardiq, redis_url: str, queue_name: str) -> None:
    """R20: while workers start, work, retry, abort and die, nothing but what is truly lost is a finding."""
    keys = Keys(queue_name)
    store = Store(app.broker.endpoint)
    for _ in range(2):
        workers.start(LEASE_MS=3_000, CONCURRENCY=32)
    calls = [app.ref("add").options(priority=lane) for lane in ("low", "default", "high")]
    delayed = app.ref("add").options(delay_ms=300)
    looks, looked = 0, 0
    end = time.monotonic() + 6
    killed = False
    while time.monotonic() < end:
        app.enqueue_many_sync(call.prepare(n, n) for n in range(150) for call in calls)
        app.enqueue_many_sync(delayed.prepare(n, n) for n in range(100))
        naps = [app.ref("nap").options(delay_ms=n % 3 * 20).enqueue_sync(0.5) for n in range(10)]
        for job in naps[:4]:
            job.abort_sync()
        unique = app.ref("nap").options(unique=True).enqueue_sync(0.02)
        unique.result_sync()
        report = fsck.check(store, keys, repair=looks % 2 == 1, lanes=["low", "default", "high"])
        assert report.findings == []
        looks, looked = looks + 1, looked + report.looked_at
        if not killed and time.monotonic() > end - 4:
            workers.all[0].kill()
            workers.start(LEASE_MS=3_000, CONCURRENCY=32)
            killed = True
    assert looks >= 3 and looked > 1_000
    until(lambda: app.queue_size_sync() == 0, 60)
    until(lambda: fsck.check(store, keys).findings == [], 30)
    for process in workers.all[1:]:
        assert process.stop(40) == 0
    with admin(redis_url) as client:
        until(lambda: faults(client, queue_name) == [], 5)
    store.close()
