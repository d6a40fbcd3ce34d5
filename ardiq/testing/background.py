"""``worker``: a real worker in the background of a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from ardiq import conf, connection, running
from ardiq.core.address import EMBEDDED, FAKE
from ardiq.equipment import upkeep
from ardiq.store import embedded
from ardiq.store import fake as fake_store
from ardiq.testing.decorating import Block
from ardiq.worker.worker import Worker

PATIENCE = 10.0  # seconds for a worker to start, and to end
CONFIGURED = "configured"

_numbers = count(1)


class worker(Block["worker"]):
    """A worker of all queues (or of ``queues``) runs in a thread, as ``manage.py ardiq_worker`` would.

    ``url``: "fake://", a server of this block; "embedded://", a real one of this block; any other URL; or
    "configured", each queue where it is. Only the last two may be shared with another process. Its sync tasks
    run in threads with connections of their own: they see what is committed, so use a TransactionTestCase.
    """

    def __init__(self, queues: Sequence[str] | str | None = None, *, url: str = FAKE, **options: Any) -> None:
        super().__init__(queues, url=url, **options)
        self._queues = [queues] if isinstance(queues, str) else queues
        self._url, self._overrides = url, options
        self._failed: BaseException | None = None
        self._workers: list[Worker] = []

    def __enter__(self) -> worker:
        self._stack = ExitStack()
        try:
            self._move()
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _move(self) -> None:
        if self._url == CONFIGURED:
            return
        url = self._url
        if url == FAKE:
            url = f"{url}worker-{next(_numbers)}"
            self._stack.callback(fake_store.close, url)
            fake_store.server(url)
        elif url == EMBEDDED:
            directory = Path(mkdtemp(prefix="ardiq-"))
            self._stack.callback(rmtree, directory, ignore_errors=True)
            self._stack.callback(embedded.stop, directory)
            url = f"{url}{directory}"
        self._stack.callback(connection.forget, url)
        self._stack.enter_context(conf.elsewhere(url))

    def _start(self) -> None:
        names = running.queue_names() if self._queues is None else list(self._queues)
        queues = [running.worker_options(name, **self._overrides) for name in names]
        started: Future[None] = Future()

        async def main() -> None:
            around = upkeep()
            self._workers += [running.build(one.queue, one, name="test", around=around) for one in queues]
            self._loop = asyncio.get_running_loop()
            await running.run(self._workers, ready=lambda: started.set_result(None))

        def work() -> None:
            try:
                running.complete(main())
            except BaseException as error:
                self._failed = error
                if not started.done():
                    started.set_exception(error)

        self._thread = threading.Thread(target=work, name="ardiq-test-worker", daemon=True)
        self._thread.start()
        started.result(PATIENCE)
        self._stack.callback(self.stop)

    @property
    def processed(self) -> int:
        """How many jobs it has settled."""
        return sum(one.processed for one in self._workers)

    def stop(self) -> None:
        """Stop gracefully, and wait for it. Raises what has ended the worker, if something has."""
        if self._thread.is_alive():
            for one in self._workers:
                self._loop.call_soon_threadsafe(one.stop)
            self._thread.join(PATIENCE + max(one.options.grace_ms for one in self._workers) / 1000)
            if self._thread.is_alive():
                raise AssertionError("The worker in the background does not end: what does its job wait for?")
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
