"""Django's upkeep around each job: database connections, and model instances passed as arguments.

The one place that knows of Django's connections. A thread that never opened one pays next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connections, reset_queries

from ardiq import references


def _has_connections() -> bool:
    return any(True for _ in connections.all(initialized_only=True))


def _tidy() -> None:
    if _has_connections():
        reset_queries()
        close_old_connections()


@contextmanager
def _sync_job() -> Iterator[None]:
    _tidy()
    try:
        yield
    finally:
        _tidy()


class _AsyncJob:
    """A thread-sensitive context of its own, so that the ORM calls of one job never wait for another's."""

    __slots__ = ("_context",)

    async def __aenter__(self) -> None:
        self._context = ThreadSensitiveContext()
        await self._context.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        # The thread of this context ends with the job, and its connections must be closed inside it.
        if self._context in SyncToAsync.context_to_thread_executor:
            await sync_to_async(connections.close_all, thread_sensitive=True)()
        await self._context.__aexit__(*error)


class DjangoUpkeep:
    """What a worker puts around jobs inside a Django project (worker.runner.Around)."""

    def sync_job(self) -> AbstractContextManager[None]:
        return _sync_job()

    def async_job(self) -> AbstractAsyncContextManager[None]:
        return _AsyncJob()

    def thread_ends(self) -> None:
        connections.close_all()

    def resolve(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        return references.resolve(args), references.resolve(kwargs)

    async def resolve_async(
        self, args: list[Any], kwargs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        return await sync_to_async(self.resolve, thread_sensitive=True)(args, kwargs)
