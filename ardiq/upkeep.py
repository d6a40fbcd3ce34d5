"""Django's upkeep around each job: database connections, and model instances passed as arguments.

The one place that knows of Django's connections. A thread that never opened one pays next to nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created

from ardiq import once, propagation, references
from ardiq.core.life import Life


class _Opened(threading.local):
    """Whether this thread has opened a connection; None as long as nobody has looked."""

    ever: bool | None = None


_opened = _Opened()


def _note(**told: Any) -> None:
    _opened.ever = True


# Django tells of each connection that is opened. To ask it for those of a thread takes longer than a small
# job does otherwise, and is done once.
connection_created.connect(_note)


def _tidy() -> None:
    if _opened.ever is None:
        _opened.ever = bool(connections.all(initialized_only=True))
    if _opened.ever:
        reset_queries()
        close_old_connections()


class _Tidied:
    def __enter__(self) -> None:
        _tidy()

    def __exit__(self, *raised: object) -> None:
        _tidy()


_TIDIED = _Tidied()


async def _close(context: ThreadSensitiveContext) -> None:
    # The thread of this context ends with the job, and its connections must be closed inside it.
    await sync_to_async(connections.close_all, thread_sensitive=True)()
    executor = SyncToAsync.context_to_thread_executor.pop(context, None)
    if executor is not None:
        executor.shutdown(wait=False)


class DjangoUpkeep:
    """What a worker puts around jobs inside a Django project (worker.runner.Around)."""

    def sync_job(self) -> AbstractContextManager[None]:
        return _TIDIED

    def put(self, names: tuple[str, ...], context: Mapping[str, Any]) -> None:
        propagation.carrier(names).put(context)

    def begin_async(self) -> ThreadSensitiveContext:
        """A thread-sensitive context of its own, so that the ORM calls of one job never wait for another's.

        Not by ``async with``: the job runs in a context that ends with it, so there is nothing to reset.
        """
        context = ThreadSensitiveContext()
        SyncToAsync.thread_sensitive_context.set(context)
        return context

    def end_async(self, begun: ThreadSensitiveContext) -> Awaitable[None] | None:
        threads = SyncToAsync.context_to_thread_executor
        return _close(begun) if threads and begun in threads else None

    def thread_ends(self) -> None:
        connections.close_all()

    def once(
        self, life: Life, body: Callable[[], Any], pack: Callable[[Any], bytes]
    ) -> tuple[Any, bytes | None]:
        return once.run(life, body, pack)

    def resolve(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        resolved: tuple[list[Any], dict[str, Any]] = references.resolve((args, kwargs))
        return resolved

    async def resolve_async(
        self, args: list[Any], kwargs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        return await sync_to_async(self.resolve, thread_sensitive=True)(args, kwargs)
