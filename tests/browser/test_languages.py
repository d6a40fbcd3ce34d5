"""Long words and the other direction: German and Arabic fit the screen, and nothing is upside down."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Open, violations
from tests.browser.stage import Site

PAGES = ("dashboard", "jobs", "failed job", "schedule")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["de", "ar"])
def test_pages(visit: Open, stage: Site, language: str, width: int) -> None:
    """ADMIN 6.10: no complaint, no violation, no scrolling sideways; code is read from the left."""
    for name in PAGES:
        page = visit(stage.pages[name], width=width, locale=language)
        assert page.locator("html").get_attribute("lang") == language
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{name}: {wider} px wider than the screen"
        sides = "nodes => nodes.map(node => getComputedStyle(node).direction)"
        code = page.locator("#content :is(code, .ardiq-text)").evaluate_all(sides)
        assert set(code) <= {"ltr"}, name
        assert not (found := violations(page)), (name, found)
        page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "ja", "ar"])
def test_the_list_shows_its_last_column(visit: Open, stage: Site, language: str) -> None:
    """On a screen of 1280 px, beside the filters and the navigation, in the longest words and times."""
    page = visit(stage.pages["jobs"], locale=language)
    results = page.locator("#changelist .results")
    assert results.evaluate("node => node.scrollWidth - node.clientWidth") <= 0
    times = page.locator("#result_list :is(.field-wait, .field-ran)")
    times.evaluate_all("nodes => nodes.forEach(node => { node.textContent = '59 min 59 s' })")
    assert results.evaluate("node => node.scrollWidth - node.clientWidth") <= 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "ja", "ar"])
def test_workers_show_their_last_column(visit: Open, stage: Site, language: str, width: int) -> None:
    """ADMIN 5.6: on a desk with host and versions, on a phone without the latter; with long names, too."""
    page = visit(stage.pages["workers"], width=width, locale=language)
    assert "Django" in page.locator("#result_list .field-versions").first.inner_text() or width == 390
    assert page.locator("#result_list .field-label .ardiq-place").first.inner_text().split(" · ")[1].isdigit()
    results = page.locator("#changelist .results")
    page.locator("#result_list .field-label a").first.evaluate(
        "node => { node.firstChild.textContent = 'ip-10-0-123-45.eu-central-1.compute.internal-12345' }"
    )
    assert results.evaluate("node => node.scrollWidth - node.clientWidth") <= 0


@pytest.mark.slow
def test_time_goes_from_left_to_right(visit: Open, stage: Site) -> None:
    """Charts are drawn so, and what stands below them has to agree, in Arabic as well."""
    page = visit(stage.pages["dashboard"], locale="ar")
    first, last = (page.locator(".ardiq-axis").first.locator("span").nth(place) for place in (0, 1))
    assert page.locator("html").get_attribute("dir") == "rtl"
    boxes = first.bounding_box(), last.bounding_box()
    assert boxes[0] and boxes[1] and boxes[0]["x"] < boxes[1]["x"]
