"""Where the code of a test runs: a loop works elsewhere, and what is sync comes to the thread of the test.

A ``TestCase`` is one open transaction of one thread, and a database in memory is one connection. Whoever
should see what the test has written must run where the test does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

T = TypeVar("T")
Main = Callable[[Executor], Coroutine[Any, Any, T]]

_Work = tuple["Future[Any]", Callable[[], Any]]


class Desk(Executor):
    """Carries out what it is handed in the thread that serves it, in order."""

    def __init__(self) -> None:
        self._handed: SimpleQueue[_Work | None] = SimpleQueue()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._handed.put((future, lambda: fn(*args, **kwargs)))
        return future

    def close(self) -> None:
        self._handed.put(None)

    def serve(self) -> None:
        """Until it is closed."""
        while (work := self._handed.get()) is not None:
            _carry_out(*work)


def _carry_out(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


class Relay(Executor):
    """For a test that is a coroutine: what it is handed runs where ``sync_to_async`` of that test would."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context: Context = copy_context()
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        work = self._carry_out(future, lambda: fn(*args, **kwargs))
        task = self._loop.create_task(work, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return future

    async def _carry_out(self, future: Future[Any], call: Callable[[], Any]) -> None:
        await sync_to_async(_carry_out, thread_sensitive=True)(future, call)


def drive(main: Main[T]) -> T:
    """Run ``main(executor)`` on a loop in another thread; this one carries out what goes to the executor."""
    desk, done, stop = Desk(), Future[T](), threading.Event()
    thread = threading.Thread(target=_turn, args=(main, desk, done, stop), name="ardiq-test", daemon=True)
    thread.start()
    try:
        with _no_loop_here():
            desk.serve()
    except BaseException:
        stop.set()  # Ctrl-C: the loop ends by itself, and nobody waits for it
        raise
    thread.join()
    return done.result()


def _turn(main: Main[T], desk: Desk, done: Future[T], stop: threading.Event) -> None:
    try:
        done.set_result(asyncio.run(_unless(stop, main(desk))))
    except BaseException as error:
        done.set_exception(error)
    finally:
        desk.close()


async def _unless(stop: threading.Event, main: Coroutine[Any, Any, T]) -> T:
    work = asyncio.ensure_future(main)
    while not stop.is_set():
        done, _ = await asyncio.wait((work,), timeout=0.5)
        if done:
            break
    else:
        work.cancel()
    return await work


@contextmanager
def _no_loop_here() -> Iterator[None]:
    """Sync tasks run in threads without a loop. Below a coroutine, Django would forbid them the ORM."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


async def adrive(main: Main[T]) -> T:
    """Run ``main(executor)`` on the loop that runs here."""
    return await main(Relay())
