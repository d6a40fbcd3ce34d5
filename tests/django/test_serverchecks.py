"""The checks that ask the servers, one by one, against servers that are what is complained of."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.checks import Error, run_checks

from ardiq.serverchecks import check_servers
from ardiq.store import checkup
from ardiq.store.checkup import Remark, State
from tests.server import free_port, own_server


def told(settings: Any, *urls: str, **options: object) -> list[tuple[str, str]]:
    queues = {f"queue{number}": {"REDIS_URL": url, **options} for number, url in enumerate(urls)}
    settings.ARDIQ = queues
    return [(str(one.id), one.msg) for one in check_servers()]


def test_a_server_that_is_fit(settings: Any, tmp_path: Path) -> None:
    """A, R21: nothing is said of one with an AOF that never throws anything away."""
    with own_server(tmp_path, "--appendonly", "yes") as url:
        assert told(settings, url) == []


def test_only_under_deploy(settings: Any) -> None:
    """A3: the ordinary checks ask nobody; --deploy does, and says so when nobody answers."""
    settings.ARDIQ = {"default": {"REDIS_URL": f"redis://:secret@127.0.0.1:{free_port()}/0"}}
    assert run_checks(tags=["ardiq"]) == []
    begin = time.monotonic()
    (found,) = [
        one for one in run_checks(tags=["ardiq"], include_deployment_checks=True) if one.id == "ardiq.W020"
    ]
    assert time.monotonic() - begin < 8
    assert "The server of the queue 'default', redis://" in found.msg and "cannot be checked" in found.msg
    assert "secret" not in found.msg and found.hint


def test_no_deployment(settings: Any) -> None:
    """A3: servers that belong to a desk are not started for it; wrong settings have been told of."""
    assert told(settings, "embedded:///nowhere", "fake://") == []
    assert told(settings, "redis://127.0.0.1:1", NO=1) == []


def test_what_a_restart_loses(settings: Any, tmp_path: Path) -> None:
    """A, R21: no AOF and no snapshots; said once for queues of one server."""
    with own_server(tmp_path) as url:
        ((id, text),) = told(settings, url, url)
    assert id == "ardiq.W023"
    assert text.startswith("The server of the queues 'queue0', 'queue1', redis://127.0.0.1")
    assert text.endswith("a restart of the server loses every job.")


def test_what_it_throws_away(settings: Any, tmp_path: Path) -> None:
    """A, R21: workers would not start; with volatile-* they would, with a warning."""
    with own_server(tmp_path, "--appendonly", "yes", "--maxmemory-policy", "allkeys-lru") as url:
        assert [id for id, _ in told(settings, url)] == ["ardiq.E022"]
        with redis.Redis.from_url(url) as client:
            client.config_set("maxmemory-policy", "volatile-lru")
        assert [id for id, _ in told(settings, url)] == ["ardiq.W022"]


def test_what_its_user_may_not(settings: Any, tmp_path: Path) -> None:
    """A: the commands that are missing are named, and how they are granted."""
    with own_server(tmp_path, "--appendonly", "yes") as url:
        with redis.Redis.from_url(url) as client:
            if str(client.info("server")["redis_version"]) < "7":
                pytest.skip("ACL DRYRUN is of Redis 7")
            client.execute_command("ACL", "SETUSER", "ann", "on", ">word", "~*", "&*", "+@all", "-zadd")
        found = told(settings, url.replace("redis://", "redis://ann:word@"))
    assert [id for id, _ in found] == ["ardiq.E025"] and "may not run zadd" in found[0][1]


def test_a_replica(settings: Any, tmp_path: Path) -> None:
    """A: whoever writes to it is refused."""
    with own_server(tmp_path, "--appendonly", "yes") as url:
        with redis.Redis.from_url(url) as client:
            client.replicaof("127.0.0.1", str(free_port()))
        found = told(settings, url)
    assert [id for id, _ in found] in (["ardiq.E024"], ["ardiq.W020"])


@pytest.mark.parametrize(
    ("name", "state", "expected"),
    [
        ("server", "wrong", "ardiq.E021"),
        ("server", "unknown", "ardiq.W021"),
        ("eviction", "unknown", "ardiq.W022"),
        ("persistence", "wrong", "ardiq.E023"),
        ("persistence", "unknown", None),
        ("replicas", "wrong", "ardiq.E024"),
        ("rights", "unknown", None),
        ("clock", "look", "ardiq.W026"),
        ("memory", "look", "ardiq.W027"),
        ("memory", "ok", None),
    ],
)
def test_each_remark(
    settings: Any, monkeypatch: pytest.MonkeyPatch, name: str, state: State, expected: str | None
) -> None:
    """A: what is wrong is an error, what is worth a look a warning, each with the way out as its hint."""
    remark = Remark(name, state, "it is so", "make it otherwise")
    monkeypatch.setattr(checkup, "checkup", lambda store, keys: [remark])
    settings.ARDIQ = {"default": {"REDIS_URL": "redis://h:1"}}
    found = check_servers()
    assert [one.id for one in found] == ([expected] if expected else [])
    for one in found:
        assert one.msg == f"The server of the queue 'default', redis://h:1: {name}: it is so."
        assert one.hint == "Make it otherwise."
        assert isinstance(one, Error) is (state == "wrong")
