"""The last runs of a schedule: as a strip for its row in the list, and as a table for its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.contrib.admin.utils import quote
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ardiq.adminui import times
from ardiq.adminui.badges import LABELS, badge
from ardiq.adminui.filters import number
from ardiq.adminui.marks import mark, table
from ardiq.adminui.text import plain
from ardiq.store.recurring import DELETED, Fired

STEP, HIGH = 7, 16  # of a bar, with the room behind it
# How high a bar is: a failure is the tallest, so that nobody needs to see its colour.
HEIGHTS = {"failed": HIGH, "succeeded": 10}
OTHER = 5


def strip(fired: Sequence[Fired]) -> SafeString:
    """A bar for each run, oldest first, each with its words; all of them in words for who does not see."""
    if not fired:
        return format_html("{}", times.NOTHING)
    bars = format_html_join("", '<rect class="ardiq-run ardiq-run-{}" x="{}" y="{}" width="{}" height="{}">'
        "<title>{}</title></rect>", (_bar(place, one) for place, one in enumerate(fired)))  # fmt: skip
    return format_html(
        '<svg class="ardiq-strip" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
        "{}</svg>",
        *(len(fired) * STEP, HIGH) * 2, summary(fired), bars,
    )  # fmt: skip


def _bar(place: int, one: Fired) -> tuple[Any, ...]:
    high = HEIGHTS.get(one.status, OTHER)
    words = f"{times.absolute(one.at)}: {label(one.status)}"
    return one.status or "open", place * STEP, HIGH - high, STEP - 2, high, words


def label(status: str) -> str:
    """What became of a run, '' for one that waits, runs, or whose end nobody has told."""
    return {"": _("not ended yet"), DELETED: _("deleted")}.get(status) or str(
        LABELS.get(status, plain(status, 20))
    )


def ending(status: str) -> SafeString:
    """The same as a word in a border."""
    return badge(status) if status in LABELS else mark("quiet", label(status))


def summary(fired: Sequence[Fired]) -> str:
    """'18 Succeeded, 2 Failed'."""
    counts = Counter(label(one.status) for one in fired)
    return ", ".join(f"{number(count)} {text}" for text, count in counts.most_common())


def ends(fired: Sequence[Fired], jobs: Sequence[SafeString] = ()) -> SafeString:
    """The strip and a table, latest first; ``jobs`` are links, to that of each."""
    heads: list[str] = [_("due"), _("outcome"), _("ended after")]
    rows: list[tuple[Any, ...]] = [
        (
            times.both(one.at),
            ending(one.status),
            times.duration(one.ended_at - one.at) if one.ended_at else times.NOTHING,
        )
        for one in fired
    ]
    if jobs:
        heads.append(_("job"))
        rows = [(*row, job) for row, job in zip(rows, jobs, strict=True)]
    shown = table(heads, rows[::-1], _("It has not fired yet."))
    return format_html("{}<p>{}</p>{}", strip(fired), summary(fired), shown) if fired else shown


def runs(page: Any, fired: Sequence[Fired], every: SafeString) -> SafeString:
    """The same with a link to the job of each, which need not be there any more, and one to ``every`` job."""
    jobs = [
        format_html(
            '<a href="{}"><code>{}</code></a>',
            page.url("change", quote(one.id), model="job"), plain(one.id[:8], 20),
        )
        for one in fired
    ]  # fmt: skip
    return format_html('{}<p class="ardiq-more">{}</p>', ends(fired, jobs), every)
