"""``@shared_task`` and what it makes: a task of ardiq that is called, bound and retried as with Celery."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import wraps
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured

from ardiq import conf
from ardiq.api import TASK_OPTIONS
from ardiq.contrib.celery import calls, states
from ardiq.contrib.celery.exceptions import MaxRetriesExceededError
from ardiq.contrib.celery.requests import Request
from ardiq.contrib.celery.result import AsyncResult
from ardiq.contrib.celery.retrying import Retrying
from ardiq.contrib.celery.signatures import CANVAS, Signature
from ardiq.core.context import current_job
from ardiq.core.names import did_you_mean
from ardiq.core.registry import MOST_RETRIES
from ardiq.enqueuing import Bound, Ref
from ardiq.enqueuing import Task as ArdiqTask
from ardiq.shortcuts import queue as queue_of

# They change nothing here: a job is always acknowledged late, results are always stored unless ignored.
IGNORED = {
    "acks_late", "compression", "reject_on_worker_lost", "resultrepr_maxsize", "retry_on_worker_lost",
    "send_events", "serializer", "shared", "store_errors_even_if_ignored", "throws", "track_started", "trail",
    "typing",
}  # fmt: skip
REFUSED = {
    "base": "hooks stand beside tasks: on_error, or the signals of ardiq.signals",
    "rate_limit": "PRIORITIES and LANE_LIMITS bound what one worker holds of a lane",
    "pydantic": "check arguments in the task",
    "acks_on_failure_or_timeout": "a job that fails is a dead letter, to be replayed",
    "backend": "results lie in the Redis of the queue",
    "routing_key": "queue= names the queue",
    "exchange": "queue= names the queue",
}
MINE = {"name", "queue", "priority", "bind", "ignore_result", "time_limit", "soft_time_limit", "expires"}
OURS = TASK_OPTIONS - MINE - {"max_retries", "retry_on", "dont_retry_on", "backoff_ms", "timeout"}

_call: ContextVar[tuple[Task, tuple[Any, ...], dict[str, Any]] | None] = ContextVar("celery", default=None)


class Task:
    """A task. ``ardiq`` is what it is underneath, with everything that ``ardiq.task`` offers."""

    MaxRetriesExceededError = MaxRetriesExceededError

    def __init__(self, fn: Callable[..., Any], given: dict[str, Any]) -> None:
        options = _checked(given)
        self.run = fn
        self._bound = bool(options.pop("bind", False))
        self.ignore_result = bool(options.pop("ignore_result", False))
        self.expires = options.pop("expires", None)
        self.retrying = Retrying.of(options)
        self.max_retries = self.retrying.max_retries
        self.default_retry_delay = self.retrying.default_retry_delay
        self.time_limit = options.pop("time_limit", None)
        self.soft_time_limit = options.pop("soft_time_limit", None)
        self.queue: str = options.pop("queue", None) or "default"
        self._tasks = _register(self._body(), self.queue, self._definition(options))
        self.ardiq = self._tasks[self.queue]
        self.name = self.ardiq.name
        self.__doc__ = fn.__doc__
        self.__name__ = fn.__name__
        self.__module__ = fn.__module__
        self.__wrapped__ = fn

    def _definition(self, options: dict[str, Any]) -> dict[str, Any]:
        """Its options as a task of ardiq. Only a Retry runs it again, so that Celery's rules hold."""
        if options.get("priority") is not None:
            options["priority"] = calls.lane(options["priority"])
        if self.ignore_result:
            options.setdefault("result_ttl_ms", 0)
        soft, hard = self.soft_time_limit, self.time_limit
        killed = options.get("executor") == "process"
        options["timeout"] = (hard or soft) if killed else (soft or hard)
        return options | {"retry_on": (), "max_retries": MOST_RETRIES}

    def _body(self) -> Callable[..., Any]:
        """What a worker runs, with the signature that callers see."""
        run = self.run

        @wraps(run)
        def body(*args: Any, **kwargs: Any) -> Any:
            return self._within((self, args, kwargs), args, kwargs)

        @wraps(run)
        async def async_body(*args: Any, **kwargs: Any) -> Any:
            return await self._within_async((self, args, kwargs), args, kwargs)

        made: Any = async_body if inspect.iscoroutinefunction(run) else body
        if self._bound:
            signature = inspect.signature(run)
            made.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
        return made  # type: ignore[no-any-return]

    def _within(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._retried(call):
            return self.run(self, *args, **kwargs) if self._bound else self.run(*args, **kwargs)

    async def _within_async(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._retried(call):
            return await (self.run(self, *args, **kwargs) if self._bound else self.run(*args, **kwargs))

    @contextmanager
    def _retried(self, call: Any) -> Iterator[None]:
        """Around the body: ``self.request`` knows the call, and an error may become a retry."""
        token = _call.set(call)
        try:
            yield
        except BaseException as error:
            instead = self.retrying.after(self._job(), error)
            if instead is None or instead is error:
                raise
            raise instead from error
        finally:
            _call.reset(token)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it here and now."""
        within = self._within_async if inspect.iscoroutinefunction(self.run) else self._within
        return within(None, args, kwargs)

    def __repr__(self) -> str:
        return f"<@task: {self.name}>"

    # -- inside of it -----------------------------------------------------------------------------

    def _job(self) -> Any:
        """The job that runs it; None when it is called like a function."""
        call = _call.get()
        return current_job() if call is not None and call[0] is self else None

    @property
    def request(self) -> Request:
        """What is known of the call that runs."""
        job, call = self._job(), _call.get()
        if job is None or call is None:
            return Request(self.name)
        return Request.of(job, call[1], call[2])

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: Any = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> NoReturn:
        """Raise what makes this very job run again, ``countdown`` seconds from now.

        Raises ``exc`` itself, or MaxRetriesExceededError, when no retries are left or no worker runs it.
        """
        if args is not None or kwargs is not None or options or not throw:
            raise NotImplementedError(
                "retry() runs this very job again, with the arguments that it has, and raises; for a call "
                "with others return, and call apply_async()."
            )
        raise self.retrying.again(self._job(), exc, countdown, eta, max_retries)

    def update_state(self, task_id: str | None = None, state: str | None = None, meta: Any = None) -> None:
        """Tell progress: ``meta={"current": 3, "total": 10, "status": "resizing"}``, which ``info`` of its
        AsyncResult gives back, and ``state``, a word in capitals."""
        if task_id is not None:
            raise NotImplementedError(f"update_state(task_id={task_id!r}): a task tells its own progress.")
        states.tell(self._job(), state, meta)

    # -- calling it -------------------------------------------------------------------------------

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Enqueue a call. Inside ``transaction.atomic()`` it leaves at commit."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        queue: str | None = None,
        **options: Any,
    ) -> AsyncResult:
        """``delay`` with options: countdown, eta, expires, task_id, queue, priority (a lane), headers, and
        those of ``task.options``. Raises NotImplementedError for what Celery has and ardiq has not."""
        if options.get("expires") is None:
            options["expires"] = self.expires
        target: ArdiqTask[..., Any] | Ref | Bound[..., Any] = self.ardiq
        if queue not in (None, self.queue):
            target = self._tasks.get(str(queue)) or queue_of(str(queue)).ref(self.name)
        given = calls.translated(**options)
        if given:
            target = target.options(**given)
        job = target.enqueue_sync(*(args or ()), **dict(kwargs or {}))
        return AsyncResult(job.id, job=job, kept=not self.ignore_result)

    delay_on_commit = delay
    apply_async_on_commit = apply_async

    def AsyncResult(self, task_id: str) -> AsyncResult:
        """A call of this task by its id."""
        return AsyncResult(task_id, queue=self.queue, kept=not self.ignore_result)

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        return Signature(self, args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        return Signature(self, args, kwargs, immutable=True)

    def signature(self, args: Any = None, kwargs: Any = None, **options: Any) -> Signature:
        return Signature(self, args or (), kwargs, options)

    subtask = signature

    def _refused(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(CANVAS)

    map = starmap = chunks = replace = add_around = _refused

    def apply(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError("apply() runs a task here: call it, task(...).")


def current() -> Task | None:
    """The task that runs here."""
    call = _call.get()
    return call[0] if call is not None else None


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    """Those that mean something. Raises NotImplementedError or TypeError for those that do not exist here."""
    retrying = set(Retrying.__dataclass_fields__)
    for name, value in given.items():
        if name in REFUSED and value is not None:
            raise NotImplementedError(f"{name}={value!r} does not exist here: {REFUSED[name]}.")
        if name not in MINE | OURS | IGNORED | retrying | set(REFUSED):
            raise TypeError(
                f"@shared_task knows no option {name!r}. {did_you_mean(name, MINE | OURS | retrying)}"
            )
    return {name: value for name, value in given.items() if name not in IGNORED | set(REFUSED)}


def _register(body: Callable[..., Any], own: str, options: dict[str, Any]) -> dict[str, ArdiqTask[..., Any]]:
    """With Celery the worker of any queue runs any task: it is registered in every queue of settings."""
    found = {own: queue_of(own).task(**options)(body)}
    with suppress(ImproperlyConfigured):
        for alias in conf.known_aliases():
            if alias != own:
                known = options.get("priority") in conf.options(alias).priorities
                theirs = options if known else options | {"priority": None}
                found[alias] = queue_of(alias).task(**theirs)(body)
    return found


def shared_task(*args: Any, **options: Any) -> Any:
    """Register a task, bare or with options: name, queue, priority (a lane), bind, max_retries,
    default_retry_delay, autoretry_for, dont_autoretry_for, retry_backoff, retry_backoff_max, retry_jitter,
    retry_kwargs, ignore_result, expires, soft_time_limit, time_limit, and those of ``ardiq.task``."""
    if args:
        return Task(args[0], options)
    return lambda fn: Task(fn, options)
