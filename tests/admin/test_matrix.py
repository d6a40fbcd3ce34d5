"""Every address and every action of the admin, for everybody: what is not on the table here fails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client
from django.urls import URLPattern, URLResolver
from pytest_django.fixtures import Settings

from ardiq import Ardiq, JobStatus
from ardiq.admin import DashboardAdmin, JobAdmin, OutboxAdmin, QueueAdmin, ScheduleAdmin, WorkerAdmin
from ardiq.models import Job, Outbox
from ardiq.store import recurring, verbs
from tests.admin.conftest import LIST, Shop, SignIn, Work
from tests.server import admin as raw

EVERY = ("view_job", "view_job_payload", "retry_job", "abort_job", "delete_job", "export_job", "add_job",
         "view_queue", "view_worker", "view_outbox", "pause_queue", "purge_queue", "control_worker",
         "view_schedule", "change_schedule", "run_schedule", "view_dashboard")  # fmt: skip
NOBODY = {"nobody"}
SEE, QUEUE, WORKER, OUTBOX = {"view_job"}, {"view_queue"}, {"view_worker"}, {"view_outbox"}
SCHEDULE, DASHBOARD = {"view_schedule"}, {"view_dashboard"}
W = "f" * 32
KINDS = (DashboardAdmin, JobAdmin, OutboxAdmin, QueueAdmin, ScheduleAdmin, WorkerAdmin)
OTHERS = ("/admin/ardiq/dashboard/", "/admin/ardiq/schedule/", "/admin/ardiq/outbox/")

# name of an address: (permissions to get it, permissions to post to it)
ADDRESSES: dict[str, tuple[set[str], set[str]]] = {
    "ardiq_job_changelist": (SEE, SEE),
    "ardiq_job_add": (SEE | {"add_job"}, SEE | {"add_job"}),
    "ardiq_job_history": (SEE, SEE),
    "ardiq_job_change": (SEE, NOBODY),
    "ardiq_job_delete": (SEE | {"delete_job"}, SEE | {"delete_job"}),
    "ardiq_job_abort": (SEE | {"abort_job"}, SEE | {"abort_job"}),
    "ardiq_job_retry": (SEE | {"retry_job"}, SEE | {"retry_job"}),
    "ardiq_job_again": (SEE | {"retry_job"}, SEE | {"retry_job"}),
    "ardiq_job_run": (SEE | {"retry_job"}, SEE | {"retry_job"}),
    "ardiq_job_download": (SEE | {"view_job_payload"}, SEE | {"view_job_payload"}),
    "ardiq_job_do:abort": (SEE | {"abort_job"}, SEE | {"abort_job"}),
    "ardiq_job_do:retry": (SEE | {"retry_job"}, SEE | {"retry_job"}),
    # The group that it asks about is gone.
    "ardiq_job_group": (SEE | {"retry_job"}, SEE | {"retry_job"}),
    "ardiq_job_bulks": (SEE, SEE),
    # Who may cancel one is told by what it does; an id that there is not tells nothing.
    "ardiq_job_bulk_cancel": (NOBODY, NOBODY),
    "ardiq_job_bulk_start:abort": (SEE | {"abort_job"}, SEE | {"abort_job"}),
    "ardiq_job_bulk_start:retry": (SEE | {"retry_job"}, SEE | {"retry_job"}),
    "ardiq_job_bulk_start:again": (SEE | {"retry_job"}, SEE | {"retry_job"}),
    "ardiq_job_bulk_start:run": (SEE | {"retry_job"}, SEE | {"retry_job"}),
    "ardiq_job_bulk_start:delete": (SEE | {"delete_job"}, SEE | {"delete_job"}),
    "ardiq_job_do:again": (SEE | {"retry_job"}, SEE | {"retry_job"}),
    "ardiq_job_do:run": (SEE | {"retry_job"}, SEE | {"retry_job"}),
    "ardiq_job_do:delete": (SEE | {"delete_job"}, SEE | {"delete_job"}),
    "job": (SEE, SEE),
}
# name of what is done, by the model: the permission for it
DEEDS = {
    "job": {
        "abort": "abort_job",
        "retry": "retry_job",
        "again": "retry_job",
        "run": "retry_job",
        "delete": "delete_job",
    },
    "queue": {
        "pause": "pause_queue",
        "resume": "pause_queue",
        "purge": "purge_queue",
        "move": "purge_queue",
        "elsewhere": "purge_queue",
    },
    "worker": {"quiet": "control_worker", "work": "control_worker", "stop": "control_worker"},
    "schedule": {"run": "run_schedule", "disable": "change_schedule", "enable": "change_schedule"},
}
for _model, _see in (("queue", QUEUE), ("worker", WORKER), ("schedule", SCHEDULE)):
    for _deed, _permission in DEEDS[_model].items():
        ADDRESSES[f"ardiq_{_model}_do:{_deed}"] = (_see | {_permission}, _see | {_permission})
for _model, _see in (
    ("queue", QUEUE), ("worker", WORKER), ("outbox", OUTBOX), ("schedule", SCHEDULE),
    ("dashboard", DASHBOARD),
):  # fmt: skip
    ADDRESSES |= {
        f"ardiq_{_model}_changelist": (_see, _see),
        f"ardiq_{_model}_add": (NOBODY, NOBODY),
        f"ardiq_{_model}_history": (_see, _see),
        f"ardiq_{_model}_change": (_see, NOBODY),
        f"ardiq_{_model}_delete": (NOBODY, NOBODY),
        _model: (_see, _see),
    }
ACTIONS = {
    "retry_selected": "retry_job",
    "again_selected": "retry_job",
    "run_selected": "retry_job",
    "abort_selected": "abort_job",
    "delete_selected": "delete_job",
    "export_csv": "export_job",
    "export_json": "export_job",
}


def posted(name: str) -> bool:
    """Whether an address answers to nothing but a POST: test_actions.py and test_bulk.py send those."""
    return name.startswith(("ardiq_job_do:", "ardiq_job_bulk_start:"))


def patterns(found: list[Any], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for one in found:
        path = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from patterns(one.url_patterns, path)
        elif path.startswith("ardiq/"):
            yield path, one


def addresses(keys: dict[str, str]) -> list[tuple[str, str]]:
    """(name on the table, address) of everything that the site serves for these models."""
    out = []
    for path, pattern in patterns(admin.site.get_urls()):
        model = path.split("/")[1]
        filled = "/admin/" + path.replace("<path:object_id>", keys[model]).replace("<str:what>", "arguments")
        filled = filled.replace("<str:queue>", keys["queue"]).replace("<str:print>", "0" * 12)
        if "cancel/<str:name>" in filled:
            out.append((pattern.name, filled.replace("<str:name>", "0" * 32)))
        elif "<str:name>" in filled:
            for name in DEEDS[model]:
                asked = filled.replace("<str:name>", name)
                out.append((f"{pattern.name}:{name}", f"{asked}?id={keys[model]}"))
        else:
            assert "<" not in filled, f"an address with an unknown part: {path}"
            out.append((pattern.name or model, filled))
    return out


@pytest.fixture
def keys(shop: Shop, db: None) -> dict[str, str]:
    """An object of each model. The job waits: it can be aborted and deleted."""
    own = shop.app.broker
    own.store.run(verbs.register(own.keys, W, 30_000, {"name": "w"}))
    outbox = Outbox.objects.create(
        id="1", job="later", queue=shop.app.queue_name, task="add", tail=b"", size=0
    )

    @shop.app.cron(every=3600, name="shop.hourly")
    async def hourly() -> None: ...

    return {
        "schedule": f"{shop.app.queue_name}:shop.hourly",
        "job": shop.add.enqueue_sync(1).id, "queue": shop.app.queue_name, "worker": W, "outbox": outbox.pk,
        "dashboard": "one",
    }  # fmt: skip


def test_every_address_is_on_the_table(keys: dict[str, str]) -> None:
    """S7: a new address fails here until somebody has said who may use it."""
    assert {name for name, _ in addresses(keys)} == set(ADDRESSES)
    assert set(JobAdmin.actions) == set(ACTIONS)
    assert not OutboxAdmin.actions
    for model, kind in (("queue", QueueAdmin), ("worker", WorkerAdmin), ("schedule", ScheduleAdmin)):
        assert {deed.name: deed.permission for deed in kind.deeds} == DEEDS[model]
        assert {name.removesuffix("_selected") for name in kind.actions} <= set(DEEDS[model])


def snapshot(url: str, app: Ardiq) -> dict[bytes, bytes]:
    """Everything of a queue, bit for bit."""
    with raw(url) as client:
        found: Any = client.scan_iter(match=app.broker.keys.prefix + "*", count=1000)
        return {key: client.dump(key) or b"" for key in found}


def grants() -> list[tuple[str, ...]]:
    """None, each permission alone, each beside the one to see what it is about, and all."""
    beside = [
        (view, one) for one in EVERY for view in EVERY if view == f"view_{one.rpartition('_')[2]}" != one
    ]
    return [(), *((one,) for one in EVERY), ("view_job", "view_queue"), *beside, EVERY]


@pytest.mark.parametrize("granted", grants(), ids="+".join)
def test_get(
    sign_in: SignIn, shop: Shop, keys: dict[str, str], granted: tuple[str, ...], redis_url: str
) -> None:
    """S7: who gets a page has the permission for it, and no GET or HEAD changes anything."""
    client, before = sign_in(*granted), snapshot(redis_url, shop.app)
    for name, address in addresses(keys):
        allowed = ADDRESSES[name][0] <= set(granted)
        for response in (client.get(address), client.head(address)):
            wanted = ([405] if posted(name) else [200, 302]) if allowed else [403]
            assert response.status_code in wanted, (address, granted, response.status_code)
            if response.status_code == 200:
                assert "no-store" in response.headers["Cache-Control"], address
                assert response.headers["X-Frame-Options"] == "DENY", address
    assert snapshot(redis_url, shop.app) == before


@pytest.mark.parametrize("granted", grants(), ids="+".join)
def test_post(
    sign_in: SignIn, shop: Shop, keys: dict[str, str], granted: tuple[str, ...], redis_url: str
) -> None:
    """S7: who posts without the permission is refused, and nothing is changed but by what does it."""
    client, before = sign_in(*granted), snapshot(redis_url, shop.app)
    form = {"jobs": json.dumps([[shop.app.queue_name, keys["job"]]]), "post": "yes", "state": "failed"}
    for name, address in addresses(keys):
        allowed = ADDRESSES[name][1] <= set(granted)
        if (posted(name) or "_do:" in name) and allowed:
            continue  # tests/admin/test_actions.py and test_controls.py
        response = client.post(address, form)
        wanted = [200, 302] if allowed else [403]
        assert response.status_code in wanted, (address, granted, response.status_code)
        for method in (client.put, client.patch, client.delete):
            assert method(address).status_code in ([200, 302, 403, 405]), address
    assert snapshot(redis_url, shop.app) == before


@pytest.mark.parametrize("granted", grants(), ids="+".join)
def test_actions_of_the_list(
    sign_in: SignIn, shop: Shop, keys: dict[str, str], granted: tuple[str, ...], redis_url: str, work: Work
) -> None:
    """S7: an action asks only those who may do it; asking changes nothing."""
    failed = shop.fail.enqueue_sync()
    work()
    client = sign_in(*granted)
    ids = [failed.id, shop.add.enqueue_sync(1).id, shop.add.options(delay_ms=60_000).enqueue_sync(1).id]
    before = snapshot(redis_url, shop.app)
    for action, permission in ACTIONS.items():
        response = client.post(LIST, {"action": action, "_selected_action": ids})
        if "view_job" not in granted:
            assert response.status_code == 403
            continue
        asks = "admin/ardiq/confirm.html" in [template.name for template in response.templates]
        asks = asks or response.streaming
        assert asks is (permission in granted), (action, granted)
    assert snapshot(redis_url, shop.app) == before


SEEN = ("dashboard", "job", "queue", "worker", "schedule")
NAMED = {"worker": "the-worker", "schedule": "shop.hourly"}


@pytest.mark.parametrize("also", ["", "job", "worker"])
@pytest.mark.parametrize("model", SEEN)
def test_nothing_leads_or_names_what_one_may_not_see(
    sign_in: SignIn, shop: Shop, keys: dict[str, str], work: Work, model: str, also: str
) -> None:
    """S7: pages of one kind of objects lead to those of others, and have their names and the ids of jobs, for
    nobody but who may see those."""
    own, jobs = shop.app.broker, {"failed": shop.fail.enqueue_sync().id}
    work()
    jobs["running"] = shop.add.enqueue_sync(1).id
    id, lane, slot, record = shop.app.offer(next(one for one in shop.app.recurrences()))
    own.store.run(recurring.offer(own.keys, [("shop.hourly", 10_000, "queue", id, lane, slot, record)]))
    own.store.run(recurring.ended(own.keys, "shop.hourly", id, "failed", 12_000))
    own.store.run(verbs.register(own.keys, W, 30_000, {"name": NAMED["worker"], "concurrency": "4"}))
    own.store.run(verbs.claim(own.keys, W, 1, 30_000, 1, [("default", 1)]))
    jobs["schedule"] = id
    may = {model, also}
    client = sign_in(*(f"view_{one}" for one in may if one))
    pages = [f"/admin/ardiq/{model}/{keys[model]}/change/", f"/admin/ardiq/{model}/"]
    pages += [f"{LIST}{jobs['running']}/change/"] if model == "job" else []
    for address in pages:
        text = client.get(address, follow=True).content.decode()
        assert set(re.findall(r'href="/admin/ardiq/(\w+)/', text)) <= may, address
        told = {what for what, one in jobs.items() if one in text or f">{one[:8]}" in text}
        assert not told or "job" in may, (address, told)
        named = {kind for kind, name in NAMED.items() if name in text}
        assert named <= may | ({"schedule"} if "job" in may else set()), address  # named as its task


@pytest.mark.django_db
@pytest.mark.parametrize("staff", [None, False])
def test_strangers(shop: Shop, keys: dict[str, str], redis_url: str, staff: bool | None) -> None:
    """S7: who is not staff is sent to the login from everywhere, whatever the permissions."""
    client, before = Client(), snapshot(redis_url, shop.app)
    if staff is not None:
        client.force_login(User.objects.create(username="outsider", is_staff=False, is_superuser=True))
    for _, address in addresses(keys):
        for method in (client.get, client.post, client.put, client.delete):
            response = method(address)
            assert response.status_code == 302 and "/login/" in response.headers["Location"], address
    assert snapshot(redis_url, shop.app) == before


def test_superusers(boss: Client, shop: Shop, keys: dict[str, str]) -> None:
    """S7: all but what nobody may do."""
    for name, address in addresses(keys):
        wanted = [403] if ADDRESSES[name][0] == NOBODY else [405] if posted(name) else [200, 302]
        assert boss.get(address).status_code in wanted, address


def test_where_forms_lead(boss: Client, shop: Shop, keys: dict[str, str]) -> None:
    """S7: back to our own pages, whatever the request says."""
    form = {"jobs": json.dumps([[shop.app.queue_name, keys["job"]]]), "back": "//evil.example/"}
    evil = "?next=//evil.example/&_changelist_filters=http%3A//evil.example/&_popup=1"
    response = boss.post(f"{LIST}_do/abort/{evil}", form, headers={"referer": "http://evil.example/"})
    assert response.status_code == 302 and response.headers["Location"].startswith(LIST)
    assert shop.app.job(keys["job"]).status_sync() is JobStatus.ABORTED


class TestHiddenQueues:
    """S7: ``has_queue_permission``, the hook of a project, holds for lists, pages, counts and actions."""

    @pytest.fixture
    def apps(self, redis_url: str, queue_name: str, settings: Settings) -> Iterator[list[Ardiq]]:
        settings.ARDIQ = {name: {"REDIS_URL": redis_url} for name in (queue_name, f"{queue_name}-b")}
        apps = [Ardiq(name) for name in settings.ARDIQ]
        yield apps
        with raw(redis_url) as client:
            for key in client.scan_iter(match=apps[1].broker.keys.prefix + "*"):
                client.unlink(key)

    @pytest.fixture(autouse=True)
    def hidden(self, apps: list[Ardiq], monkeypatch: pytest.MonkeyPatch) -> None:
        def may(own: Any, request: HttpRequest, queue: str) -> bool:
            return queue == apps[0].queue_name

        for kind in KINDS:
            monkeypatch.setattr(kind, "has_queue_permission", may)

    def test_the_page_of_the_docs_names_them_all(self) -> None:
        """S7: a class that the page forgets would show what the others hide."""
        page = (Path(__file__).parents[2] / "docs/how-to/admin.md").read_text(encoding="utf-8")
        named = set(re.findall(r"^class Own\w+\(OwnQueues, (\w+)\)", page, re.MULTILINE))
        registered = {
            one.__class__.__name__ for one in admin.site._registry.values() if isinstance(one, KINDS)
        }
        assert named == registered == {kind.__name__ for kind in KINDS}

    def test_they_are_not_there(self, boss: Client, apps: list[Ardiq]) -> None:
        seen, unseen = (app.ref("shop.any").enqueue_sync() for app in apps)
        own = apps[1].broker
        own.store.run(verbs.register(own.keys, W, 30_000, {"name": "hidden-worker"}))
        other = apps[1].queue_name
        pages = (LIST, "/admin/ardiq/queue/", "/admin/ardiq/worker/", f"{LIST}?queue={other}", *OTHERS)
        for address in pages:
            text = boss.get(address).content.decode()
            assert unseen.id not in text and "hidden-worker" not in text
            assert f">{other}" not in text
        assert seen.id in boss.get(LIST).content.decode()
        for address in (
            f"{LIST}{unseen.id}/change/",
            f"{LIST}{unseen.id}/abort/",
            f"{LIST}{unseen.id}/delete/",
            f"{LIST}{unseen.id}/history/",
            f"/admin/ardiq/queue/{other}/change/",
            f"/admin/ardiq/worker/{W}/change/",
        ):
            response = boss.get(address)
            assert response.status_code == 302 and response.headers["Location"] == "/admin/", address
        pairs = json.dumps([[other, unseen.id]])
        for action in ("abort", "delete", "retry"):
            boss.post(f"{LIST}_do/{action}/", {"jobs": pairs})
        assert unseen.status_sync() is JobStatus.QUEUED
        assert Job.objects.filter(pk=unseen.id).exists(), "the hook is the admin's, code sees everything"
