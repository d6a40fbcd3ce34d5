"""What a task asks of its function: where it can run, and which of its parameters are named."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any


def check_subject(fn: Callable[..., Any], name: object) -> None:
    """Raise TypeError or ValueError for what is no parameter of the function; '' is none at all."""
    if not isinstance(name, str):
        raise TypeError(f"subject={name!r}: give the name of a parameter, or leave it out.")
    if name and name not in inspect.signature(fn).parameters:
        raise ValueError(f"subject={name!r} is no parameter of the task.")


def check_executor(fn: Callable[..., Any], executor: object) -> None:
    """A child process comes by its tasks as its worker does: by importing the module that defines them."""
    if executor not in ("thread", "process"):
        raise ValueError(f"executor={executor!r}: give 'thread' or 'process'; it is about sync tasks.")
    if executor == "thread":
        return
    if inspect.iscoroutinefunction(fn) or not inspect.isfunction(fn):
        kind = "an async function" if inspect.iscoroutinefunction(fn) else "no plain function"
        advice = "leave executor out" if inspect.iscoroutinefunction(fn) else "define it with def"
    elif fn.__name__ == "<lambda>" or fn.__qualname__ != fn.__name__:
        kind = "a lambda" if fn.__name__ == "<lambda>" else "defined inside a function or class"
        advice = "define it with def at the top of a module"
    elif fn.__module__ not in sys.modules or (fn.__module__ == "__main__" and not _main_file()):
        kind, advice = "not defined in a file", "move it into a module that can be imported"
    else:
        return
    raise TypeError(
        f"executor='process': {getattr(fn, '__qualname__', fn)!r} is {kind}, and a child process runs sync "
        f"functions that it can import; {advice}."
    )


def _main_file() -> str | None:
    return getattr(sys.modules["__main__"], "__file__", None)
