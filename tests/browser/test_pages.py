"""Every page in a real browser: nothing against the policy, nothing for axe to find, nothing too wide."""

from __future__ import annotations

import io
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


# -- forced colours -------------------------------------------------------------------------------------

# Of each element: what it says, and the contrast of its text, its frame and its drawing to what lies beneath.
MEASURED = """nodes => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => [red, green, blue].map(part => part / 255).map(
    part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4,
  ).reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const beneath = node => {
    for (; node; node = node.parentElement) {
      const found = channels(getComputedStyle(node).backgroundColor);
      if (found[3] !== 0) return found;
    }
    return [255, 255, 255];
  };
  const ratio = (text, ground) => {
    if (text === "none" || channels(text)[3] === 0) return 0;
    const both = [light(channels(text)), light(ground)].sort((one, other) => other - one);
    return (both[0] + 0.05) / (both[1] + 0.05);
  };
  return nodes.map(node => {
    const style = getComputedStyle(node), ground = beneath(node);
    const framed = style.borderInlineStartStyle !== "none" && parseFloat(style.borderInlineStartWidth) > 0;
    return {
      says: node.textContent.trim(),
      colour: style.color,
      words: ratio(style.color, ground),
      frame: framed ? ratio(style.borderInlineStartColor, ground) : 0,
      drawn: Math.max(ratio(style.fill, ground), ratio(style.stroke, ground)),
    };
  });
}"""
SYSTEM = """name => {
  const probe = document.createElement("span");
  probe.style.color = name;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}"""
# The square of each name below a chart and the drawing that it stands for, by kind.
KEYS = """charts => charts.map(chart => [...chart.querySelectorAll(".ardiq-key")].map(key => {
  const kind = [...key.classList].find(name => name.startsWith("ardiq-key-")).replace("key", "chart");
  const drawing = chart.querySelector(`path.${kind}`);
  return [getComputedStyle(key, "::before").color, getComputedStyle(drawing).color];
})).flat()"""
FRAMED = {
    "dashboard": ".ardiq-tile", "jobs": "#result_list .ardiq-state", "failed job": ".ardiq-state",
    "running job": ".ardiq-state", "schedules": ".ardiq-mark", "queues": ".ardiq-mark",
}  # fmt: skip
TEXTS = ":is(a, button, code, p, pre, span, strong, td, th)"
DRAWN = {
    "dashboard": ("svg.ardiq-chart", "meter"), "schedules": ("svg.ardiq-strip",), "bulk": ("progress",),
    "job with logs": ("progress",),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours(visit: Open, stage: Site, scheme: str) -> None:
    """ADMIN 6.5: where the system says which colours there are, states are read as words in a frame, bars and
    lines are seen, and the names below a chart still tell which line is whose."""
    for name in dict.fromkeys((*FRAMED, *DRAWN)):
        page = visit(stage.pages[name], scheme=scheme, forced_colors="active")
        assert page.evaluate("matchMedia('(forced-colors: active)').matches")
        system = [page.evaluate(SYSTEM, colour) for colour in ("CanvasText", "LinkText")]
        if name in FRAMED:
            found = page.locator(FRAMED[name]).evaluate_all(MEASURED)
            assert found, name
            for one in found:
                assert one["says"] and one["frame"] >= 3, (name, one)
                assert one["colour"] in system, (name, one)
        for selector in DRAWN.get(name, ()):
            assert spread(page, selector) > 90, (name, selector)
        for one in page.locator("svg.ardiq-chart path, rect.ardiq-run").evaluate_all(MEASURED):
            assert one["drawn"] >= 3, (name, one)
        for key, line in page.locator(".ardiq-charts section").evaluate_all(KEYS):
            assert key == line, (name, key, line)
        # Not by axe, which asks for colours that the browser then does not use.
        for one in page.locator(f"#content {TEXTS}").evaluate_all(MEASURED):
            assert not one["says"] or one["words"] >= 4.5, (name, one)
        page.context.close()


def spread(page: Page, selector: str) -> int:
    """How far the lightest and the darkest of what an element looks like are apart: 0 for nothing to be seen,
    255 for black on white."""
    image = pytest.importorskip("PIL.Image")
    picture = page.locator(selector).first.screenshot()
    low, high = image.open(io.BytesIO(picture)).convert("L").getextrema()
    return int(high - low)
