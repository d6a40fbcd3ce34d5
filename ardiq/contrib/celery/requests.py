"""``self.request``: what a task may know of the call that runs it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ardiq.core.context import JobContext


@dataclass(frozen=True)
class Request:
    """``retries`` counts from 0. ``called_directly``: nobody but a function call runs it."""

    task: str
    id: str | None = None
    retries: int = 0
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    called_directly: bool = True
    is_eager: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery_info: Mapping[str, str] = field(default_factory=dict)
    hostname: str = field(default_factory=socket.gethostname)

    @classmethod
    def of(cls, job: JobContext, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Request:
        return cls(
            job.name, job.id, job.attempt - 1, args, kwargs, False, False, job.headers,
            {"routing_key": job.queue, "exchange": "", "priority": job.lane},
        )  # fmt: skip

    @property
    def root_id(self) -> str | None:
        return self.id

    correlation_id = root_id
