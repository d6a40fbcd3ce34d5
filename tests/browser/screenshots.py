"""Pictures of every page, for people to look at (scripts/screenshots).

What they show was made by the public door and a real worker, but for one thing: the figures of the hour
before are written here, or charts would be bare.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path

import django
from playwright.sync_api import Browser, sync_playwright

from ardiq.core.statistics import FAILED, RETRIED, RUN, SUCCEEDED, WAIT, Cell, bucket
from ardiq.store import scripts, statistics
from tests.browser.stage import PASSWORD, USER, Site, chromium, site
from tests.server import own_server
from tests.workers import ROOT

LOOKS = {"light": ("light", 1280), "dark": ("dark", 1280), "phone": ("light", 390)}
SHOWN = {("dashboard", "light"), ("job with logs", "dark"), ("jobs", "light")}  # by README and docs
MINUTE = 60_000  # ms


def main(arguments: list[str]) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    everything = bool(arguments)
    target = Path(arguments[0]) if everything else ROOT / "docs" / "images"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, own_server(Path(place)) as url:
        with site(url, Path(place)) as stage, sync_playwright() as playwright:
            hour(stage)
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            for look, (scheme, width) in LOOKS.items():
                pages = [name for name in stage.pages if everything or (name, look) in SHOWN]
                take(browser, stage, target, look, scheme, width, pages, full=everything)
            browser.close()
    print(*sorted(path.name for path in target.glob("*.png")), sep="\n")


def hour(stage: Site) -> None:
    """Figures as workers would have told them, a minute at a time; drawn alike every time."""
    dice, keys = random.Random(7), stage.app.broker.keys
    for minute in range(60, 0, -1):
        scripts.shift(-minute * MINUTE)
        busy = 300 + 200 * (minute % 20 < 6)
        cells = [
            (("default", "market.report"), cell(dice, busy // 5, 300, 40)),
            (("high", "market.notify"), cell(dice, busy, 40, 6)),
            (("default", "market.charge"), cell(dice, busy // 8, 120, 20, failing=0.04)),
        ]
        stage.app.broker.store.run(statistics.count(keys, stage.app.options.priorities, cells))
    scripts.shift(0)


def cell(dice: random.Random, runs: int, run_ms: int, wait_ms: int, failing: float = 0.0) -> Cell:
    found: Cell = {SUCCEEDED: runs, RUN: 0, WAIT: 0}
    for _ in range(runs):
        ran, waited = (int(dice.lognormvariate(0, 0.6) * typical) for typical in (run_ms, wait_ms))
        for code, ms in (("r", ran), ("w", waited)):
            name = f"{code}{bucket(ms)}"
            found[name] = found.get(name, 0) + 1
        found[RUN] += ran * 1_000
        found[WAIT] += waited * 1_000
    found[FAILED] = sum(dice.random() < failing for _ in range(runs))
    found[RETRIED] = 2 * found[FAILED]
    return {code: number for code, number in found.items() if number}


def take(
    browser: Browser,
    stage: Site,
    target: Path,
    look: str,
    scheme: str,
    width: int,
    pages: list[str],
    full: bool,
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{stage.url}/admin/")
    page.fill("#id_username", USER)
    page.fill("#id_password", PASSWORD)
    page.click("input[type=submit]")
    for name in pages:
        page.goto(stage.full(stage.pages[name]))
        page.wait_for_timeout(200)
        page.screenshot(path=target / f"{name.replace(' ', '-')}-{look}.png", full_page=full)
    if full:
        stage.ask_in_bulk(page)
        page.screenshot(path=target / f"bulk-confirm-{look}.png", full_page=True)
    context.close()


if __name__ == "__main__":
    main(sys.argv[1:])
