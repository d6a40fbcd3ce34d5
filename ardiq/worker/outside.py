"""Who runs jobs outside the process of a worker: suspects one by one, tasks for processes in a pool."""

from __future__ import annotations

from collections.abc import Callable

from ardiq.core.options import Options
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.worker.forked import Main
from ardiq.worker.held import Clock, Held, Stop
from ardiq.worker.judge import Judge
from ardiq.worker.limits import Limits
from ardiq.worker.processes import Processes
from ardiq.worker.runner import Runner
from ardiq.worker.suspects import Suspects

# What runs in the process of a suspect, what runs in a child of the pool, the nursery of both.
Isolation = tuple[Main, Main, Callable[[], str]]
Outside = Callable[
    [Callable[[Held, Stop], None], Callable[[Held], None]], tuple[Suspects | None, Processes | None]
]


def outside(
    isolation: Isolation | None,
    name: str,
    options: Options,
    clock: Clock,
    runner: Runner,
    judge: Judge,
    limits: Limits,
    store: AsyncStore,
    keys: Keys,
) -> Outside:
    """Makes both, given how to stop a job and how to run one in the worker after all."""

    def make(
        tell_to_stop: Callable[[Held, Stop], None], run_here: Callable[[Held], None]
    ) -> tuple[Suspects | None, Processes | None]:
        if isolation is None:
            return None, None
        alone, pool, nursery = isolation
        suspects = Suspects(
            alone, nursery, store, keys, name, options, clock, runner, judge, tell_to_stop, run_here
        )
        return suspects, Processes(pool, nursery, name, options, clock, runner, judge, tell_to_stop, limits)

    return make
