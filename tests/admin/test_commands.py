"""What every page of the admin asks of the server, as that tells it: nothing that grows with the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from ardiq.adminui import snapshot
from ardiq.store import verbs
from tests.admin.conftest import LIST, Shop, Work
from tests.admin.test_matrix import ADDRESSES, NOBODY, addresses, keys, posted
from tests.server import admin, own_server

__all__ = ["keys"]

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SEARCHES = (
    "?q=shop", "?q=kwargs.b=2", "?q=args.0=7", "?state=failed", "?task=shop.charge", "?p=2", "?when=1h",
    "?worker=ffffffff", "?tries=more", "?when=1d&state=failed", "?from=50&q=shop",
)  # fmt: skip


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that nobody else uses meanwhile, and that may be asked everything."""
    with own_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The one of the benchmark that looks at a million jobs: the same rules."""
    if not BENCHMARKS.exists():
        pytest.skip("the benchmarks are not part of this distribution")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("harness.examined")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "KEPT", -1.0)


def test_every_page(
    boss: Client, shop: Shop, work: Work, keys: dict[str, str], judge: Any, redis_url: str
) -> None:
    """ADMIN 6.8: no KEYS, SMEMBERS, SORT or FLUSH, no whole key that grows with the jobs, nothing new."""
    for number in range(60):
        shop.add.enqueue_sync(number)
    shop.charge.enqueue_sync(7, "4242", 9.5)
    shop.add.options(delay_ms=60_000).enqueue_sync(1)
    work()
    own = shop.app.broker
    own.store.run(verbs.register(own.keys, "a" * 32, 30_000, {"name": "x", "concurrency": "2"}))
    pages = [
        address for name, address in addresses(keys) if not posted(name) and ADDRESSES[name][0] != NOBODY
    ]
    pages += [LIST + query for query in SEARCHES] + ["/admin/ardiq/dashboard/?minutes=4320"]
    watch, seen = judge.Watch(redis_url), set()
    for address in pages:
        boss.get(address)  # the server learns its scripts
        responses: list[Any] = []
        found = watch.look(lambda: responses.append(boss.get(address)))  # noqa: B023 - called at once
        assert responses[0].status_code in (200, 302), (address, responses[0].status_code)
        assert not found.complaints, (address, found.complaints)
        assert {words[0].lower() for words in found.asked} == {name.partition("|")[0] for name in found.calls}
        seen |= set(found.calls)
    assert {"evalsha", "zrange", "hgetall", "getrange"} <= seen


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("KEYS", "*"), "KEYS is forbidden"),
        (("SMEMBERS", "x"), "SMEMBERS is forbidden"),
        (("SORT", "x"), "SORT is forbidden"),
        (("ZINCRBY", "x", 1, "a"), "ZINCRBY is not on the list"),
        (("ZRANGE", "ardiq:{q}:ended:failed", 0, -1), "no end"),
        (("LRANGE", "ardiq:{q}:lane:default", 0, 10_000), "10,001 elements"),
        (("ZRANGEBYSCORE", "ardiq:{q}:scheduled", 0, "+inf"), "no LIMIT"),
        (("HGETALL", "ardiq:{q}:waiters"), "not small by construction"),
        (("LPOS", "ardiq:{q}:lane:default", "x"), "no MAXLEN"),
        (("EVAL", "return redis.call('HGETALL', 'ardiq:{q}:cron')", 0), "not small by construction"),
    ],
)
def test_what_is_not_allowed(judge: Any, redis_url: str, command: tuple[Any, ...], complaint: str) -> None:
    """The judge finds what it is there for, inside of a script as well."""
    with admin(redis_url) as client:
        found = judge.Watch(redis_url).look(lambda: client.execute_command(*command))
    assert len(found.complaints) == 1 and complaint in found.complaints[0], found.complaints
