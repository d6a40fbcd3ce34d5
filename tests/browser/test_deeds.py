"""What people do to tasks, queues and recurring tasks, from the button to what comes of it; also without
scripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ardiq import JobStatus
from tests.browser.conftest import Open
from tests.browser.stage import Site
from tests.workers import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

JOBS = "/admin/ardiq/job/"
CONFIRM = ".ardiq-confirm input[type=submit]"
# With scripts a page is waited for until it looks again by itself, which it does every five seconds.
SCRIPTS = pytest.mark.parametrize(
    "scripts", [pytest.param(True, marks=pytest.mark.slow), False], ids=["with scripts", "without"]
)


def told(page: Page) -> str:
    """What the page says about what was done."""
    return (page.text_content(".messagelist li") or "").strip()


def do(page: Page, tool: str, **given: str) -> str:
    """Press a button of a page, fill in what is asked for, confirm. Answers what the next page says."""
    page.click(f".ardiq-tool-{tool}")
    for name, text in given.items():
        page.fill(f".ardiq-confirm [name={name}]", text)
    page.click(CONFIRM)
    return told(page)


def comes(page: Page, selector: str, scripts: bool) -> None:
    """By itself; without scripts, when the page is asked for again."""
    if scripts:
        page.wait_for_selector(selector, timeout=30_000)
        return

    def there() -> bool:
        page.reload()
        return bool(page.locator(selector).count())

    until(there, 20, selector)


def state(page: Page) -> str:
    return (page.text_content(".ardiq-state") or "").strip()


@SCRIPTS
def test_a_task_is_enqueued_by_the_form(visit: Open, stage: Site, scripts: bool) -> None:
    """ADMIN 6.2: chosen, filled in, sent; its page says that it waits, and then what came of it."""
    page = visit(f"{JOBS}add/", java_script_enabled=scripts)
    page.click(".ardiq-tasks a:has-text('market.letter')")
    page.fill("[name=arg_address]", "kay@example.com")
    page.fill("[name=arg_copies]", "3")
    page.check("[name=arg_urgent]")
    page.select_option("[name=arg_kind]", label="registered")
    if scripts:
        page.fill("[name=delay]", "5")
    page.click(".ardiq-enqueue input[type=submit]")
    assert told(page) == "The job is enqueued."
    assert not scripts or state(page) == "Scheduled"
    comes(page, ".ardiq-state-succeeded", scripts)
    assert "3 to kay@example.com" in (page.text_content(".field-value .ardiq-text") or "")
    text = page.text_content("#content") or ""
    assert "registered" in text and "ann, by the form" in text


@SCRIPTS
def test_a_queue_is_paused(visit: Open, stage: Site, scripts: bool) -> None:
    """ADMIN 6.2: a job that waits in it says who has paused it and why, and runs when it is resumed."""
    queue = f"/admin/ardiq/queue/{stage.app.queue_name}/change/"
    desk = visit(queue, java_script_enabled=scripts)
    try:
        assert do(desk, "pause", reason="the bank is closed") == "Paused: the bank is closed"
        job = stage.app.ref("market.add").enqueue_sync(20, 22)
        page = visit(f"{JOBS}{job.id}/change/", java_script_enabled=scripts)
        assert state(page) == "Queued"
        why = page.text_content(".ardiq-reasons .ardiq-stuck") or ""
        assert "The queue is paused by ann" in why and "the bank is closed" in why
        desk.goto(stage.full(queue))
        assert do(desk, "resume") == "Resumed."
    finally:
        stage.app.resume_queue_sync()
    comes(page, ".ardiq-state-succeeded", scripts)
    assert (page.text_content(".field-value .ardiq-text") or "").strip() == "42"


@SCRIPTS
def test_a_running_job_is_stopped(visit: Open, stage: Site, scripts: bool) -> None:
    """ADMIN 6.2: by the button on its page, which then says that it has been."""
    job = stage.app.ref("market.hold").enqueue_sync()
    until(lambda: job.status_sync() is JobStatus.RUNNING, 20)
    page = visit(f"{JOBS}{job.id}/change/", java_script_enabled=scripts)
    assert do(page, "abort") == "Aborted or told to stop: 1."
    comes(page, ".ardiq-state-aborted", scripts)
    assert job.status_sync() is JobStatus.ABORTED and not page.locator(".ardiq-tool-abort").count()


@SCRIPTS
def test_a_recurring_task(visit: Open, stage: Site, scripts: bool) -> None:
    """ADMIN 6.2: run now, whatever its timetable says; disabled, with by whom; enabled again."""
    page = visit(stage.pages["schedule"], java_script_enabled=scripts)
    found = re.fullmatch(r"Enqueued as job (\w+)\.", do(page, "run"))
    assert found is not None
    job = stage.app.job(found[1])
    until(lambda: job.status_sync() is JobStatus.SUCCEEDED, 20)
    page.click("text=All jobs of this task")
    page.wait_for_selector(f'#result_list a[href*="{job.id}"]')
    page.goto(stage.full(stage.pages["schedule"]))
    assert do(page, "disable") == "Disabled."
    text = page.text_content("#content") or ""
    assert "disabled here by ann" in text and "None while it is disabled." in text
    assert not page.locator(".ardiq-tool-disable").count()
    assert do(page, "enable") == "Enabled."
    text = page.text_content("#content") or ""
    assert "disabled here" not in text and "None while it is disabled." not in text


# -- without scripts ------------------------------------------------------------------------------------


def test_an_action_of_the_list(visit: Open, stage: Site) -> None:
    """ADMIN 6.6: some are ticked, an action is picked, its page asks, and it is done to those alone."""
    later = stage.app.ref("market.notify").options(delay_ms=600_000)
    jobs = [later.options(task_id=f"picked-{n}").enqueue_sync("x@example.com") for n in range(3)]
    page = visit(f"{JOBS}?q=picked-", java_script_enabled=False)
    assert page.locator("#result_list .action-select").count() == 3
    for job in jobs[:2]:
        page.check(f"#result_list .action-select[value={job.id}]")
    page.select_option("select[name=action]", "abort_selected")
    page.click(".actions button[name=index]")
    assert "Waiting jobs end at once" in (page.text_content("#content p") or "")
    page.click(CONFIRM)
    assert told(page) == "Aborted or told to stop: 2."
    ends = [job.status_sync() for job in jobs]
    assert ends == [JobStatus.ABORTED, JobStatus.ABORTED, JobStatus.SCHEDULED]


def test_a_lane_is_purged(visit: Open, stage: Site) -> None:
    """ADMIN 6.6: only by its queue's name; what waits in other lanes stays."""
    stage.app.pause_queue_sync(by="ann")
    try:
        kept = stage.app.ref("market.add").enqueue_sync(1)
        gone = stage.app.ref("market.add").options(priority="low").enqueue_sync(1)
        page = visit(f"/admin/ardiq/queue/{stage.app.queue_name}/change/", java_script_enabled=False)
        page.click(".ardiq-tool-purge")
        page.select_option("[name=lane]", "low")
        page.fill("[name=name]", "another")
        page.click(CONFIRM)
        assert "This is not the name of the queue." in (page.text_content(".errorlist") or "")
        assert gone.status_sync() is JobStatus.QUEUED
        page.fill("[name=name]", stage.app.queue_name)
        page.click(CONFIRM)
        assert re.fullmatch(r"Deleted \d waiting jobs of lane low\.", told(page))
        assert stage.app.info_sync(gone.id) is None and kept.status_sync() is JobStatus.QUEUED
    finally:
        stage.app.resume_queue_sync()


def test_all_jobs_of_a_filter(visit: Open, stage: Site) -> None:
    """ADMIN 6.6: more than a page are chosen, too, though Django's own link to them is a script; workers do
    it, and a page tells how far they are."""
    later = stage.app.ref("market.add").options(delay_ms=3_600_000)
    jobs = [later.enqueue_sync(number) for number in range(55)]
    address = f"{JOBS}?state=scheduled&task=market.add"
    page = visit(address, java_script_enabled=False)
    page.check("label:has-text('Select all 55 jobs') [name=select_across]")
    page.select_option("select[name=action]", "abort_selected")
    page.click(".actions button[name=index]")
    assert "These are all jobs of a filter" in (page.text_content(".ardiq-note") or "")
    page.click(CONFIRM)
    page.wait_for_url("**/_bulk/")
    comes(page, "#ardiq-bulks tr:has-text('Abort jobs'):has-text('looked at, 55 done')", False)
    assert {job.status_sync() for job in jobs} == {JobStatus.ABORTED}


def test_one_choice_of_all_jobs(visit: Open, stage: Site) -> None:
    """Whoever has scripts has Django's own link and nothing beside it."""
    page = visit(f"{JOBS}?state=succeeded")
    assert page.locator("[name=select_across]").count() == 1
    assert not page.locator("label [name=select_across]").count()
