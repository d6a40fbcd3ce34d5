"""Threads for errands of the worker that tasks cannot take.

Those of the loop belong to the tasks: when all of them hang in ``asyncio.to_thread``, whatever else waits for
one waits for ever, and a job with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


class Reserve:
    """``most`` threads for one kind of errand, each made when it is needed first."""

    def __init__(self, name: str, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=name)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """``function(*args)`` in one of them, in the caller's context. RuntimeError when there is no thread
        to be had."""
        run = copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._pool, run, function, *args)
