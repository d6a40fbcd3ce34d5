"""Celery's names on ardiq's engine, so that a code base moves one import at a time: ``from celery import
shared_task`` becomes ``from ardiq.contrib.celery import shared_task``, and so on for ``celery.result`` and
``celery.exceptions``.

It takes what most code uses. What would mean something else here is refused, in words that say what to
use; what makes no difference here is accepted. docs/how-to/move-from-celery.md has both lists. Celery itself
is not needed.
"""

from __future__ import annotations

from typing import NoReturn

from ardiq.contrib.celery.app import Celery, current_app, current_task
from ardiq.contrib.celery.signatures import CANVAS, Signature
from ardiq.contrib.celery.tasks import Task, shared_task

__all__ = ["Celery", "Signature", "Task", "current_app", "current_task", "shared_task"]

_CANVAS = ("chain", "chord", "chunks", "group", "maybe_signature", "signature", "subtask", "xmap", "xstarmap")


def __getattr__(name: str) -> NoReturn:
    if name in _CANVAS:
        raise NotImplementedError(f"{name}: {CANVAS}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
