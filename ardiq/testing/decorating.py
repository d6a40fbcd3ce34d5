"""Blocks that are also decorators: of functions and coroutine functions, of TestCase and other classes."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])


class Block(Generic[T]):
    """A context manager, sync and async. As a decorator it is entered anew for each call; of a TestCase it
    surrounds each test with its ``setUp`` and ``tearDown``, of another class each method ``test...``."""

    def __init__(self, *given: Any, **options: Any) -> None:
        self._given, self._options = given, options

    def __enter__(self) -> T:
        raise NotImplementedError

    def __exit__(self, *error: object) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> T:
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)

    def _again(self) -> Block[T]:
        return type(self)(*self._given, **self._options)

    def __call__(self, thing: C) -> C:
        if isinstance(thing, type):
            return cast("C", self._around_class(thing))
        if iscoroutinefunction(thing):

            @wraps(thing)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await thing(*args, **kwargs)

            return cast("C", awaited)

        @wraps(thing)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return thing(*args, **kwargs)

        return cast("C", called)

    def _around_class(self, decorated: type) -> type:
        if issubclass(decorated, unittest.TestCase):
            set_up = decorated.setUp

            @wraps(set_up)
            def surrounded(case: unittest.TestCase) -> None:
                block = self._again()
                block.__enter__()
                case.addCleanup(block.__exit__, None, None, None)
                set_up(case)

            setattr(decorated, "setUp", surrounded)  # noqa: B010 - the type of a method is not for assigning
            return decorated
        for name in dir(decorated):
            method = getattr(decorated, name)
            if name.startswith("test") and callable(method):
                setattr(decorated, name, self(method))
        return decorated
