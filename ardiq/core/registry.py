"""The tasks that a process knows, by name. A name has one owner; a second one is refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from ardiq.core.errors import UnknownTask
from ardiq.core.functions import check_executor, check_subject
from ardiq.core.job import JobRecord
from ardiq.core.names import check_name
from ardiq.core.options import Options
from ardiq.core.reference import check_on_missing
from ardiq.core.retry import TEN_YEARS_MS, Backoff, Policy

MOST_TIMEOUT = 315_360_000  # seconds, ten years
MOST_RETRIES = 4_000  # the record has three hex digits for it
NEVER_NEGATIVE = ("unique_ttl_ms", "debounce_ms", "debounce_max_ms", "throttle_ms")

UniqueKey = Callable[..., Any]


@dataclass(frozen=True)
class Definition:
    """What a task is, apart from how it is called. None: the option of its queue holds.

    ``timeout`` in seconds, the others in ms; ``lane`` is empty for the default lane of the queue.
    """

    name: str
    fn: Callable[..., Any]
    queue: str
    lane: str = ""
    max_retries: int | None = None
    backoff_ms: Backoff | None = None
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    dont_retry_on: tuple[type[BaseException], ...] = ()
    timeout: float | None = None
    unique: bool | UniqueKey = False
    unique_until: str = "done"
    unique_ttl_ms: int = 0
    debounce_ms: int = 0
    debounce_max_ms: int = 0
    throttle_ms: int = 0
    result_ttl_ms: int | None = None
    executor: str = "thread"
    durable: bool | None = None
    once: bool | str = False
    sensitive: tuple[str, ...] = ()
    keep_logs: bool = False
    admin_enqueue: bool = False
    on_missing: str = "fail"
    subject: str = ""
    described: bool = False
    """Whether a run gets to know all about itself (context.Facts), and somebody follows to its end."""

    @classmethod
    def checked(cls, fn: Callable[..., Any], *, name: str | None, **given: Any) -> Definition:
        """Build one. Raises TypeError or ValueError that names the option, its value and the rule."""
        if not callable(fn):
            raise TypeError(f"@task was given {fn!r}; it decorates a function.")
        if isinstance(fn, type) or inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise TypeError(
                f"@task was given {fn!r}; it decorates a function that returns, not a class or generator."
            )
        # "__mp_main__" is what a child process calls the script of its parent.
        module = str(getattr(fn, "__module__", "")).replace("__mp_main__", "__main__")
        own = f"{module}.{getattr(fn, '__qualname__', type(fn).__qualname__)}".replace(
            "<locals>.", ""
        ).replace("<lambda>", "lambda")
        for option in ("retry_on", "dont_retry_on"):
            kinds = given[option] if isinstance(given[option], tuple) else (given[option],)
            if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
                raise TypeError(f"{option}={given[option]!r}: give an exception class or a tuple of them.")
            given[option] = kinds
        given["sensitive"] = _checked_sensitive(fn, given.get("sensitive", ()))
        if isinstance(given["timeout"], timedelta):
            given["timeout"] = given["timeout"].total_seconds()
        _check_numbers(given)
        for option in ("keep_logs", "admin_enqueue"):
            if not isinstance(given.get(option, False), bool):
                raise TypeError(f"{option}={given[option]!r}: give True or False.")
        check_unique(given.get("unique", False))
        check_subject(fn, given.get("subject", ""))
        check_on_missing(given.get("on_missing", "fail"))
        if given["unique_until"] not in ("start", "done"):
            raise ValueError(f"unique_until={given['unique_until']!r}: give 'start' or 'done'.")
        check_executor(fn, given["executor"])
        definition = cls(name=check_name("task", own if name is None else name), fn=fn, **given)
        definition._check_transactions()
        return definition

    def _check_transactions(self) -> None:
        if self.durable not in (None, True, False):
            raise TypeError(f"durable={self.durable!r}: give True or False, or leave it to the queue.")
        if not isinstance(self.once, (bool, str)) or self.once == "":
            raise TypeError(f"once={self.once!r}: give True, or the alias of the database with the effects.")
        if self.once and self.is_async:
            raise TypeError(
                f"once={self.once!r}: {self.name} is async, and Django has no transactions in async code; "
                "write a def."
            )

    @cached_property
    def joins_calls(self) -> bool:
        """Whether several calls may come to one job."""
        return bool(self.unique or self.debounce_ms or self.throttle_ms)

    @cached_property
    def equipped(self) -> bool:
        """Whether its runs get more than others."""
        return self.keep_logs or self.described

    @cached_property
    def is_async(self) -> bool:
        call = getattr(self.fn, "__call__", None)  # noqa: B004 - an object may have an async one
        return inspect.iscoroutinefunction(self.fn) or inspect.iscoroutinefunction(call)

    @cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.fn)

    @cached_property
    def plain_args(self) -> tuple[int, int] | None:
        """(fewest, most) positional arguments of a call without keywords; None if it is not that simple."""
        fewest = most = 0
        for parameter in self.signature.parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                return None
            most += 1
            fewest += parameter.default is parameter.empty
        return fewest, most

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise TypeError for a call that does not fit the signature; the common call is only counted."""
        plain = self.plain_args
        if plain is None or kwargs or not plain[0] <= len(args) <= plain[1]:
            self.bind(args, kwargs)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """Bind a call to the signature. Raises TypeError that names the task for a wrong call."""
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}{self.signature}: {error}") from None

    def policy(self, options: Options) -> Policy:
        return Policy(
            options.max_retries if self.max_retries is None else self.max_retries,
            options.backoff_ms if self.backoff_ms is None else self.backoff_ms,
            options.max_backoff_ms,
            options.jitter,
            self.retry_on,
            self.dont_retry_on,
            self.on_missing,
        )

    @property
    def source(self) -> str:
        """Where the function stands, for messages."""
        code = getattr(inspect.unwrap(self.fn), "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(self.fn)


def _checked_sensitive(fn: Callable[..., Any], names: object) -> tuple[str, ...]:
    """Names of parameters. One that is misspelt would leave a secret in plain sight."""
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"sensitive={names!r}: give names of parameters, as in sensitive=('card',).")
    if not names:
        return ()
    parameters = inspect.signature(fn).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    for name in names:
        if name not in parameters and not takes_any:
            raise ValueError(f"sensitive={names!r}: {name!r} is no parameter of the task.")
    return tuple(names)


def _check_numbers(given: dict[str, Any]) -> None:
    retries, backoff, timeout = given["max_retries"], given["backoff_ms"], given["timeout"]
    if retries is not None and not (_whole(retries) and 0 <= retries <= MOST_RETRIES):
        raise ValueError(f"max_retries={retries!r}: give a whole number from 0 to {MOST_RETRIES}.")
    if not (
        backoff is None or callable(backoff) or backoff == "exponential" or (_whole(backoff) and backoff >= 0)
    ):
        raise ValueError(
            f"backoff_ms={backoff!r}: give milliseconds, 'exponential' or a callable (attempt, error)."
        )
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < MOST_TIMEOUT
    ):
        raise ValueError(
            f"timeout={timeout!r}: give a number of seconds above 0 (and below ten years), a timedelta, "
            "or None."
        )
    for option in ("result_ttl_ms", *NEVER_NEGATIVE):
        value = given.get(option)
        if value is not None and not _whole(value):
            raise ValueError(f"{option}={value!r}: give a whole number of milliseconds.")
        if value is not None and value > TEN_YEARS_MS:
            raise ValueError(f"{option}={value!r}: give at most {TEN_YEARS_MS:,} ms, ten years.")
    for option in NEVER_NEGATIVE:
        if given.get(option, 0) < 0:
            raise ValueError(f"{option}={given[option]!r}: give 0 (none) or more.")
    check_windows(*(given.get(option, 0) for option in NEVER_NEGATIVE))


def check_unique(unique: object) -> None:
    """Raise TypeError for what does not say which calls are the same."""
    if not (isinstance(unique, bool) or callable(unique)):
        raise TypeError(f"unique={unique!r}: give True or False or a key function.")
    if inspect.iscoroutinefunction(unique):
        raise TypeError(f"unique={unique!r}: give a plain key function, no coroutine function.")


def check_windows(unique_ttl_ms: int, debounce_ms: int, debounce_max_ms: int, throttle_ms: int) -> None:
    """Raise ValueError for options of a task, or of a call, that contradict each other."""
    if debounce_ms and throttle_ms:
        raise ValueError(
            f"debounce_ms={debounce_ms} and throttle_ms={throttle_ms} contradict each other: with one the "
            "last call wins, with the other the first; set one of them to 0."
        )
    if debounce_max_ms and debounce_max_ms < debounce_ms:
        raise ValueError(
            f"debounce_max_ms={debounce_max_ms}: give at least debounce_ms, {debounce_ms}, or 0."
        )
    if debounce_max_ms and not debounce_ms:
        raise ValueError(f"debounce_max_ms={debounce_max_ms} needs debounce_ms beside it.")
    if debounce_ms and unique_ttl_ms:
        raise ValueError(
            f"unique_ttl_ms={unique_ttl_ms} with debounce_ms={debounce_ms}: a job that still waits would be "
            "forgotten by the calls that are to replace it; leave it out."
        )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


Find = Callable[[JobRecord], Definition | None]
"""How a worker comes by the task of a job; None for one that this process does not know."""


class Registry:
    """name -> Definition."""

    def __init__(self) -> None:
        self._definitions: dict[str, Definition] = {}

    def add(self, definition: Definition) -> None:
        """Register. Raises ValueError, and keeps the first, when the name has another owner."""
        self.check_free(definition)
        self._definitions[definition.name] = definition

    def check_free(self, definition: Definition, again: bool = False) -> None:
        """Raise ValueError when the name has an owner. ``again``: the same function once more will do, as
        when its module is reloaded."""
        owner = self._definitions.get(definition.name)
        if owner is not None and not (again and owner.source == definition.source):
            raise ValueError(
                f"A task named {definition.name!r} is already registered by {owner.source}; "
                f"give {definition.source} another name with name=..."
            )

    def get(self, name: str) -> Definition | None:
        return self._definitions.get(name)

    def __getitem__(self, name: str) -> Definition:
        try:
            return self._definitions[name]
        except KeyError:
            known = ", ".join(sorted(self._definitions)) or "none"
            raise UnknownTask(f"No task named {name!r} is registered here; known: {known}.") from None

    def __contains__(self, name: object) -> bool:
        return name in self._definitions

    def __iter__(self) -> Iterator[str]:
        # A copy: a module that a task imports for the first time may register more meanwhile, in its thread.
        return iter(tuple(self._definitions))

    def __len__(self) -> int:
        return len(self._definitions)
