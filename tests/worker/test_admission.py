"""R21: which servers a worker starts on. Each test has a server of its own, whose policy it sets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ardiq import Ardiq, errors
from ardiq.store import server as server_module
from ardiq.store.server import Info
from tests.server import own_server
from tests.workers import Workers, Working


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with own_server(tmp_path) as url:
        yield url


@pytest.fixture
def admin(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


def burst(url: str) -> None:
    Ardiq("admission", redis_url=url).run(burst=True)


@pytest.mark.fault("27", "eviction policy allkeys-*")
@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_no_worker_on_a_server_that_throws_away_live_jobs(url: str, admin: redis.Redis, policy: str) -> None:
    """R21: it says what is set, and what to set; and it leaves no lease behind."""
    admin.config_set("maxmemory-policy", policy)
    with pytest.raises(errors.UnsafeServer, match=f"{policy}.*Set it to noeviction"):
        burst(url)
    assert admin.keys("*") == []


@pytest.mark.fault("27", "eviction policy allkeys-*")
def test_the_command_fails_with_the_sentence(url: str, admin: redis.Redis, tmp_path: Path) -> None:
    """R21: exit 1, the sentence, and no traceback."""
    admin.config_set("maxmemory-policy", "allkeys-lru")
    workers = Workers(url, "admission", tmp_path)
    process = workers.spawn()
    try:
        assert process.ends(30) == 1
        assert "Set it to noeviction" in process.text
        assert "Traceback" not in process.text
    finally:
        workers.close()


def test_one_warning_for_volatile_policies(
    url: str, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """R21: only results are at risk; the worker works, and says so once."""
    admin.config_set("maxmemory-policy", "volatile-ttl")
    burst(url)
    assert [record.message for record in caplog.records].count(f"{server_module.doubt('volatile-ttl')}.") == 1


def test_one_warning_where_the_policy_cannot_be_seen(
    url: str, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """R21: an ACL that forbids INFO is no reason not to work."""
    admin.acl_setuser(
        "few", enabled=True, passwords=["+pw"], keys=["ardiq:*"], channels=["ardiq:*"],
        commands=["+@all", "-@admin", "-@dangerous"],
    )  # fmt: skip
    app = Ardiq("admission-few", redis_url=url.replace("redis://", "redis://few:pw@"))
    job = app.task(name="t")(lambda: 5).enqueue_sync()
    app.run(burst=True)
    assert job.result_sync().value == 5  # type: ignore[union-attr]
    assert [record.message for record in caplog.records].count(f"{server_module.doubt('')}.") == 1


def test_nothing_is_said_on_a_good_server_and_it_is_asked_once(
    url: str, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """R21: one INFO for each start, none for a claim."""
    app = Ardiq("admission-good", redis_url=url)
    task = app.task(name="t")(lambda: 5)

    def asked() -> int:
        told = admin.info("commandstats").get("cmdstat_info", {"calls": 0})
        return int(told["calls"])

    before = asked()
    with Working(app):
        for _ in range(5):
            task.enqueue_sync().result_sync(timeout=15)
        time.sleep(0.2)
    assert asked() - before == 2  # the worker's, and the one that looked before
    assert not [record for record in caplog.records if "maxmemory" in record.message]


@pytest.mark.parametrize(
    ("text", "version", "old"),
    [
        (b"# Server\r\nredis_version:6.0.16\r\n", "6.0.16", True),
        (b"redis_version:6.2.0\r\nmaxmemory_policy:noeviction\r\n", "6.2.0", False),
        (b"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n", "8.1.0", False),
        (b"", "", False),
    ],
)
def test_versions(text: bytes, version: str, old: bool) -> None:
    """R21: what INFO says is read, and what it does not say is not guessed."""
    info: Info = server_module.parsed(text)
    assert (info.version, info.too_old) == (version, old)
