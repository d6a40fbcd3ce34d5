"""Threads of our own for what finds the way to Redis.

Those of the loop belong to the tasks: when all of them hang in ``asyncio.to_thread``, a lookup of the
server's name would wait behind them for ever, and the worker with it, though the server is there (R14).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

THREADS = 4

T = TypeVar("T")

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()
ours: ContextVar[bool] = ContextVar("ardiq_aside", default=False)
"""Whether the running code is on the way to Redis; what tasks look up stays with the threads of the loop."""


def equip() -> None:
    """Give the running loop these threads. (uvloop looks up names in threads that tasks cannot take.)"""
    loop = asyncio.get_running_loop()
    if loop in _pools:
        return
    pool = _pools[loop] = ThreadPoolExecutor(THREADS, thread_name_prefix="ardiq-aside")
    if isinstance(loop, asyncio.BaseEventLoop):
        plain = loop.getaddrinfo

        async def getaddrinfo(host: Any, port: Any, **how: int) -> Any:
            if not ours.get():
                return await plain(host, port, **how)
            return await loop.run_in_executor(pool, partial(socket.getaddrinfo, host, port, **how))

        loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]


async def aside(function: Callable[..., T], *args: Any) -> T:
    """``function(*args)`` in one of these threads; where there are none, in one of the loop's."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_pools.get(loop), function, *args)
