"""The ARDIQ setting, read lazily: queue name (alias) -> checked Options, until settings change.

Importing this needs no configured settings, and nothing here touches the network.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from ardiq.core.address import EMBEDDED
from ardiq.core.names import did_you_mean
from ardiq.core.options import Complaint, Options
from ardiq.core.options import complaints as option_complaints
from ardiq.core.redact import shown
from ardiq.core.rules import RULES

DEFAULT_ALIAS = "default"
REDIS_URL = "redis://localhost:6379/0"
WATCHED = {"ARDIQ", "TIME_ZONE", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "BASE_DIR"}

_options: dict[str, Options] = {}
_keys: list[tuple[bytes, ...]] = []
_version = [object()]
_places: list[str] = []


def defaults() -> dict[str, object]:
    """What the environment and Django's own settings say where ARDIQ is silent, keys in lower case."""
    return {
        "redis_url": os.environ.get("ARDIQ_REDIS_URL") or REDIS_URL,
        "time_zone": settings.TIME_ZONE,
    }


def locate(url: str) -> str:
    """``embedded://`` without a directory means BASE_DIR/.ardiq; any other URL is returned as it is."""
    base = getattr(settings, "BASE_DIR", None)
    return f"{EMBEDDED}{base}/.ardiq" if url in (EMBEDDED, f"{EMBEDDED}/") and base else url


def aliases() -> list[str]:
    """The names of all queues in settings. Raises ImproperlyConfigured when ARDIQ has the wrong shape."""
    return list(_queues())


def options(alias: str = DEFAULT_ALIAS) -> Options:
    """The options of one queue. Raises ImproperlyConfigured when they are wrong, or it is not in settings."""
    try:
        return _options[alias]
    except (KeyError, TypeError):
        pass
    queues = _queues()
    if alias not in queues:
        hint = did_you_mean(alias, queues)
        raise ImproperlyConfigured(f"There is no queue {shown(alias)} in the ARDIQ setting. {hint}")
    found = _complaints(alias, queues[alias])
    if found:
        raise ImproperlyConfigured("\n".join(map(str, found)))
    given = _filled(queues[alias])
    given["REDIS_URL"] = locate(given["REDIS_URL"])
    return _options.setdefault(alias, _placed(Options.build(alias, given, upper=True)))


def says(alias: str, option: str) -> bool:
    """Whether settings give this option (in capitals) of a queue, and do not leave it to its default."""
    return _have_settings() and option in _queues().get(alias, {})


def merged(queue: str, given: Mapping[str, object]) -> Options:
    """Options built in code (keys in lower case) over those that settings have for the same queue.

    Works without settings, too. Raises OptionError for what is wrong with ``given``.
    """
    if not given and _have_settings() and queue in _queues():
        return options(queue)
    base: dict[str, Any] = {"redis_url": os.environ.get("ARDIQ_REDIS_URL") or REDIS_URL}
    if _have_settings():
        base = defaults() | {key.lower(): value for key, value in _queues().get(queue, {}).items()}
    if "priorities" in given:
        # Lanes and what is said about lanes belong together.
        for option in ("default_priority", "lane_weights", "lane_limits"):
            base.pop(option, None)
    built = Options.build(queue, given, **base)
    url = locate(built.redis_url) if _have_settings() else built.redis_url
    if url != built.redis_url:
        built = Options.build(queue, {**given, "redis_url": url}, **base)
    return _placed(built)


@contextmanager
def elsewhere(url: str) -> Iterator[None]:
    """Meanwhile every queue lives at this URL, whatever settings and code say. For tests."""
    _places.append(url)
    _changed()
    try:
        yield
    finally:
        _places.remove(url)
        _changed()


def _placed(built: Options) -> Options:
    return replace(built, redis_url=locate(_places[-1]), redis_options={}) if _places else built


def known_aliases() -> list[str]:
    """``aliases()``, and just "default" where there are no settings at all."""
    return aliases() if _have_settings() else [DEFAULT_ALIAS]


def version() -> object:
    """Another object whenever settings change: whoever keeps options asks whether they still hold."""
    return _version[0]


def _have_settings() -> bool:
    return settings.configured or bool(os.environ.get("DJANGO_SETTINGS_MODULE"))


def complaints() -> list[Complaint]:
    """Everything that is wrong with the ARDIQ setting, for the system check."""
    wrong = _wrong_shape(_setting())
    if wrong is not None:
        return [wrong]
    return [complaint for alias, given in _queues().items() for complaint in _complaints(alias, given)]


def signing_keys(options: Options) -> tuple[bytes, ...]:
    """Key material for the codec: the first signs, all verify; () is no signing.

    SIGNING_KEY where it is set, else SECRET_KEY and then SECRET_KEY_FALLBACKS.
    """
    if not options.signing:
        return ()
    if options.signing_key is not None:
        given = options.signing_key
        return _bytes([given] if isinstance(given, (str, bytes)) else given)
    if not _have_settings():
        return ()
    if not _keys:
        try:
            secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
        except ImproperlyConfigured:
            return ()  # SECRET_KEY is empty, or there are no settings (yet)
        _keys.append(_bytes(secrets))
    return _keys[0]


def _bytes(secrets: Iterable[object]) -> tuple[bytes, ...]:
    return tuple(key if isinstance(key, bytes) else str(key).encode() for key in secrets if key)


def _setting() -> object:
    setting = getattr(settings, "ARDIQ", None)
    return {DEFAULT_ALIAS: {}} if setting is None or setting == {} else setting


def _queues() -> Mapping[str, Mapping[str, object]]:
    setting: Any = _setting()
    wrong = _wrong_shape(setting)
    if wrong is not None:
        raise ImproperlyConfigured(str(wrong))
    return setting  # type: ignore[no-any-return]


def _filled(given: Mapping[str, object]) -> dict[str, Any]:
    return {**{option.upper(): value for option, value in defaults().items()}, **given}


def _complaints(alias: str, given: Mapping[str, object]) -> list[Complaint]:
    return option_complaints(alias, _filled(given), upper=True)


def _wrong_shape(setting: object) -> Complaint | None:
    if not isinstance(setting, Mapping):
        message = f"ARDIQ is a {type(setting).__name__}: it must be a dict of queue names to their options."
        return _shape(message, "Write ARDIQ = {'default': {'REDIS_URL': '...'}}.")
    flat = [key for key in setting if isinstance(key, str) and key.lower() in RULES]
    if flat:
        message = f"ARDIQ[{flat[0]!r}] is an option where a queue name belongs."
        return _shape(message, f"Nest the options: ARDIQ = {{'default': {{{flat[0]!r}: ...}}}}.")
    for alias, given in setting.items():
        if not isinstance(given, Mapping):
            message = f"ARDIQ[{shown(alias)}] is a {type(given).__name__}: it must be a dict of options."
            return _shape(message, f"Write ARDIQ = {{{shown(alias)}: {{'REDIS_URL': '...'}}}}.")
    return None


def _shape(message: str, hint: str) -> Complaint:
    return Complaint("E001", "ardiq", message, hint)


def _forget(*, setting: str, **kwargs: object) -> None:
    if setting in WATCHED:
        _changed()


def _changed() -> None:
    _options.clear()
    _keys.clear()
    _version[0] = object()


setting_changed.connect(_forget, dispatch_uid="ardiq.conf")
