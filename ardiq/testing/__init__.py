"""The testing kit: for tests of projects that enqueue. It may join all rooms; nothing of ardiq imports it.

Names load on first use: the pytest plugin lives here, and is imported before there are settings.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ardiq.testing.background import worker
    from ardiq.testing.blocks import assert_enqueued, assert_not_enqueued, capture, fake, immediate
    from ardiq.testing.captured import Captured, Enqueued
    from ardiq.testing.draining import Ran, arun_jobs, run_jobs
    from ardiq.testing.travelling import travel

_HOMES = {
    "worker": "background",
    "assert_enqueued": "blocks",
    "assert_not_enqueued": "blocks",
    "capture": "blocks",
    "fake": "blocks",
    "immediate": "blocks",
    "Captured": "captured",
    "Enqueued": "captured",
    "Ran": "draining",
    "arun_jobs": "draining",
    "run_jobs": "draining",
    "travel": "travelling",
}

__all__ = [
    "Captured",
    "Enqueued",
    "Ran",
    "arun_jobs",
    "assert_enqueued",
    "assert_not_enqueued",
    "capture",
    "fake",
    "immediate",
    "run_jobs",
    "travel",
    "worker",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
