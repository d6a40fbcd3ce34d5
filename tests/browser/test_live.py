"""Pages keep themselves up to date, and leave alone whoever is at work on them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ardiq import Ardiq, operations
from ardiq.core.job import JobStatus
from ardiq.operations import Order
from ardiq.store.browsing import Keep
from tests.browser.conftest import Open
from tests.browser.stage import LANES, Site
from tests.server import admin, answers, free_port, need_binary, start_server, stop_server
from tests.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

JOBS = "/admin/ardiq/job/"


def asked(page: Page) -> list[str]:
    """The questions of live.js, from now on."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if "_live=1" in request.url else None)
    return seen


def wait(page: Page, seen: list[str], more: int = 1) -> None:
    """Until it has asked again; the browser must get its turn meanwhile."""
    before = len(seen)
    until(lambda: page.wait_for_timeout(50) or len(seen) >= before + more, 20, "another question")


def test_what_happens_shows(visit: Open, stage: Site) -> None:
    """ADMIN 5.10: a job that is enqueued after the page was opened stands on it, without a reload."""
    page = visit("/admin/ardiq/dashboard/")
    before = int(page.text_content(".ardiq-tile-scheduled strong") or 0)
    stage.app.ref("market.notify").options(delay_ms=3_600_000).enqueue_sync("late@example.com")
    page.wait_for_function(
        "count => Number(document.querySelector('.ardiq-tile-scheduled strong').textContent) > count",
        arg=before,
    )
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1


def test_a_list_grows(visit: Open, stage: Site) -> None:
    """The newest job comes first; nobody is at work on the list."""
    page = visit(JOBS)
    page.mouse.move(5, 5)
    job = stage.app.ref("market.notify").enqueue_sync("new@example.com")
    page.wait_for_selector(f'#result_list a[href*="{job.id}"]')


def test_what_is_empty_fills(visit: Open, stage: Site) -> None:
    """A search that finds nothing finds a job that comes later; so does the page of the first job."""
    page = visit(f"{JOBS}?q=comes-later")
    assert page.locator("#result_list").count() == 0
    stage.app.ref("market.notify").options(task_id="comes-later").enqueue_sync("new@example.com")
    page.wait_for_selector('#result_list tbody th a[href*="comes-later"]')
    first = visit("empty:/admin/ardiq/job/")
    first.wait_for_selector(".ardiq-empty")
    Ardiq("nothing", redis_url=stage.app.options.redis_url).ref("shop.any").enqueue_sync()
    first.wait_for_selector("#result_list tbody tr")


def test_a_bulk_operation_is_followed(visit: Open, stage: Site) -> None:
    """From where it was not there yet to where it has ended, without a reload."""
    page = visit(f"{JOBS}_bulk/")
    assert page.locator("#ardiq-bulks progress[value='1']").count() == 0
    operations.start(stage.app.broker, Order("retry", [JobStatus.EXPIRED], Keep(), 1))
    page.wait_for_selector("#ardiq-bulks progress[value='1']", state="attached", timeout=60_000)
    assert page.evaluate("performance.getEntriesByType('navigation')[0].type") == "navigate"


def test_rows_stay_under_the_pointer(visit: Open, stage: Site) -> None:
    """What is newer is offered, and comes when it is wanted."""
    page = visit(JOBS)
    page.hover("#result_list tbody tr:nth-child(3)")
    job = stage.app.ref("market.notify").enqueue_sync("offered@example.com")
    page.get_by_role("button", name=re.compile("newer: show")).click()
    page.wait_for_selector(f'#result_list a[href*="{job.id}"]')


def test_rows_that_change_places_stay_under_the_pointer(visit: Open, stage: Site) -> None:
    """One that leaves would move those below it; it goes when the pointer has gone, with no click."""
    task = stage.app.ref("market.notify").options(delay_ms=3_600_000)
    jobs = [task.enqueue_sync(f"{name}@example.com") for name in "ab"]
    page = visit(f"{JOBS}?state=scheduled")
    gone = f'#result_list a[href*="{jobs[0].id}"]'
    page.hover("#result_list tbody tr:nth-child(2)")
    assert page.locator(gone).count() == 1
    assert jobs[0].delete_sync()
    page.get_by_role("button", name="The order has changed: show").wait_for()
    assert page.locator(gone).count() == 1
    page.mouse.move(1, 1)
    page.wait_for_selector(gone, state="detached")
    assert jobs[1].delete_sync()


def test_a_selection_stays(visit: Open, stage: Site) -> None:
    """With a box ticked nothing is asked, and after it everything is again."""
    page = visit(JOBS)
    seen = asked(page)
    wait(page, seen)
    page.check("#result_list tbody tr:first-child .action-select")
    page.wait_for_timeout(5_000)
    count = len(seen)
    page.wait_for_timeout(5_000)
    assert len(seen) == count
    page.uncheck("#result_list tbody tr:first-child .action-select")
    page.evaluate("document.activeElement.blur()")
    wait(page, seen)


def test_a_hidden_tab_is_quiet(visit: Open, stage: Site) -> None:
    page = visit("/admin/ardiq/dashboard/")
    seen = asked(page)
    wait(page, seen)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.wait_for_timeout(1_000)
    count = len(seen)
    page.wait_for_timeout(5_000)
    assert len(seen) == count
    page.evaluate("Object.defineProperty(document, 'hidden', {value: false, configurable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait(page, seen)


def test_the_switch_is_kept(visit: Open, stage: Site) -> None:
    """Off means off, on the next page as well."""
    page = visit("/admin/ardiq/dashboard/")
    page.get_by_label("Live").uncheck()
    page.goto(f"{stage.url}{JOBS}")
    seen = asked(page)
    assert not page.get_by_label("Live").is_checked()
    page.wait_for_timeout(5_000)
    assert not seen


@pytest.mark.slow
def test_errors(visit: Open, stage: Site) -> None:
    """A server that is away makes the page stale, is asked less often, and all is well when it is back."""
    page = visit("/admin/ardiq/dashboard/")
    seen = asked(page)
    page.route("**/*_live=1*", lambda route: route.fulfill(status=204))
    page.wait_for_selector("text=stale since")
    first = len(seen)
    page.wait_for_timeout(6_000)
    assert len(seen) - first <= 2, "it asks less and less often"
    page.unroute("**/*_live=1*")
    page.wait_for_selector("text=stale since", state="detached", timeout=60_000)


@pytest.mark.slow
def test_the_server_is_away(visit: Open, stage: Site) -> None:
    """The page that says so gives way to the one that was asked for, by itself, as soon as it can."""
    page = visit("/admin/ardiq/queue/")
    page.remove_listener("console", page._ardiq_listener)  # type: ignore[attr-defined]
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text) if "503" not in message.text else None)
    with admin(stage.app.options.redis_url) as client:
        client.execute_command("CLIENT", "PAUSE", 6_000, "ALL")
    response = page.goto(f"{stage.url}{JOBS}?state=failed")
    assert response is not None and response.status == 503
    assert (
        "ago)" in (page.text_content("#ardiq-unavailable") or "") and page.get_by_label("Live").is_checked()
    )
    page.wait_for_selector("#result_list", timeout=60_000)
    assert page.url == f"{stage.url}{JOBS}?state=failed" and not broken


@pytest.mark.slow
def test_the_server_goes_away(visit: Open, stage: Site, tmp_path: Path) -> None:
    """ADMIN 6.7: under pages that are open. They say since when they are stale, and when it is back they are
    live again and show what has happened meanwhile, without anybody who reloads them."""
    port, binary, keeps = free_port(), need_binary(), ("--appendonly", "yes")
    url = f"redis://127.0.0.1:{port}/0"
    stage.sites["leaving"] = {"leaving": {"REDIS_URL": url, "ADMIN_REFRESH": 2, **LANES}}
    server = start_server(binary, tmp_path, port, *keeps)
    try:
        assert answers(url, 10)
        app = Ardiq("leaving", priorities=LANES["PRIORITIES"], redis_url=url)
        task = app.ref("market.add").options(delay_ms=3_600_000)
        first = task.enqueue_sync(1)
        places = ("/admin/ardiq/dashboard/", JOBS, f"{JOBS}{first.id}/change/")
        dashboard, jobs, one = pages = [visit(f"leaving:{place}") for place in places]
        assert (dashboard.text_content(".ardiq-tile-aborted strong") or "").strip() == "0"
        stop_server(server)
        for page in pages:
            page.wait_for_selector("text=stale since", timeout=30_000)
            assert page.get_by_label("Live").is_checked()
        server = start_server(binary, tmp_path, port, *keeps)
        assert answers(url, 10)
        second = task.enqueue_sync(2)
        first.abort_sync()
        for page in pages:
            page.wait_for_selector("text=stale since", state="detached", timeout=60_000)
        dashboard.wait_for_selector(".ardiq-tile-aborted strong:text-is('1')")
        jobs.wait_for_selector(f'#result_list a[href*="{second.id}"]')
        one.wait_for_selector(".ardiq-state-aborted")
        loaded = "performance.getEntriesByType('navigation')[0].type"
        assert [page.evaluate(loaded) for page in (dashboard, jobs)] == ["navigate", "navigate"]
    finally:
        stop_server(server)


def test_signed_out(visit: Open, stage: Site) -> None:
    """Whoever is signed out meanwhile is offered to sign in, and nothing is asked any more."""
    page = visit("/admin/ardiq/dashboard/")
    page.context.clear_cookies()
    page.get_by_role("button", name="Sign in again").click()
    page.wait_for_selector("#id_username")


def test_a_job_that_ends(visit: Open, stage: Site) -> None:
    """Its page says so, and then asks no more."""
    job = stage.app.ref("market.hold").enqueue_sync()
    until(lambda: job.status_sync() == "running", 20)
    page = visit(f"{JOBS}{job.id}/change/")
    assert (page.text_content(".ardiq-state") or "").strip() == "Running"
    seen = asked(page)
    wait(page, seen)
    job.abort_sync()
    page.wait_for_selector(".ardiq-state-aborted")
    assert page.get_by_label("Live").count() == 0
