"""``fake``, ``capture`` and ``immediate``: blocks in which every queue lives on a server of its own in this
process, whatever settings say."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from typing import Any

from ardiq import conf, connection
from ardiq.connection import Broker
from ardiq.core.address import FAKE
from ardiq.core.job import JobRecord
from ardiq.store import fake as fake_store
from ardiq.testing.captured import Captured, Enqueued
from ardiq.testing.decorating import Block
from ardiq.testing.desk import adrive, drive
from ardiq.testing.draining import Budget, Drain, Ran
from ardiq.testing.watching import WatchedBroker, watches

MOST = 1_000  # attempts that one enqueue may lead to
DEEPEST = 10  # jobs that run inside each other; deeper ones run when those above have ended

_numbers = count(1)
_blocks: list[_Watched] = []


class fake(Block[None]):
    """Every queue lives on a fresh ``fake://`` server; nothing runs until ``run_jobs``."""

    def __enter__(self) -> None:
        self._url = f"{FAKE}block-{next(_numbers)}"
        self._stack = ExitStack()
        self._stack.callback(fake_store.close, self._url)
        self._stack.callback(connection.forget, self._url)
        fake_store.server(self._url)  # an extra that is missing is told here
        self._stack.enter_context(conf.elsewhere(self._url))

    def __exit__(self, *error: object) -> None:
        self._stack.close()


class _Watched(Block[Captured]):
    """A ``fake`` block that knows what is enqueued in it."""

    def __enter__(self) -> Captured:
        self.captured = Captured()
        self._server = fake()
        self._server.__enter__()
        watches.append(self)
        connection.makers.append(WatchedBroker)
        _blocks.append(self)
        return self.captured

    def __exit__(self, *error: object) -> None:
        _blocks.remove(self)
        connection.makers.remove(WatchedBroker)
        watches.remove(self)
        self._server.__exit__(*error)

    def stored(self, broker: Broker, records: list[JobRecord]) -> None:
        for record in records:
            self.captured.add(broker, record)

    def due(self, broker: Broker) -> None:
        pass

    async def due_async(self, broker: Broker) -> None:
        pass


class capture(_Watched):
    """Jobs are collected and nothing runs: ``with capture() as jobs: ...; jobs.assert_enqueued(task)``.

    They lie on a server all the same: handles tell their status, the same id makes no second job, and
    ``run_jobs()`` runs them.
    """


class immediate(_Watched):
    """Jobs run when they are enqueued, before ``enqueue`` returns: ``with immediate() as jobs: ...``.

    Arguments and results go through the codec, retries do not wait, jobs inside ``atomic()`` run at commit,
    and one that fails is a failed job. With ``raise_errors`` its exception comes out of ``enqueue`` as well.
    Delayed and scheduled jobs stay until ``run_jobs(until=...)``.
    """

    def __init__(self, *, raise_errors: bool = False) -> None:
        super().__init__(raise_errors=raise_errors)
        self._raise = raise_errors
        self._depth = 0
        self._lock = threading.Lock()
        self._budget = Budget(MOST)

    def due(self, broker: Broker) -> None:
        if self._deeper():
            try:
                ran = drive(self._drain(broker).run)
            finally:
                self._depth -= 1
            self._tell(ran)

    async def due_async(self, broker: Broker) -> None:
        if self._deeper():
            try:
                ran = await adrive(self._drain(broker).run)
            finally:
                self._depth -= 1
            self._tell(ran)

    def _drain(self, broker: Broker) -> Drain:
        return Drain(broker.options.queue, budget=self._budget, retries=True)

    def _deeper(self) -> bool:
        with self._lock:
            if self._depth >= DEEPEST:
                return False
            if not self._depth:
                self._budget = Budget(MOST)
            self._depth += 1
            return True

    def _tell(self, ran: Ran) -> None:
        if not self._depth:
            self._budget.complain()
        if self._raise:
            ran.raise_errors()


def _here() -> Captured:
    if not _blocks:
        raise AssertionError(
            "Nothing is captured here: use it inside `with capture():` or `with immediate():`, or with the "
            "fixture ardiq_captured or ardiq_immediate."
        )
    return _blocks[-1].captured


def assert_enqueued(
    task: Any,
    args: Sequence[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    *,
    count: int | None = None,
    **fields: Any,
) -> Enqueued:
    """``Captured.assert_enqueued`` of the innermost block."""
    __tracebackhide__ = True
    return _here().assert_enqueued(task, args, kwargs, count=count, **fields)


def assert_not_enqueued(
    task: Any = None,
    args: Sequence[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    """``Captured.assert_not_enqueued`` of the innermost block."""
    __tracebackhide__ = True
    _here().assert_not_enqueued(task, args, kwargs, **fields)


__all__ = ["assert_enqueued", "assert_not_enqueued", "capture", "fake", "immediate"]
