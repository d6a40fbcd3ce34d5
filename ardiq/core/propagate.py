"""What PROPAGATE may name: what travels with a job from where it is enqueued to where it runs.

Only settings name a variable, never what comes from Redis (FAULTS S1).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from importlib import import_module
from typing import Any

LANGUAGE, TIME_ZONE, ENQUEUED_BY = "language", "time_zone", "enqueued_by"
BUILT_IN = (LANGUAGE, TIME_ZONE, ENQUEUED_BY)


def variable(path: str) -> ContextVar[Any]:
    """A ContextVar by its dotted path. Raises ImportError."""
    module, dot, name = path.rpartition(".")
    if not dot:
        raise ImportError(
            f"{path!r} is neither 'language' nor 'time_zone' nor 'enqueued_by' nor the dotted path of a "
            "ContextVar"
        )
    try:
        found = getattr(import_module(module), name)
    except Exception as problem:
        raise ImportError(f"{path!r} cannot be imported: {type(problem).__name__}: {problem}") from problem
    if not isinstance(found, ContextVar):
        raise ImportError(f"{path!r} is a {type(found).__name__} and must be a ContextVar")
    return found


def variables(names: Iterable[str]) -> dict[str, ContextVar[Any]]:
    """Those among the names that are variables. Raises ImportError."""
    return {name: variable(name) for name in names if name not in BUILT_IN}


def fault(value: object) -> str | None:
    """What is wrong with PROPAGATE, as a rule says it; None for nothing."""
    names: Any = value if isinstance(value, (list, tuple)) else [None]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return (
            "it must be a list of 'language', 'time_zone', 'enqueued_by' and dotted paths of ContextVars, "
            "each once"
        )
    try:
        variables(names)
    except ImportError as problem:
        return str(problem)
    return None
