"""Who may do what: staff alone sees nothing, and every action has a permission of its own."""

from __future__ import annotations

import json

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import URLPattern, URLResolver

from ardiq import JobStatus
from tests.admin.conftest import LIST, Shop, SignIn, Work

ACTIONS = {"abort": "abort_job", "retry": "retry_job", "delete": "delete_job"}


def addresses(id: str, queue: str) -> list[str]:
    """Every address of ardiq in the admin, as the site itself lists them."""
    out = []
    for resolver in admin.site.get_urls():
        prefix = str(resolver.pattern)
        if not isinstance(resolver, URLResolver) or not prefix.startswith("ardiq/"):
            continue
        key = queue if "/queue/" in prefix else id
        for pattern in resolver.url_patterns:
            assert isinstance(pattern, URLPattern)
            path = str(pattern.pattern).replace("<path:object_id>", key).replace("<str:name>", "abort")
            out.append(f"/admin/{prefix}{path}")
    return out


@pytest.mark.django_db
def test_permissions_are_made_by_migrate() -> None:
    """S7: one for each thing that can be done; none that stands for nothing."""
    found = Permission.objects.filter(content_type__app_label="ardiq").values_list("codename", flat=True)
    assert set(found) == {
        "view_dashboard",
        "view_job", "view_job_payload", "add_job", "retry_job", "abort_job", "delete_job", "export_job",
        "view_queue", "pause_queue", "purge_queue",
        "view_worker", "control_worker",
        "view_schedule", "change_schedule", "run_schedule",
        "view_outbox",
    }  # fmt: skip


def test_staff_without_permissions_sees_nothing(sign_in: SignIn, shop: Shop) -> None:
    """Every address is 403, by GET and by POST, and the index does not name the queue."""
    job = shop.add.enqueue_sync(1)
    clerk = sign_in()
    every = addresses(job.id, shop.app.queue_name)
    assert len(every) >= 20
    for address in every:
        assert clerk.get(address).status_code == 403, address
        assert (
            clerk.post(address, {"action": "abort_selected", "_selected_action": job.id}).status_code == 403
        )
    assert "Task queue" not in clerk.get("/admin/").content.decode()
    assert job.status_sync() is JobStatus.QUEUED


@pytest.mark.django_db
def test_strangers_are_sent_to_the_login(shop: Shop) -> None:
    job = shop.add.enqueue_sync(1)
    for address in addresses(job.id, shop.app.queue_name):
        assert "/login/" in Client().get(address).headers["Location"], address
        assert "/login/" in Client().post(address).headers["Location"], address


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_has_its_permission(sign_in: SignIn, shop: Shop, work: Work, action: str) -> None:
    """Without it the action is not offered, does not ask and does not act; with it alone, it does."""
    failed = shop.fail.enqueue_sync()
    work()
    queued = shop.add.enqueue_sync(1)
    target = failed if action == "retry" else queued
    pairs = json.dumps([[shop.app.queue_name, target.id]])
    others = [code for name, code in ACTIONS.items() if name != action]
    before = target.status_sync()

    without = sign_in("view_job", "view_job_payload", *others)
    assert f"{action}_selected" not in without.get(LIST).content.decode()
    assert f"/{action}/" not in without.get(f"{LIST}{target.id}/change/").content.decode()
    assert without.get(f"{LIST}{target.id}/{action}/").status_code == 403
    assert without.post(f"{LIST}_do/{action}/", {"jobs": pairs}).status_code == 403
    data = {"action": f"{action}_selected", "_selected_action": target.id}
    assert "confirm.html" not in str([t.name for t in without.post(LIST, data, follow=True).templates])
    assert target.status_sync() is before and not LogEntry.objects.exists()

    only = sign_in(ACTIONS[action])  # seeing jobs is part of doing something to them
    assert only.post(f"{LIST}_do/{action}/", {"jobs": pairs}).status_code == 403

    with_it = sign_in("view_job", ACTIONS[action])
    assert f"{action}_selected" in with_it.get(LIST).content.decode()
    assert with_it.get(f"{LIST}{target.id}/{action}/").status_code == 200
    assert with_it.post(f"{LIST}_do/{action}/", {"jobs": pairs}).status_code == 302
    assert target.status_sync() is not before and LogEntry.objects.count() == 1


def test_view_only(sign_in: SignIn, shop: Shop) -> None:
    """Looks at everything, is offered nothing, and cannot save the form of a job."""
    job = shop.add.enqueue_sync(1)
    clerk = sign_in("view_job", "view_queue", "view_worker")
    text = clerk.get(LIST).content.decode()
    assert 'name="action"' not in text and job.id in text
    assert clerk.post(f"{LIST}{job.id}/change/", {"state": "failed"}).status_code == 403
    assert clerk.get("/admin/ardiq/queue/").status_code == 200
    assert clerk.get("/admin/ardiq/worker/").status_code == 200


def test_nobody_adds_or_changes(boss: Client, shop: Shop) -> None:
    """Not even a superuser: there is no job but by a task, and its form is test_enqueue.py."""
    for model in ("queue", "worker", "schedule", "dashboard"):
        assert boss.get(f"/admin/ardiq/{model}/add/").status_code == 403
    job = shop.add.enqueue_sync(1)
    assert boss.post(f"{LIST}{job.id}/change/", {}).status_code == 403


def test_pages_are_not_kept_by_caches(boss: Client, shop: Shop) -> None:
    assert "no-store" in boss.get(LIST).headers["Cache-Control"]
