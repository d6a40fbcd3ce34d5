"""Definitions and their registry: one owner per name, and what a task may say about itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ardiq.core.errors import UnknownTask
from ardiq.core.options import Options
from ardiq.core.registry import MOST_RETRIES, Definition, Registry

DEFAULTS: dict[str, Any] = {
    "queue": "default",
    "retry_on": Exception,
    "dont_retry_on": (),
    "max_retries": None,
    "backoff_ms": None,
    "timeout": None,
    "result_ttl_ms": None,
    "unique_ttl_ms": 0,
    "unique_until": "done",
    "executor": "thread",
}


def define(fn: Callable[..., Any], name: str | None = None, **given: Any) -> Definition:
    return Definition.checked(fn, name=name, **{**DEFAULTS, **given})


def add(a: int, b: int = 0) -> int:
    return a + b


async def later(*, when: int) -> None: ...


def test_the_name_is_where_the_function_stands() -> None:
    """B2: module.qualname, so that two apps may both have ``send``; name= overrides it."""
    assert define(add).name == f"{__name__}.add"
    assert define(add, "shop.add").name == "shop.add"

    def inner() -> None: ...

    assert define(inner).name == f"{__name__}.test_the_name_is_where_the_function_stands.inner"


@pytest.mark.parametrize("bad", ["", "a b", "a{b}", "a:b", "x" * 201, 5])
def test_a_name_is_checked(bad: Any) -> None:
    """B2: a name that could not be part of a key or a log line is refused with the value and the rule."""
    with pytest.raises(ValueError, match="no valid task name"):
        define(add, bad)


def test_a_name_has_one_owner() -> None:
    """B3: the second is refused, naming where the owner stands; the first stays."""
    registry = Registry()
    first = define(add, "add")
    registry.add(first)
    with pytest.raises(ValueError, match=r"'add' is already registered by .*test_registry.py:\d+"):
        registry.add(define(later, "add"))
    assert registry["add"] is first
    assert (list(registry), len(registry), "add" in registry, "mul" in registry) == (["add"], 1, True, False)


def test_a_timeout_in_other_units() -> None:
    """As delays do."""
    assert define(add, timeout=timedelta(minutes=1.5)).timeout == 90.0


def test_an_unknown_name_lists_the_known_ones() -> None:
    """B3: asking for a task that is not there."""
    registry = Registry()
    with pytest.raises(UnknownTask, match=r"'mul'.*known: none"):
        registry["mul"]
    registry.add(define(add, "add"))
    with pytest.raises(UnknownTask, match=r"'mul'.*known: add"):
        registry["mul"]
    assert registry.get("mul") is None


@pytest.mark.parametrize(
    ("option", "bad", "error"),
    [
        ("max_retries", -1, ValueError),
        ("max_retries", 1.5, ValueError),
        ("max_retries", True, ValueError),
        ("max_retries", MOST_RETRIES + 1, ValueError),
        ("backoff_ms", -1, ValueError),
        ("backoff_ms", "linear", ValueError),
        ("timeout", 0, ValueError),
        ("timeout", -1, ValueError),
        ("timeout", float("inf"), ValueError),
        ("timeout", float("nan"), ValueError),
        ("timeout", "1", ValueError),
        ("timeout", True, ValueError),
        ("timeout", timedelta(0), ValueError),
        ("result_ttl_ms", 1.5, ValueError),
        ("unique_ttl_ms", -1, ValueError),
        ("unique_until", "end", ValueError),
        ("executor", "gpu", ValueError),
        ("retry_on", "ValueError", TypeError),
        ("retry_on", (ValueError, 5), TypeError),
        ("dont_retry_on", int, TypeError),
    ],
)
def test_a_bad_option_is_refused_when_the_task_is_defined(
    option: str, bad: Any, error: type[Exception]
) -> None:
    """B2: the message names the option, its value and the rule."""
    with pytest.raises(error, match=f"{option}="):
        define(add, **{option: bad})


class Callers:
    @staticmethod
    def nested() -> None: ...

    def __call__(self) -> None: ...


def a_local_one() -> Callable[[], None]:
    def local() -> None: ...

    return local


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (later, "is an async function.*leave executor out"),
        (lambda: None, "is a lambda.*at the top of a module"),
        (a_local_one(), "is defined inside a function or class.*at the top of a module"),
        (Callers.nested, "is defined inside a function or class"),
        (Callers().__call__, "is no plain function"),
        (Callers(), "is no plain function"),
        (functools.partial(add, 1), "is no plain function.*define it with def"),
        (len, "is no plain function"),
        ([].append, "is no plain function"),
    ],
)
def test_what_a_child_process_cannot_import(fn: Callable[..., Any], words: str) -> None:
    """B5: executor="process" is for sync functions at the top of a module; anything else raises TypeError
    that says what to do."""
    with pytest.raises(TypeError, match=f"executor='process': .*{words}"):
        define(fn, "fn", executor="process")
    assert define(add, executor="process").executor == "process"
    assert define(functools.wraps(add)(a_local_one()), executor="process").name == f"{__name__}.add"


@pytest.mark.parametrize("thing", [5, "add", None])
def test_only_functions_are_tasks(thing: Any) -> None:
    """B1: anything else is refused by name."""
    with pytest.raises(TypeError, match="decorates a function"):
        define(thing)


@pytest.mark.parametrize(
    ("args", "kwargs", "fits"),
    [
        ((1,), {}, True),
        ((1, 2), {}, True),
        ((1,), {"b": 2}, True),
        ((), {"a": 1}, True),
        ((), {}, False),
        ((1, 2, 3), {}, False),
        ((1,), {"a": 1}, False),
        ((1,), {"c": 1}, False),
    ],
)
def test_a_call_must_fit_the_signature(args: tuple[Any, ...], kwargs: dict[str, Any], fits: bool) -> None:
    """B10: also at run time, with the name and the signature in the message."""
    definition = define(add, "add")
    if fits:
        definition.check(args, kwargs)
        return
    with pytest.raises(TypeError, match=r"add\(a: .*int.*, b: .*int.* = 0\)"):
        definition.check(args, kwargs)


def test_keyword_only_and_variadic_calls() -> None:
    """B10: signatures that cannot be checked by counting alone."""
    define(later, "later").check((), {"when": 1})
    with pytest.raises(TypeError, match="later"):
        define(later, "later").check((1,), {})
    define(lambda *args, **kwargs: None, "any").check((1, 2, 3), {"x": 1})


def test_async_and_wrapped_functions() -> None:
    """B4: what runs on the loop and what runs in a thread; a wrapper shows where its function stands."""

    @functools.wraps(add)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return add(*args, **kwargs)

    assert define(later, "later").is_async and not define(add, "add").is_async
    assert define(wrapped, "wrapped").source == define(add, "add").source


def test_what_a_task_leaves_open_its_queue_decides() -> None:
    """B6: max_retries and backoff_ms of the queue hold unless the task says otherwise, 0 included."""
    options = Options(max_retries=7, backoff_ms=50, max_backoff_ms=900, jitter=False)
    plain, own = define(add).policy(options), define(add, max_retries=0, backoff_ms=9).policy(options)
    assert (plain.max_retries, plain.backoff_ms, plain.max_backoff_ms, plain.jitter) == (7, 50, 900, False)
    assert (own.max_retries, own.backoff_ms) == (0, 9)
