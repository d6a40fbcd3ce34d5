"""Small markup that several pages share: a word in a border, a table, a pause in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ardiq.adminui import times
from ardiq.adminui.text import plain
from ardiq.store.controls import Pause


def mark(kind: str, text: object) -> SafeString:
    """``kind`` is 'good', 'warn', 'bad' or 'quiet'; the border says it once more, the text says it all."""
    return format_html('<span class="ardiq-mark ardiq-mark-{}">{}</span>', kind, text)


def table(heads: Sequence[object], rows: Iterable[Sequence[Any]], empty: object = "") -> SafeString:
    """Cells are escaped, unless they are safe; ``empty`` is shown when there are no rows."""
    return render_to_string("admin/ardiq/_table.html", {"heads": heads, "rows": list(rows), "empty": empty})


def told_pause(pause: Pause, queue: str = "") -> str:
    """'Paused by ann, 3 min ago: deploy', for a page. What people wrote is shown plain."""
    words = {
        "queue": queue,
        "lane": plain(pause.lane),
        "by": plain(pause.by),
        "when": times.relative(pause.at),
    }
    if queue:
        what = (
            _("Lane %(lane)s of queue %(queue)s is paused") if pause.lane else _("Queue %(queue)s is paused")
        )
    else:
        what = _("Lane %(lane)s is paused") if pause.lane else _("Paused")
    text = what % words
    text = (
        _("%(what)s by %(by)s, %(when)s") % {**words, "what": text}
        if pause.by
        else f"{text}, {words['when']}"
    )
    return f"{text}: {plain(pause.reason)}" if pause.reason else text
