"""Every page in a real browser: nothing against the policy, nothing for axe to find, nothing too wide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django
import pytest

from tests.browser.conftest import Open, violations
from tests.browser.stage import CARD, Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGES = (
    "index", "dashboard", "jobs", "failed jobs", "search", "no jobs", "failed job", "running job",
    "scheduled job", "job with logs", "delete", "retry", "again", "run", "abort", "history", "queues",
    "queue", "pause", "resume", "move", "elsewhere", "purge", "workers", "worker", "stop", "quiet",
    "schedules", "schedule", "run schedule", "disable", "enable", "bulk", "enqueue", "enqueue form",
    "duplicate", "outbox", "jobs of an object", "empty dashboard", "empty jobs", "unavailable",
)  # fmt: skip
# The same template as "stop" and the like with other words: one look, and the others when there is time.
ALIKE = {"resume", "quiet", "run schedule", "disable", "enable", "run", "abort", "again"}
# Light and wide as on a desk, dark and narrow as on a phone; the other two are looked at by the slow tests.
LOOKS = [("light", 1280), ("dark", 390), ("dark", 1280), ("light", 390)]
DJANGOS = {"index", "jobs of an object"}
# What is on the page if it is the one that it is called; a look at another one finds nothing wrong either.
SAYS = {
    "enqueue form": ".ardiq-enqueue [name*=copies]", "duplicate": ".ardiq-enqueue [value='ann@example.com']",
    "bulk": "progress.ardiq-progress >> nth=1", "jobs of an object": ".field-ardiq_jobs tbody tr",
    "empty dashboard": "text=No jobs yet", "empty jobs": ".ardiq-empty", "unavailable": "text=127.0.0.1:1",
    "elsewhere": "select option[value=spare]",
    **dict.fromkeys(("delete", "retry", "again", "run", "abort"), "form.ardiq-confirm"),
    **dict.fromkeys(("pause", "resume", "move", "purge", "stop", "quiet"), ".ardiq-ask"),
    **dict.fromkeys(("run schedule", "disable", "enable"), ".ardiq-ask"),
}  # fmt: skip


def test_every_page_is_named(stage: Site) -> None:
    assert tuple(stage.pages) == PAGES


def looks() -> list[Any]:
    """Every page in every look."""
    found = []
    for name in PAGES:
        for number, look in enumerate(LOOKS):
            slow = number > 1 or (name in ALIKE and number == 0)
            found.append(pytest.param(name, *look, marks=[pytest.mark.slow] if slow else []))
    return found


@pytest.mark.parametrize(("name", "scheme", "width"), looks())
def test_page(visit: Open, stage: Site, name: str, scheme: str, width: int) -> None:
    """ADMIN 6.4, 6.5: no complaint of the browser (see ``visit``), no violation, no scrolling sideways;
    and no secret anywhere."""
    page = visit(stage.pages[name], scheme=scheme, width=width)
    says = SAYS.get(name)
    assert not says or page.locator(says).count(), f"not the page that it is called: no {says}"
    if name not in DJANGOS or django.VERSION >= (6,):  # its own page, in 5.2 with bare links
        found = violations(page)
        assert not found, found
    nothing_wrong(page)


@pytest.mark.parametrize(("scheme", "width"), LOOKS[:2])
def test_all_jobs_of_a_filter(visit: Open, stage: Site, scheme: str, width: int) -> None:
    """The page that asks about a bulk operation, which is the answer to a POST."""
    page = visit(stage.pages["jobs"], scheme=scheme, width=width)
    stage.ask_in_bulk(page)
    found = violations(page)
    assert not found, found
    nothing_wrong(page)


def test_the_policy_is_in_force(visit: Open, stage: Site) -> None:
    """Else that nobody complains would tell nothing. Since Django 6.1 it asks for nonces, too."""
    page = visit(stage.pages["dashboard"])
    response = page.reload()
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "script-src 'self'" in policy and ("style-src 'nonce-" in policy) is (django.VERSION >= (6, 1))


def nothing_wrong(page: Page) -> None:
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, f"{wider} px wider than the screen"
    assert CARD not in page.content()
