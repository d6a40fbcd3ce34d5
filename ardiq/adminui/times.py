"""Times and durations as people read them. Redis knows epoch milliseconds only."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

NOTHING = "–"


def moment(ms: int | None) -> datetime | None:
    """Epoch ms as a datetime, aware or naive as the project has it."""
    if not ms:
        return None
    try:
        value = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None  # a due time beyond the year 9999
    return value if settings.USE_TZ else timezone.make_naive(value)


def absolute(ms: int | None) -> str:
    value = moment(ms)
    if value is None:
        return NOTHING
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    fraction = f"{local.microsecond // 1000:03d}"
    point = formats.get_format("DECIMAL_SEPARATOR")
    return f"{formats.date_format(local, 'DATE_FORMAT')}, {local:%H:%M:%S}{point}{fraction}"


def clock(ms: int | None, *, seconds: bool = False) -> str:
    """'09:41', or '09:41:07'; of another day than today the date as well."""
    value = moment(ms)
    if value is None:
        return NOTHING
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    text = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    today = timezone.localtime().date() if settings.USE_TZ else datetime.now().date()
    return text if local.date() == today else f"{formats.date_format(local, 'SHORT_DATE_FORMAT')} {text}"


def relative(ms: int | None) -> str:
    """'12 s ago', 'in 3 h': short, for a column of a list."""
    value = moment(ms)
    if value is None:
        return NOTHING
    now = timezone.now() if settings.USE_TZ else datetime.now()
    seconds = (now - value).total_seconds()
    about = span(abs(seconds))
    return (_("%(span)s ago") if seconds >= 0 else _("in %(span)s")) % {"span": about}


def span(seconds: float) -> str:
    """'12 s', '5 min', '24 h', '7 d': rounded to one unit."""
    for size, most, text in ((1, 60, _("%(n)d s")), (60, 60, _("%(n)d min")), (3600, 48, _("%(n)d h"))):
        if round(seconds / size) < most:
            return text % {"n": round(seconds / size)}
    return _("%(n)d d") % {"n": round(seconds / 86_400)}


def both(ms: int | None) -> str | SafeString:
    """The relative time, with the absolute one in its title."""
    value = moment(ms)
    if value is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', value.isoformat(), absolute(ms), relative(ms)
    )


def duration(ms: int | None) -> str:
    """'4 ms', '1.2 s', '3 min 5 s', '2 h 10 min'."""
    if ms is None:
        return NOTHING
    if ms < 1000:
        return _("%(n)s ms") % {"n": ms}
    seconds = ms / 1000
    if seconds < 60:
        return _("%(n)s s") % {"n": formats.number_format(seconds, 1)}
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": rest}
    hours, minutes = divmod(minutes, 60)
    words = {"hours": formats.number_format(hours, 0, force_grouping=True), "minutes": minutes}
    return _("%(hours)s h %(minutes)d min") % words
