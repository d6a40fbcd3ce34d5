"""A state as text in a border; the colour of the border says it once more."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ardiq.models import STATES

LABELS = dict(STATES)


def badge(state: str) -> SafeString:
    """``state`` as of Job.state; '' for a record that cannot be read."""
    label = LABELS.get(state, _("unreadable"))
    return format_html('<span class="ardiq-state ardiq-state-{}">{}</span>', state or "unreadable", label)
