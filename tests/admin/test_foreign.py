"""Records that somebody else wrote into Redis: whatever stands in any field, pages show it as text."""

from __future__ import annotations

import json
import re
import time
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from pytest_django.fixtures import Settings

from ardiq.core.job import BYTES_OF, JobRecord, JobStatus, tail, tail_start
from ardiq.core.outcome import Attempt, Failure, call_subject, pack_history, pack_outcome
from ardiq.store import verbs
from tests.admin.conftest import LIST, Shop, SignIn, Work
from tests.admin.test_hostile import BIDI, CORPUS, check
from tests.server import admin

EVIL = [*CORPUS, BIDI, "a\x00b", "a\x85b\u2028c", "javascript:alert(1)//'\"", "x" * 300]


def plant(shop: Shop, url: str, id: str, evil: str, status: JobStatus = JobStatus.FAILED) -> None:
    """A job whose every field is evil. Its texts are signed, as a task may have raised them itself."""
    own, now = shop.app.broker, int(time.time() * 1000)
    head = b"%b0001%02x%011x%011x0123abcd" % (BYTES_OF[status], 2, now - 5_000, now)
    start = tail_start("default", evil.replace("\n", " "))
    bare = JobRecord(id, head + tail(start, b""))
    failure = Failure(evil, evil, f'  File "{evil}", line 1, in {evil}\n    {evil}\n{evil}: {evil}')
    call = own.codec.encode("call", call_subject(id, bare.name), [[evil, {evil: evil}], {evil: [evil]}, {}])
    history = pack_history(own.codec, bare, [Attempt(1, now - 900, now - 800, evil, failure)])
    outcome = pack_outcome(own.codec, bare, status, evil, now - 500, evil, failure)
    with admin(url) as client:
        client.set(own.keys.job(id), head + tail(start, call, history, outcome))
        client.zadd(own.keys.ended(status), {id: now})


def pages(client: Client, model: str = "job") -> list[str]:
    """The list, and every page of its first object that a person can get to from there."""
    listed = client.get(f"/admin/ardiq/{model}/").content.decode()
    link = re.search(rf'href="(/admin/ardiq/{model}/[^"]+/)change/[^"]*"', listed)
    assert link, "it has no page"
    out = [listed]
    for page in ("change", "history", *(("retry", "abort", "delete") if model == "job" else ())):
        response = client.get(unescape(link[1]) + page + "/", follow=True)
        assert response.status_code == 200, page
        out.append(response.content.decode())
    return out


@pytest.mark.parametrize("evil", EVIL)
def test_every_field_of_a_job(boss: Client, shop: Shop, redis_url: str, evil: str) -> None:
    """S7: task, id, arguments and their names, result, worker, error, message, traceback, history."""
    id = evil[:150].replace("{", "(")
    plant(shop, redis_url, id, evil)
    for text in pages(boss):
        check(text)
    asked = boss.post(LIST, {"action": "retry_selected", "_selected_action": [id]})
    check(asked.content.decode())
    form = {"jobs": json.dumps([[shop.app.queue_name, id]]), "back": "list"}
    told = boss.post(f"{LIST}_do/delete/", form, follow=True)
    check(told.content.decode())
    assert LogEntry.objects.get().object_repr
    check(boss.get("/admin/").content.decode())


@pytest.mark.parametrize("evil", EVIL)
def test_every_field_of_a_worker(boss: Client, shop: Shop, evil: str) -> None:
    own = shop.app.broker
    about = dict.fromkeys(("name", "host", "pid", "concurrency", "lanes", "version", "python"), evil)
    own.store.run(verbs.register(own.keys, evil[:60], 60_000, about))
    for text in pages(boss, "worker"):
        check(text)
    check(boss.get("/admin/ardiq/queue/").content.decode())


def test_successes_too(boss: Client, shop: Shop, redis_url: str) -> None:
    for evil in EVIL:
        plant(shop, redis_url, "ended", evil, JobStatus.SUCCEEDED)
        for text in pages(boss):
            check(text)


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.QUEUED])
@pytest.mark.parametrize(
    "junk",
    [b"", b"\x00" * 500, b"\xff" * 500, b"<script>alert(1)</script>" * 20, b"Q" * 37, b"\n" * 60],
    ids=["nothing", "zeros", "ones", "markup", "head", "lines"],
)
def test_junk(boss: Client, shop: Shop, redis_url: str, junk: bytes, status: JobStatus) -> None:
    """What is no record is listed, has a page with its bytes, and takes no other job with it."""
    good = shop.add.enqueue_sync(1)
    own = shop.app.broker
    place: Any = own.keys.lane("default") if status is JobStatus.QUEUED else own.keys.ended(status)
    with admin(redis_url) as client:
        client.set(own.keys.job("junk"), BYTES_OF[status] + junk)
        if status is JobStatus.QUEUED:
            client.rpush(place, "junk", b"\xff\xfe")
        else:
            client.zadd(place, {"junk": 5, b"\xff\xfe": 6})
        client.set(own.keys.prefix + b"job:\xff\xfe".decode("latin-1"), b"Q" + junk)
    listed = boss.get(LIST).content.decode()
    check(listed)
    assert good.id in listed and "unreadable" in listed
    text = boss.get(f"{LIST}junk/change/").content.decode()
    check(text)
    assert "cannot be read" in text and "0000  " in text
    with admin(redis_url) as client:
        client.delete(own.keys.job("junk"), own.keys.prefix + b"job:\xff\xfe".decode("latin-1"))
        client.delete(*([] if status is JobStatus.QUEUED else [place]), own.keys.prefix + "none")
        client.lrem(own.keys.lane("default"), 0, "junk")
        client.lrem(own.keys.lane("default"), 0, b"\xff\xfe")  # type: ignore[arg-type]


def test_bytes_that_cannot_be_read_are_shown(
    sign_in: SignIn, boss: Client, shop: Shop, work: Work, redis_url: str
) -> None:
    """Matrix 38: at most 4 KiB in hex, to those who may see arguments."""
    job, own = shop.add.enqueue_sync(1), shop.app.broker
    with admin(redis_url) as client:
        raw: Any = client.get(own.keys.job(job.id))
        record = JobRecord(job.id, raw)
        forged = b"forged<script>alert(1)" + b"." * 9_000
        client.set(own.keys.job(job.id), raw[:37] + tail(tail_start(record.lane, record.name), forged))
    work()
    assert job.status_sync() is JobStatus.FAILED
    text = boss.get(f"{LIST}{job.id}/change/").content.decode()
    check(text)
    assert "BadSignature" in text and "66 6f 72 67 65 64 3c" in text
    assert "0ff0  " in text and "1000  " not in text
    clerk = sign_in("view_job").get(f"{LIST}{job.id}/change/").content.decode()
    assert "66 6f 72" not in clerk and "BadSignature" not in clerk


def test_bytes_of_a_task_that_takes_secrets_are_not_shown(
    boss: Client, shop: Shop, work: Work, settings: Settings
) -> None:
    """S8: under another SECRET_KEY a call cannot be read, and its bytes would tell all that it was given."""

    @shop.app.task(name="shop.vault", sensitive=("pin",))
    async def vault(pin: str) -> None: ...

    jobs = [vault.enqueue_sync("hunter-two"), shop.charge.enqueue_sync(1, "4242424242424242", 9.5)]
    settings.SECRET_KEY = "another"
    for job in jobs:
        text = boss.get(f"{LIST}{job.id}/change/", follow=True).content.decode()
        assert "takes secrets" in text or "login" in text
        assert "hunter" not in text and "68 75 6e 74" not in text and "34 32 34 32" not in text
