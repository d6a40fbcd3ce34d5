"""What people may see: values as short text, with passwords masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from inspect import Parameter, Signature
from typing import Any

MASK = "********"
SECRET = re.compile(r"pass|secret|token|credential|private|api_?key", re.IGNORECASE)
# Wider than for options: what tasks are given is data of people. Authors are shown, authorization is not.
PRIVATE = re.compile(
    r"api|auth(?!or(?!i[szt]))|token|key|secret|pass|signature|cookie|card|iban|credential|private",
    re.IGNORECASE,
)
_SHORTEST = 4  # characters; masking shorter values wherever they occur would make texts unreadable
_QUERY_SECRET = re.compile(r"([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)


def safe_url(url: str) -> str:
    """The URL without its password, for logs, banners and error messages.

    Everything up to the *last* @ counts as user and password: a password that somebody forgot to
    quote may hold any character, and showing less of an odd URL beats showing half a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return MASK if "@" in url else url
    userinfo, at, place = rest.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    shown = f"{user}:{MASK}@" if colon else f"{user}{at}"
    return _QUERY_SECRET.sub(rf"\1{MASK}", f"{scheme}://{shown}{place}")


def masked(value: object, secret: re.Pattern[str] = SECRET) -> object:
    """A copy of nested data in which the values of secret-sounding keys are masked."""
    if isinstance(value, Mapping):
        return {
            key: MASK
            if isinstance(key, str) and secret.search(key) and item is not None
            else masked(item, secret)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item, secret) for item in value]
    if isinstance(value, tuple):
        return tuple(masked(item, secret) for item in value)
    return safe_url(value) if isinstance(value, str) and "://" in value else value


def shown(value: object, limit: int = 80) -> str:
    """``repr`` for messages: at most ``limit`` characters, and never an exception of its own."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}, whose repr fails>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def masked_call(
    signature: Signature | None,
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    private: re.Pattern[str] = PRIVATE,
) -> tuple[list[tuple[str, object]], set[str]]:
    """((name, value) of each argument with secrets masked, the secrets as text).

    A positional argument has the name that the signature gives it, and only its number without one.
    """
    named = [*zip(_names(signature), args, strict=False), *kwargs.items()]
    secrets = {text for name, value in named for text in _secrets(value, bool(private.search(name)), private)}
    shown_ = [
        (name, MASK if private.search(name) and value is not None else masked(value, private))
        for name, value in named
    ]
    return shown_, secrets


def _names(signature: Signature | None) -> Iterator[str]:
    number = 0
    for parameter in signature.parameters.values() if signature else ():
        if parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
            yield parameter.name
            number += 1
        elif parameter.kind is Parameter.VAR_POSITIONAL:
            for at in range(1_000_000):
                yield f"{parameter.name}[{at}]"
    while True:
        yield f"[{number}]"
        number += 1


def _secrets(value: Any, secret: bool, private: re.Pattern[str]) -> Iterator[str]:
    """Every text in a value that is masked, or stands under a masked key."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(item, secret or (isinstance(key, str) and bool(private.search(key))), private)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _secrets(item, secret, private)
    elif secret and value is not None and len(text := str(value)) >= _SHORTEST:
        # As messages quote it: a key of several lines is spelt with escapes there.
        yield from {text, repr(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def masked_text(text: str, secrets: Iterable[str]) -> str:
    """The text with every occurrence of a secret masked."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
