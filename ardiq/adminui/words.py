"""Timetables in words, by cron-descriptor where the extra ``admin`` is installed, else as they are spelt."""

from __future__ import annotations

import calendar
import re
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import get_language, to_locale
from django.utils.translation import gettext as _

from ardiq.adminui.text import plain
from ardiq.adminui.times import span
from ardiq.core.cron import Timetable

descriptor: Any = None
with suppress(ImportError):
    descriptor = import_module("cron_descriptor")

# Where the language alone does not name a file of the library.
LOCALES = {
    "cs": "cs_CZ", "da": "da_DK", "el": "el_GR", "fa": "fa_IR", "he": "he_IL", "ja": "ja_JP", "kk": "kk_KZ",
    "ko": "ko_KR", "nb": "nb_NO", "sl": "sl_SI", "sv": "sv_SE", "ta": "ta_IN", "uk": "uk_UA", "vi": "vi_VN",
    "zh_Hans": "zh_CN", "zh_Hant": "zh_TW",
}  # fmt: skip


def in_words(timetable: Timetable) -> str:
    """'At 07:00, Monday through Friday'; the expression itself where it cannot be told."""
    if timetable.every_ms:
        return _("Every %s") % span(timetable.every_ms / 1000)
    return _described(timetable.expression) or plain(timetable.spelt, 200)


def _described(expression: str) -> str:
    if descriptor is None:
        return ""
    options = descriptor.Options()
    options.use_24hour_time_format = True
    language = get_language() or "en"
    options.locale_code = _locale(language)
    if not options.locale_code:
        return ""
    try:
        told = plain(descriptor.ExpressionDescriptor(expression, options).get_description(), 300)
    except Exception:
        # It knows less than cronsim, and its errors have no common base; the expression says the same.
        return ""
    return told if language.startswith("en") else _with_names(told)


def _locale(language: str) -> str:
    """What the library calls a language; '' where it does not know it and would speak English."""
    locale = to_locale(language)
    code = LOCALES.get(locale) or (locale if "_" in locale else f"{locale}_{locale.upper()}")
    if language.startswith("en") or (Path(descriptor.__file__).parent / "locale" / f"{code}.mo").is_file():
        return code
    return _locale(language.partition("-")[0]) if "-" in language else ""


def _with_names(told: str) -> str:
    """The names of days and months are those of the process where they come from the library."""
    names = dict(zip(calendar.day_name, WEEKDAYS.values(), strict=True))
    names |= dict(zip(list(calendar.month_name)[1:], MONTHS.values(), strict=True))
    either = "|".join(re.escape(name) for name in names)
    return re.sub(rf"\b({either})\b", lambda found: str(names[found[0]]), told)
