"""Things by their dotted path, as settings name them. Nothing else is imported by a name that is data, and
nothing from Redis ever gets here (FAULTS S1)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ardiq.core.redact import shown


def resolve(value: object) -> Callable[..., Any]:
    """A callable as it is, or imported from its dotted path. Raises ImportError."""
    if callable(value):
        return value
    if not isinstance(value, str) or "." not in value:
        raise ImportError("it must be a callable or the dotted path of one, as in 'shop.codecs.dumps'")
    module, _, name = value.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except Exception as problem:
        raise ImportError(f"it cannot be imported: {type(problem).__name__}: {problem}") from problem
    if not callable(found):
        raise ImportError(f"it names {shown(found)}, which is not callable")
    return found  # type: ignore[no-any-return]
