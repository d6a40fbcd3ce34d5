"""Brokers: what both front doors use to reach one queue. Made on demand, kept per process.

Nothing here connects before the first call is made, and nothing is carried over a fork.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from ardiq import conf
from ardiq.core.codec import Codec
from ardiq.core.errors import BrokerError, QueueFull
from ardiq.core.options import Options
from ardiq.core.outcome import CALL, HISTORY, OUTCOME
from ardiq.propagation import carrier
from ardiq.store import verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.client import Store
from ardiq.store.confirming import AsyncConfirming, Confirming
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from ardiq.store.newjobs import NewJob
from ardiq.store.scripts import Call
from ardiq.store.waiting import AsyncWaiter, Waiter

Answer = int | str
"""Of a job that was to be stored: the id of the job that it came to, or whether it was created. Where the
server has been asked for one job that is when, in epoch ms."""
Batch = tuple[list[str], Call]


def is_new(answer: Answer) -> bool:
    """Whether the job was created."""
    return bool(answer) and not isinstance(answer, str)


SLACK = 1_048_576  # bytes; texts of errors count into no limit of a result, and twenty of them are less


class Broker:
    """One queue on one server: its keys, its codec, and its clients."""

    def __init__(self, options: Options, signing_keys: Iterable[bytes]) -> None:
        self.options = options
        self.keys = Keys(options.queue)
        self.limit = verbs.limit(options.max_queued, options.priorities)
        self.codec = Codec(
            options.queue,
            tuple(signing_keys),
            options.serializer,
            options.deserializer,
            {CALL: options.max_payload_bytes, OUTCOME: options.max_result_bytes + SLACK, HISTORY: SLACK},
        )
        self.endpoint = Endpoint(options.redis_url, options.redis_options)
        self.carrier = carrier(options.propagate) if options.propagate else None
        self.store = Store(self.endpoint)
        self.waiter = Waiter(self.endpoint, self.store, self.keys)
        self.confirming = Confirming(self.store, self.keys)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopBroker] = WeakKeyDictionary()

    def here(self) -> LoopBroker:
        """The half of this broker that belongs to the running event loop."""
        loop = asyncio.get_running_loop()
        half = self._loops.get(loop)
        if half is None:
            # What belongs to a loop refers to it, so that loops which have ended would never be let go of.
            for old in [one for one in self._loops if one.is_closed()]:
                del self._loops[old]
            half = self._loops[loop] = self.half()
        return half

    def half(self) -> LoopBroker:
        """A new one for the loop that runs here."""
        return LoopBroker(self.endpoint, self.keys, self.limit)

    def submit(self, job: NewJob) -> Answer:
        """Store one job from sync code (verbs.enqueue)."""
        answer: Answer = self.store.run(verbs.enqueue(self.keys, (job,), self.limit, stamped=True))[0]
        return answer

    def submit_in_order(self, jobs: list[NewJob]) -> tuple[list[Answer], BrokerError | None]:
        """Store jobs until one cannot be: the answers of the first ones, and why not of all. A queue that is
        nearly full takes as many as it has room for."""
        answers: list[Answer] = []
        while len(answers) < len(jobs):
            part = jobs[len(answers) : len(answers) + verbs.CHUNK]
            try:
                answers += self.store.run(verbs.enqueue(self.keys, part, self.limit, stamped=True))
            except QueueFull as error:
                if 0 < error.room < len(part):
                    answers += self.submit_in_order(part[: error.room])[0]
                return answers, error
            except BrokerError as error:
                return answers, error
        return answers, None

    def batch(self, jobs: list[NewJob]) -> Batch:
        """One round trip of a bulk: ids and the call that stores them, without a container for each job."""
        return [job[0] for job in jobs], verbs.enqueue(self.keys, jobs, self.limit)

    def submit_many(self, batches: Iterable[Batch]) -> Iterator[tuple[list[str], list[Answer]]]:
        """Store batches from sync code; whoever makes them, and takes the answers, works while the server
        does."""
        sent: deque[list[str]] = deque()
        for answers in self.store.run_each(_noting(batches, sent)):
            yield sent.popleft(), answers


class LoopBroker:
    """Clients of one event loop, and the group commit of the enqueues that run in it at once."""

    def __init__(self, endpoint: Endpoint, keys: Keys, limit: str = "") -> None:
        self.keys = keys
        self._limit = limit
        self.store = AsyncStore(endpoint)
        self.waiter = AsyncWaiter(endpoint, self.store, keys)
        self.confirming = AsyncConfirming(AsyncStore(endpoint), keys)
        self._gathered: list[tuple[NewJob, asyncio.Future[Answer]]] = []
        self._flying = False
        self._flight: asyncio.Task[None] | None = None

    async def submit(self, job: NewJob) -> Answer:
        """Store one job. Those that arrive while one is under way leave together when it is answered."""
        if self._flying:
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._gathered.append((job, future))
            return await future
        self._flying = True
        try:
            call = verbs.enqueue(self.keys, (job,), self._limit, stamped=True)
            answers: list[Answer] = await self.store.run(call)
            return answers[0]
        finally:
            self._flying = False
            if self._gathered:
                self._flying = True
                self._flight = asyncio.ensure_future(self._fly())

    async def _fly(self) -> None:
        try:
            while self._gathered:
                batch, self._gathered = self._gathered[: verbs.CHUNK], self._gathered[verbs.CHUNK :]
                await self._commit(batch)
        finally:
            self._flying = False

    async def _commit(self, batch: list[tuple[NewJob, asyncio.Future[Answer]]]) -> None:
        try:
            jobs = [job for job, _ in batch]
            answers = await self.store.run(verbs.enqueue(self.keys, jobs, self._limit, stamped=True))
        except Exception as error:
            room = error.room if isinstance(error, QueueFull) else 0
            if 0 < room < len(batch):
                # These calls only happened to leave together: as many as fit are stored.
                await self._commit(batch[:room])
                batch = batch[room:]
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def submit_many(self, batches: Iterable[Batch]) -> AsyncIterator[tuple[list[str], list[Answer]]]:
        """Store batches; whoever makes them, and takes the answers, works while the server does."""
        sent: deque[list[str]] = deque()
        async for answers in self.store.run_each(_noting(batches, sent)):
            yield sent.popleft(), answers


def _noting(batches: Iterable[Batch], sent: deque[list[str]]) -> Iterator[Call]:
    """The calls of batches that are made as they are asked for; the ids of each are left in ``sent``."""
    for ids, call in batches:
        sent.append(ids)
        yield call


_brokers: dict[Any, Broker] = {}
makers: list[type[Broker]] = [Broker]
"""The last one makes brokers: the testing kit puts its own there for a while, which sees what is enqueued."""


def broker(options: Options) -> Broker:
    """The broker of a queue, shared by all that use the same server, options and signing keys."""
    signing = conf.signing_keys(options)
    # All the options: lanes and limits are read from the broker's, and settings may be overridden.
    key = (options.cache_key, options, signing)
    found = _brokers.get(key)
    if found is None:
        found = _brokers[key] = makers[-1](options, signing)
    return found


def forget(url: str) -> None:
    """Keep no broker of the server at this URL."""
    for key in [key for key in _brokers if key[0][0] == url]:
        del _brokers[key]


ids: list[str] = []  # made ahead; whoever takes one pops it
# uWSGI forks without a word to Python: its workers would all go on with the pool of the process that has
# loaded the project, and a job whose id is taken is not made.
_POOL = 1 if "uwsgi" in sys.modules else 256
ID_SIZE = 32  # characters of an id that new_id makes
_VERSION_4 = bytes(0x40 | (byte & 0x0F) for byte in range(256))
_VARIANT = bytes(0x80 | (byte & 0x3F) for byte in range(256))


def new_id() -> str:
    """A random job id: the 32 hex digits of a UUID version 4.

    From a pool of random bytes: one system call for many ids is a tenth of the cost of uuid4 (PEERS, 2).
    """
    try:
        return ids.pop()
    except IndexError:
        id, *others = new_ids(_POOL)
        ids.extend(others)
        return id


def new_ids(count: int) -> list[str]:
    """So many of them."""
    raw = bytearray(secrets.token_bytes(16 * count))
    raw[6::16] = raw[6::16].translate(_VERSION_4)
    raw[8::16] = raw[8::16].translate(_VARIANT)
    digits = raw.hex()
    return [digits[at : at + 32] for at in range(0, 32 * count, 32)]


# A child that went on with the pool of its parent would hand out the same ids.
os.register_at_fork(after_in_child=ids.clear)
os.register_at_fork(after_in_child=_brokers.clear)
