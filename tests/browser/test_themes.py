"""The pages under other people's themes: they are Django's own, so a theme dresses them, too."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.stage import PASSWORD, USER, site
from tests.server import missing, own_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["unfold", "jazzmin", "grappelli"])
def test_theme(browser: Browser, tmp_path: Path, theme: str) -> None:
    """ADMIN 6.1: dashboard, list, page of a job and an action."""
    if importlib.util.find_spec(theme) is None:
        missing(f"no theme: pip install django-{theme}")
    with own_server(tmp_path) as url, site(url, tmp_path, theme) as stage:
        page = browser.new_page()
        page.goto(f"{stage.url}/admin/")
        page.fill("[name=username]", USER)
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.wait_for_url(f"{stage.url}/admin/")
        for name, address in stage.pages.items():
            response = page.goto(stage.full(address))
            status = 503 if name == "unavailable" else 200
            assert response is not None and response.status == status, (theme, name)
        page.goto(f"{stage.url}/admin/ardiq/dashboard/")
        assert page.locator("svg.ardiq-chart").count() >= 4
        page.goto(stage.url + stage.pages["failed jobs"])
        assert "market.charge" in page.content()
        page.goto(stage.url + stage.pages["retry"])
        page.locator(".ardiq-confirm [type=submit]").click()
        page.wait_for_load_state()
        assert "again" in page.content()
        page.close()
