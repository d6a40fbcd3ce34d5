"""Headers: a few short texts that travel with a job, for tracing and the like."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ardiq.core.redact import shown

COUNT_MOST = 32
BYTES_MOST = 4_096  # of all names and values


def checked_headers(given: object) -> dict[str, str]:
    """A copy. Raises TypeError or ValueError that says what headers are."""
    if not isinstance(given, Mapping):
        raise TypeError(f"headers={shown(given)}: give a dict of str to str.")
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"headers: {shown(name)}: {shown(value)}; give a dict of str to str.")
        if not name or not name.isprintable():
            raise ValueError(f"headers: {shown(name)} is no name; give printable text.")
    if len(given) > COUNT_MOST:
        raise ValueError(f"headers has {len(given)} entries; give at most {COUNT_MOST}.")
    try:
        size = sum(len(text.encode()) for item in given.items() for text in item)
    except UnicodeEncodeError:
        raise ValueError("headers holds half of a surrogate pair, which UTF-8 cannot spell.") from None
    if size > BYTES_MOST:
        raise ValueError(f"headers takes {size:,} bytes; give at most {BYTES_MOST:,}, or pass an argument.")
    return dict(given)


def read_headers(meta: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Those among the options of a call, not to be changed; None where there are none."""
    found = meta.get("headers")
    if not isinstance(found, dict) or not found:
        return None
    return MappingProxyType({str(name): str(value) for name, value in found.items()})
