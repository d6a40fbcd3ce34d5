"""JobsMixin: the jobs of an object on its own page, for who may see them; and the way back."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client, RequestFactory
from django.urls import path
from pytest_django.fixtures import Settings

from ardiq.admin import JobAdmin, JobsMixin
from ardiq.models import Job
from tests.admin.conftest import Shop, Work, page


class GroupsWithJobs(JobsMixin, GroupAdmin):
    jobs_shown = 3

    class Media:
        css = {"all": ["own.css"]}


@pytest.fixture(autouse=True)
def registered(db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    old = admin.site._registry.get(Group)
    if old:
        admin.site.unregister(Group)
    admin.site.register(Group, GroupsWithJobs)
    # Addresses that were made before lead to the admin that was registered then.
    urls: Any = ModuleType("tests.admin.urls_with_groups")
    urls.urlpatterns = [path("admin/", admin.site.urls)]
    monkeypatch.setitem(sys.modules, urls.__name__, urls)
    settings.ROOT_URLCONF = urls.__name__
    yield
    admin.site.unregister(Group)
    if old:
        admin.site.register(Group, type(old))


@pytest.fixture
def group() -> Group:
    return Group.objects.create(name="owls")


def address(group: Group) -> str:
    return f"/admin/auth/group/{group.pk}/change/"


def seen(client: Client, group: Group) -> str:
    response = client.get(address(group))
    assert response.status_code == 200, response
    return str(response.content.decode())


def clerk(*codenames: str) -> Client:
    user = User.objects.create(username=f"clerk{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def test_the_page_of_an_object_shows_its_jobs(boss: Client, shop: Shop, work: Work, group: Group) -> None:
    """State, task, error type and a link to the page of each; only those of this object."""
    good = shop.add.options(subject=group).enqueue_sync(1)
    bad = shop.fail.options(subject=group).enqueue_sync("secret words")
    other = shop.give.options(subject=Group.objects.create(name="bats")).enqueue_sync(1)
    work()
    text = seen(boss, group)
    assert f"/admin/ardiq/job/{good.id}/change/" in text and f"/admin/ardiq/job/{bad.id}/change/" in text
    assert "Succeeded" in text and "RuntimeError" in text and "secret words" not in text
    assert other.id not in text
    assert "ardiq/admin.css" in text and "own.css" in text


def test_the_list_is_bounded_and_says_so(boss: Client, shop: Shop, group: Group) -> None:
    jobs = [shop.add.options(subject=group).enqueue_sync(n) for n in range(7)]
    text = seen(boss, group)
    assert text.count("/change/?_changelist_filters=") == 3 and "The newest 3 of 7 jobs." in text
    for job in jobs:
        job.delete_sync()
    assert "There are no jobs about this object" in seen(boss, group)


@pytest.mark.parametrize("codenames", [["view_group"], ["change_group", "view_group"]])
def test_who_may_not_see_jobs_sees_none(shop: Shop, group: Group, codenames: list[str]) -> None:
    """S7: no panel, no id and no trace of one; with the permission it is there, also for view-only users."""
    job = shop.add.options(subject=group).enqueue_sync(1)
    text = seen(clerk(*codenames), group)
    assert job.id not in text and "ardiq_jobs" not in text
    assert job.id in seen(clerk(*codenames, "view_job"), group)


def test_queues_that_are_hidden_stay_hidden(
    boss: Client, shop: Shop, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shop.add.options(subject=group).enqueue_sync(1)
    monkeypatch.setattr(JobAdmin, "has_queue_permission", lambda self, request, queue: False)
    assert job.id not in seen(boss, group)


def test_adding_and_saving_work(boss: Client, shop: Shop, group: Group) -> None:
    """The add page has no panel; a change is saved, and a wrong one shown again with the panel."""
    assert "ardiq_jobs" not in boss.get("/admin/auth/group/add/").content.decode()
    job = shop.add.options(subject=group).enqueue_sync(1)
    assert boss.post(address(group), {"name": "eagles"}).status_code == 302
    group.refresh_from_db()
    assert group.name == "eagles"
    again = boss.post(address(group), {"name": ""})
    assert again.status_code == 200 and job.id in again.content.decode()


def test_without_redis_the_page_works(boss: Client, group: Group, settings: Settings) -> None:
    settings.ARDIQ = {"default": {"REDIS_URL": "redis://127.0.0.1:1/0"}}
    text = seen(boss, group)
    assert "The task queue cannot be reached" in text and 'name="name"' in text
    assert boss.post(address(group), {"name": "gulls"}).status_code == 302


def test_fieldsets_may_say_where_it_stands(rf: RequestFactory, shop: Shop, group: Group) -> None:
    class Placed(JobsMixin, admin.ModelAdmin):
        fieldsets = [("First", {"fields": [("ardiq_jobs", "name")]}), ("Then", {"fields": ["permissions"]})]

    class Loose(JobsMixin, admin.ModelAdmin): ...

    class Named(JobsMixin, admin.ModelAdmin):
        fields = ["name"]

    request = rf.get("/")
    request.user = User(is_superuser=True, is_active=True)
    placed = Placed(Group, admin.site)
    assert placed.get_fieldsets(request, group) == Placed.fieldsets
    assert placed.get_fieldsets(request) == [
        ("First", {"fields": [["name"]]}),
        ("Then", {"fields": ["permissions"]}),
    ]
    for kind, first in ((Loose, ["name", "permissions"]), (Named, ["name"])):
        found = kind(Group, admin.site).get_fieldsets(request, group)
        assert [part["fields"] for _, part in found] == [first, ["ardiq_jobs"]]
        assert found[1][0] == "Jobs"
    assert placed.check() == Loose(Group, admin.site).check() == []


def test_a_job_leads_to_its_object(boss: Client, shop: Shop, group: Group) -> None:
    """A link for who may see the object; its name for who may see payloads; else nothing."""
    id = shop.add.options(subject=group).enqueue_sync(1).id
    text = page(boss, id)
    assert f'<a href="{address(group)}">group {group.pk}</a>' in text
    text = page(clerk("view_job", "view_job_payload"), id)
    assert f"group {group.pk}" in text and address(group) not in text
    assert f"group {group.pk}" not in page(clerk("view_job"), id)
    assert address(group) in page(clerk("view_job", "view_group"), id)
    admin.site.unregister(Group)
    try:
        assert f"group {group.pk}" in page(boss, id) and address(group) not in page(boss, id)
    finally:
        admin.site.register(Group, GroupsWithJobs)
    assert "about:" not in page(boss, shop.add.enqueue_sync(2).id).lower()


def test_another_site_without_jobs_has_no_links(rf: RequestFactory, shop: Shop, group: Group) -> None:
    site = admin.AdminSite(name="other")
    pages = GroupsWithJobs(Group, site)
    shop.add.options(subject=group).enqueue_sync(1)
    request = rf.get("/")
    request.user = User(is_superuser=True, is_active=True)
    pages.get_fieldsets(request, group)
    panel = str(pages.ardiq_jobs(group))
    assert "shop.add" in panel and "<a" not in panel
    assert Job not in site._registry
