"""What surrounds the code of tasks, given by the framework that a worker serves."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ardiq.worker.effects import Effects


class Around(Effects, Protocol):
    """What surrounds user code: the only thing a worker knows of the framework that it serves."""

    def sync_job(self) -> AbstractContextManager[None]: ...
    def put(self, names: tuple[str, ...], context: Mapping[str, Any]) -> None:
        """Put in force what travelled with a job, as far as ``names`` allow; in the context of the job."""

    def begin_async(self) -> Any:
        """Called inside the context of the job, before its body."""

    def end_async(self, begun: Any) -> Awaitable[None] | None:
        """Called after it with what ``begin_async`` returned; what must be awaited, if anything."""

    def thread_ends(self) -> None: ...
    def resolve(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]: ...
    async def resolve_async(
        self, args: list[Any], kwargs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]: ...
