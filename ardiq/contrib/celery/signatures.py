"""``task.s(...)``: a call that is made later. Only that: what composes calls is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Protocol

from ardiq.contrib.celery.result import AsyncResult


class Callee(Protocol):
    """The task of a signature."""

    name: str

    def apply_async(
        self, args: Iterable[Any] | None, kwargs: Mapping[str, Any] | None, **options: Any
    ) -> AsyncResult: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


CANVAS = (
    "Celery's canvas does not exist here. Instead of a chain or a chord enqueue the next task at the end of "
    "the one before, instead of a group call ardiq.enqueue_many_sync([task.ardiq.prepare(...), ...])."
)


class Signature:
    """A task with arguments and options. ``immutable``: it takes no more arguments."""

    def __init__(
        self, task: Callee, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None, immutable: bool = False,
    ) -> None:  # fmt: skip
        self.task, self.immutable = task, immutable
        self.args, self.kwargs, self.options = tuple(args), dict(kwargs or {}), dict(options or {})

    def __repr__(self) -> str:
        return f"<{self.task.name} with {self.args} {self.kwargs}>"

    def set(self, **options: Any) -> Signature:
        """Add options of apply_async, and return the signature itself."""
        self.options.update(options)
        return self

    def clone(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Signature:
        """A copy with more arguments: those that come now stand before those that were there."""
        if self.immutable:
            args, kwargs = (), {}
        return Signature(
            self.task, (*args, *self.args), {**self.kwargs, **(kwargs or {})}, self.options, self.immutable
        )

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult:
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        call = self.clone(args or (), kwargs)
        return self.task.apply_async(call.args, call.kwargs, **{**self.options, **options})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self.clone(args, kwargs)
        return self.task(*call.args, **call.kwargs)

    def _refused(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(CANVAS)

    __or__ = __ror__ = link = link_error = on_error = _refused
