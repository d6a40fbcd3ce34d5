"""Every page in a real browser: nothing against the policy, nothing for axe to find, nothing too wide."""

from __future__ import annotations

import django
import pytest

from tests.browser.conftest import Open, violations
from tests.browser.stage import CARD, Site

PAGES = (
    "index", "dashboard", "jobs", "failed jobs", "search", "no jobs", "failed job", "running job",
    "scheduled job", "job with logs", "delete", "retry", "history", "queues", "queue", "pause", "purge",
    "workers", "worker", "stop", "schedules", "schedule", "bulk", "enqueue", "outbox",
)  # fmt: skip
# Light and wide as on a desk, dark and narrow as on a phone; the other two are looked at by the slow tests.
LOOKS = [
    ("light", 1280),
    ("dark", 390),
    pytest.param("dark", 1280, marks=pytest.mark.slow),
    pytest.param("light", 390, marks=pytest.mark.slow),
]


def test_every_page_is_named(stage: Site) -> None:
    assert tuple(stage.pages) == PAGES


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_page(visit: Open, stage: Site, name: str, scheme: str, width: int) -> None:
    """ADMIN 6.4, 6.5: no complaint of the browser (see ``visit``), no violation, no scrolling sideways;
    and no secret anywhere."""
    page = visit(stage.pages[name], scheme=scheme, width=width)
    if name != "index" or django.VERSION >= (6,):  # Django's own page, in 5.2 with bare links
        found = violations(page)
        assert not found, found
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, f"{wider} px wider than the screen"
    assert CARD not in page.content()
