"""Front door one: ``Ardiq``, one queue with its tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar, overload

from django.core.exceptions import ImproperlyConfigured

from ardiq import bulk, conf, owners
from ardiq.connection import Broker, broker
from ardiq.controls import Controls
from ardiq.core.names import check_name, did_you_mean
from ardiq.core.options import Options
from ardiq.core.recurrence import Recurrence
from ardiq.core.registry import Definition, Registry, UniqueKey
from ardiq.core.retry import Backoff
from ardiq.decorators import Decorator
from ardiq.enqueuing import AsyncTask, Prepared, Ref, Task
from ardiq.owners import ErrorHook, Lifespan
from ardiq.results import Job

P = ParamSpec("P")
R = TypeVar("R")
Exceptions = type[BaseException] | tuple[type[BaseException], ...]


TASK_OPTIONS = {"name", "priority"} | {field.name for field in fields(Definition)} - {
    "fn",
    "lane",
    "described",
}


class Ardiq(Controls):
    """One queue: its options, its tasks, and the ways to enqueue and to look.

    Inside a Django project the options of the same queue in ``settings.ARDIQ`` hold where none are
    given here. Raises OptionError (a ValueError) for an unknown or invalid option.
    """

    def __init__(
        self,
        queue_name: str = "default",
        priorities: Iterable[str] | None = None,
        redis_url: str | None = None,
        **options: Any,
    ) -> None:
        check_name("queue", queue_name)
        self.queue_name = queue_name
        self._given = dict(options)
        if priorities is not None:
            self._given["priorities"] = list(priorities)
        if redis_url is not None:
            self._given["redis_url"] = redis_url
        self._options: tuple[object, Options] | None = None
        self._broker: tuple[object, Broker] | None = None
        self.registry = Registry()
        self.tasks: dict[str, Task[..., Any]] = {}
        self.crons: dict[str, Recurrence] = {}
        self.error_hooks: list[ErrorHook] = []
        self.lifespan_hooks: list[Lifespan] = []
        self.state = SimpleNamespace()
        self.from_settings = False
        if self._given:
            self.options  # noqa: B018 - an invalid option is refused here, not at the first enqueue
        owners.add(self)

    def __repr__(self) -> str:
        return f"<Ardiq queue {self.queue_name!r} with {len(self.tasks)} tasks>"

    @property
    def options(self) -> Options:
        """The options in force, read anew after settings have changed."""
        version = conf.version()
        if self._options is None or self._options[0] is not version:
            self._options = (version, conf.merged(self.queue_name, self._given))
        return self._options[1]

    @property
    def broker(self) -> Broker:
        """How to reach the queue with the options in force."""
        version = conf.version()
        if self._broker is None or self._broker[0] is not version:
            self._broker = (version, broker(self.options))
        return self._broker[1]

    def check_lane(self, lane: str) -> str:
        """Raise ValueError for a lane that this queue does not have."""
        return self.options.check_lane(lane)

    # -- defining ---------------------------------------------------------------------------------

    @overload
    def task(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, /, **options: Any) -> Decorator: ...
    def task(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Register a function as a task, bare or with options: name, priority, max_retries, backoff_ms,
        retry_on, dont_retry_on, timeout (seconds, or a timedelta), unique, unique_until, unique_ttl_ms,
        debounce_ms, debounce_max_ms, throttle_ms, result_ttl_ms, sensitive, keep_logs, durable, once,
        admin_enqueue, on_missing, subject, executor."""

        def register(function: Callable[..., Any]) -> Task[..., Any]:
            for option in options:
                if option not in TASK_OPTIONS:
                    hint = did_you_mean(option, TASK_OPTIONS)
                    raise TypeError(f"@task knows no option {option!r}. {hint}")
            definition = self._define(function, **options)
            for owner in owners.of(self.queue_name):
                # A worker of this queue looks in all of them, and would run whichever it found first.
                owner.registry.check_free(definition, again=owner is not self)
            self.registry.add(definition)
            made: Task[..., Any] = (AsyncTask if definition.is_async else Task)(self, definition)
            self.tasks[definition.name] = made
            return made

        return register if fn is None else register(fn)

    def _define(
        self,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: str | None = None,
        max_retries: int | None = None,
        backoff_ms: Backoff | None = None,
        retry_on: Exceptions = Exception,
        dont_retry_on: Exceptions = (),
        timeout: float | timedelta | None = None,
        unique: bool | UniqueKey = False,
        unique_until: str = "done",
        unique_ttl_ms: int = 0,
        debounce_ms: int = 0,
        debounce_max_ms: int = 0,
        throttle_ms: int = 0,
        result_ttl_ms: int | None = None,
        executor: str = "thread",
        durable: bool | None = None,
        once: bool | str = False,
        sensitive: Sequence[str] = (),
        keep_logs: bool = False,
        admin_enqueue: bool = False,
        on_missing: str = "fail",
        subject: str = "",
    ) -> Definition:
        if queue not in (None, self.queue_name):
            raise ValueError(f"queue={queue!r}: this decorator belongs to the queue {self.queue_name!r}.")
        if priority is not None:
            # With settings that are wrong altogether tasks.py is imported all the same, so that the system
            # check can say what is wrong with them; the first use raises.
            with suppress(ImproperlyConfigured):
                self.check_lane(priority)
        return Definition.checked(
            fn,
            name=name,
            queue=self.queue_name,
            lane=priority or "",
            max_retries=max_retries,
            backoff_ms=backoff_ms,
            retry_on=retry_on,
            dont_retry_on=dont_retry_on,
            timeout=timeout,
            unique=unique,
            unique_until=unique_until,
            unique_ttl_ms=unique_ttl_ms,
            debounce_ms=debounce_ms,
            debounce_max_ms=debounce_max_ms,
            throttle_ms=throttle_ms,
            result_ttl_ms=result_ttl_ms,
            executor=executor,
            durable=durable,
            once=once,
            sensitive=sensitive,
            keep_logs=keep_logs,
            admin_enqueue=admin_enqueue,
            on_missing=on_missing,
            subject=subject,
        )

    def on_error(self, hook: ErrorHook) -> ErrorHook:
        """Register a hook, sync or async, called as ``hook(error, job)`` after every failed attempt and
        the last ``Retry``. Hooks run in order; one that raises is logged and changes nothing."""
        self.error_hooks.append(hook)
        return hook

    def lifespan(
        self, hook: Callable[[Ardiq], AsyncIterator[None]]
    ) -> Callable[[Ardiq], AsyncIterator[None]]:
        """Register an async generator that takes this object: what stands before its ``yield`` runs once
        in each worker process before any job, the rest after the last one. Keep things in ``state``."""
        self.lifespan_hooks.append(asynccontextmanager(hook))
        return hook

    # -- running ----------------------------------------------------------------------------------

    def run(self, *, burst: bool = False) -> None:
        """Run a worker of this queue here until ``stop`` or a signal; with ``burst`` until nothing is due."""
        from ardiq import running

        running.run_app(self, burst)

    def stop(self) -> None:
        """Stop the worker that ``run`` runs, gracefully; from any thread or a signal handler."""
        owners.stop(self)

    # -- enqueuing --------------------------------------------------------------------------------

    def targets(self) -> list[Task[..., Any]]:
        """What keeps a start of its plain calls."""
        return list(self.tasks.values())

    def offers(self) -> dict[str, Task[..., Any]]:
        """What can be enqueued by the names of tasks: here the tasks themselves."""
        return self.tasks

    def ref(self, name: str) -> Ref:
        """A task by name, for producers that cannot import it.

        One that is registered here for the same queue, by whichever Ardiq, brings its lane and options.
        """
        if name in self.registry:
            return Ref(self, name)
        known = (owner for owner in owners.of(self.queue_name) if name in owner.registry)
        return Ref(next(known, self), name)

    async def send(self, name: str, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Enqueue a task by its name."""
        return await self.ref(name).enqueue(*args, **kwargs)

    def send_sync(self, name: str, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """``send`` for sync code."""
        return self.ref(name).enqueue_sync(*args, **kwargs)

    async def enqueue_many(self, calls: Iterable[Prepared]) -> list[Job[Any]]:
        """Enqueue prepared calls of any mix of tasks, in order: ``enqueue_many(add.prepare(i) for i in x)``.

        Everything is checked before anything is sent. One round trip for each 500 jobs; not atomic
        across those. Raises BrokerError when Redis cannot be reached.
        """
        return await bulk.enqueue(self, calls)

    def enqueue_many_sync(self, calls: Iterable[Prepared]) -> list[Job[Any]]:
        """``enqueue_many`` for sync code; inside ``transaction.atomic()`` the jobs leave at commit."""
        return bulk.enqueue_sync(self, calls)
