"""The one rule for names of queues, lanes and tasks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from ardiq.core.redact import shown

_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
LIMITS = {"task": 200}
LIMIT = 100


def check_name(kind: str, value: object) -> str:
    """Return the name of a queue, lane or task, or raise ValueError with the value, the rule and the way out.

    Braces would move a key to another Redis Cluster slot and colons would make two keys one, so
    only letters, digits and ``_ . -`` are allowed.
    """
    limit = LIMITS.get(kind, LIMIT)
    if isinstance(value, str) and len(value) <= limit and _NAME.fullmatch(value):
        return str.__str__(value)
    way_out = "give the task a plain name with @task(name=...)" if kind == "task" else f"rename the {kind}"
    raise ValueError(
        f"{shown(value)} is no valid {kind} name: a {kind} name is 1 to {limit} of the characters "
        f"A-Z a-z 0-9 _ . - ; {way_out}."
    )


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """``Did you mean X?`` for a misspelt name, else the list of all that are known."""
    names = sorted(known)
    if isinstance(value, str):
        for name in names:
            if name.lower() == value.lower():
                return f"Did you mean {name}?"
        upper = any(name.isupper() for name in names)
        close = difflib.get_close_matches(value.upper() if upper else value.lower(), names, n=1)
        if close:
            return f"Did you mean {close[0]}?"
    return f"Known: {', '.join(names)}." if names else "There are none."
