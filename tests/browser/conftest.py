"""A browser, a site, and somebody who is signed in. No browser: skipped, and in CI a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.stage import PASSWORD, USER, Site, chromium, site
from tests.server import missing, own_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for longer than a module: as long as it lives, an event loop counts as running in this thread, and
    other tests want to run their own."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing('no playwright: pip install -e ".[suite]"')
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests of a module: each makes what it changes itself."""
    directory = tmp_path_factory.mktemp("site")
    with own_server(directory) as url, site(url, directory) as found:
        yield found


@pytest.fixture(scope="module")
def cookies(browser: Browser, stage: Site) -> Any:
    """Of a superuser who has signed in by the form."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{stage.url}/admin/")
    page.fill("#id_username", USER)
    page.fill("#id_password", PASSWORD)
    page.click("input[type=submit]")
    assert "Site administration" in page.content()
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def visit(browser: Browser, stage: Site, cookies: Any) -> Iterator[Open]:
    """Open a page of the site. What the browser complains of fails the test: a policy, a script, a file."""
    complaints: list[str] = []
    contexts = []

    def open_page(address: str, *, scheme: str = "light", width: int = 1280, **options: Any) -> Page:
        context = browser.new_context(
            storage_state=cookies, color_scheme=scheme, viewport={"width": width, "height": 900}, **options
        )
        contexts.append(context)
        page = context.new_page()
        expected = 503 if address.startswith(("away:", "leaving:")) else 200
        page._ardiq_listener = lambda message: _note(complaints, message, expected)  # type: ignore[attr-defined]
        page.on("console", page._ardiq_listener)  # type: ignore[attr-defined]
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(stage.full(address))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints, complaints


def violations(page: Page) -> str:
    """What axe finds on a page, as a text; '' for nothing."""
    from axe_playwright_python.sync_playwright import Axe

    # It brings styles of its own, which the policy of the site refuses.
    page.remove_listener("console", page._ardiq_listener)  # type: ignore[attr-defined]
    found = Axe().run(page)
    return str(found.generate_report()) if found.violations_count else ""


def _note(complaints: list[str], message: Any, expected: int) -> None:
    if expected != 200 and f"status of {expected}" in message.text:
        return
    if message.type in ("error", "warning") and "favicon" not in str(message.location):
        complaints.append(f"{message.text} ({message.location.get('url', '')})")
