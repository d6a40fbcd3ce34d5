"""What people do, from beginning to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ardiq import JobStatus
from tests.browser.conftest import Open
from tests.browser.stage import Site
from tests.workers import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

JOBS = "/admin/ardiq/job/"


def state(page: Page) -> str:
    return (page.text_content(".ardiq-state") or "").strip()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_failure_is_run_again(visit: Open, stage: Site, scripts: bool) -> None:
    """Failed, why, run again: a new job that names the old one."""
    job = stage.app.ref("market.charge").enqueue_sync(7, "4000", 1.5)
    job.result_sync(timeout=20)
    page = visit(f"{JOBS}{job.id}/change/", java_script_enabled=scripts)
    assert state(page) == "Failed" and "ValueError" in page.content()
    page.get_by_role("link", name="Run again", exact=False).or_(
        page.get_by_role("button", name="Run again", exact=False)
    ).first.click()
    page.locator(".ardiq-confirm input[type=submit]").click()
    page.wait_for_load_state()
    assert job.id in page.content()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_waiting_job_is_aborted(visit: Open, stage: Site, scripts: bool) -> None:
    job = stage.app.ref("market.notify").options(delay_ms=600_000).enqueue_sync("x@example.com")
    page = visit(f"{JOBS}{job.id}/change/", java_script_enabled=scripts)
    assert state(page) == "Scheduled"
    page.get_by_role("link", name="Abort").click()
    page.locator(".ardiq-confirm input[type=submit]").click()
    page.wait_for_load_state()
    assert job.status_sync() is JobStatus.ABORTED


def test_by_keyboard_alone(visit: Open, stage: Site) -> None:
    """A job is chosen from the list, an action picked and confirmed, without a pointer."""
    job = (
        stage.app.ref("market.notify")
        .options(delay_ms=600_000, task_id="by-keyboard")
        .enqueue_sync("k@example.com")
    )
    page = visit(f"{JOBS}?q=by-keyboard")
    box = page.locator("#result_list tbody .action-select")
    for _ in range(150):
        page.keyboard.press("Tab")
        if box.evaluate("box => box === document.activeElement"):
            break
    else:
        pytest.fail("the box of the job is not reached by Tab")
    page.keyboard.press("Space")
    select = page.locator("select[name=action]")
    select.focus()
    page.keyboard.type("Abort")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".ardiq-confirm")
    page.locator(".ardiq-confirm input[type=submit]").focus()
    page.keyboard.press("Enter")
    until(lambda: page.wait_for_timeout(50) or job.status_sync() is JobStatus.ABORTED, 20)
