"""Tasks, and the calls made of them: ``task.enqueue``, ``task.options(...).enqueue``, ``task.prepare``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from asgiref.sync import markcoroutinefunction, sync_to_async

from ardiq import durability, following, leaving, outbox, references, transactions
from ardiq.connection import Answer, Broker, ids, is_new, new_id
from ardiq.core.errors import ArdiqError, TooLarge
from ardiq.core.names import check_name
from ardiq.core.outcome import CALL
from ardiq.core.reference import Reference
from ardiq.core.registry import Definition
from ardiq.overrides import PLAIN, CallOptions, checked, meta_of
from ardiq.owners import Owner
from ardiq.plain import CALL_ROOT, Start, start_of
from ardiq.results import Job
from ardiq.signals import announce, job_enqueued
from ardiq.store.newjobs import NewJob, new_job
from ardiq.uniqueness import sameness

P = ParamSpec("P")
R = TypeVar("R")


class Prepared:
    """A checked call that has not been sent: what ``enqueue_many`` takes."""

    __slots__ = ("args", "kwargs", "target")

    def __init__(self, target: Enqueuable[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.target, self.args, self.kwargs = target, args, kwargs

    def __repr__(self) -> str:
        return f"<call of {self.name}>"

    @property
    def name(self) -> str:
        """The name of the task."""
        return self.target.name

    def build(self, broker: Broker) -> NewJob:
        """Encode. Raises EncodeError, TooLarge or ValueError before anything is sent."""
        target = self.target
        start = target.start
        if start is None or start.broker is not broker:
            start = target.start_in(broker)
            if start is None:
                return self._build_with_options(broker)
        try:
            id = ids.pop()
        except IndexError:
            id = new_id()
        call = start.encode(id.encode(), [list(self.args), self.kwargs])
        if len(call) > start.most:
            raise self.too_large(len(call), broker)
        return (id, start.lane, start.texts, call)  # newjobs.plain_job, without the cost of calling it

    def _build_with_options(self, broker: Broker) -> NewJob:
        target, options = self.target, self.target.call_options
        lane = target.lane_in(broker)
        id = options.task_id or new_id()
        subject = options.subject or target.subject_of(self.args, self.kwargs)
        same = target.same
        delay_ms = options.delay_ms or (same.debounce_ms if same else 0)
        meta = target.meta_in(broker, subject)
        head = id.encode() + target.sealed
        sent = following.add(meta, broker, id, target.name, lane, bool(delay_ms or options.schedule_ms))
        call = broker.codec.encode(CALL, head, [list(self.args), self.kwargs, meta], CALL_ROOT)
        sent(len(call))
        if len(call) > broker.options.max_payload_bytes:
            raise self.too_large(len(call), broker)
        hash = same.hash(target.name, target.definition, self.args, self.kwargs) if same else ""
        return new_job(
            id, lane, target.name, call,
            delay_ms=delay_ms, schedule_ms=options.schedule_ms,
            replace=options.replace, fresh=not options.task_id,
            unique=hash if same and same.slot else "",
            unique_ttl_ms=same.ttl_ms if same else 0,
            unique_until_start=bool(same and same.until_start),
            window=same.window(broker.codec, id, target.name, hash) if same else None,
            subject=references.subject_hash(subject) if subject else "",
            subject_ttl_ms=references.listed_for(broker.options, target.definition) if subject else 0,
        )  # fmt: skip

    def too_large(self, size: int, broker: Broker) -> TooLarge:
        return TooLarge(
            f"The arguments of {self.target.name} take {size:,} bytes, more than MAX_PAYLOAD_BYTES "
            f"({broker.options.max_payload_bytes:,}); store the data elsewhere and pass a reference."
        )


class Enqueuable(Generic[P, R]):
    """What can be enqueued: a task with its options, or a name that some worker knows."""

    told: Callable[[Answer], None] | None = None

    def __init__(self, app: Owner, name: str, definition: Definition | None, options: CallOptions) -> None:
        self.app = app
        self.name = name
        self.definition = definition
        self.call_options = options
        self.sealed = b"|" + name.encode()
        self.same = sameness(options, definition)
        about = definition is not None and definition.subject
        simple = options is PLAIN and self.same is None and not about
        self.plain: bool | None = simple or None
        self.durable = True if options.durability else options.durable
        if self.durable is None and options.on_commit is not False and definition is not None:
            self.durable = definition.durable
        self.start: Start | None = None
        plain = definition.plain_args if definition is not None else None
        self._counts = frozenset(range(plain[0], plain[1] + 1)) if plain else frozenset[int]()

    def lane_in(self, broker: Broker) -> str:
        lane = self.call_options.priority or (self.definition and self.definition.lane)
        return self.app.check_lane(lane or broker.options.default_priority)

    def subject_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reference | None:
        """What a call is about, by the argument that the task names. Raises TypeError or ValueError."""
        definition = self.definition
        if definition is None or not definition.subject:
            return None
        value = definition.bind(args, kwargs).arguments.get(definition.subject)
        return references.subject(value, f"{self.name}: {definition.subject}, its subject,")

    def meta_in(self, broker: Broker, subject: Reference | None) -> dict[str, Any]:
        """What travels with a call besides its arguments."""
        return meta_of(self.call_options, broker, subject)

    def start_in(self, broker: Broker) -> Start | None:
        """None for a call that is not plain."""
        if self.plain is None or (self.start is not None and self.start.broker is broker):
            return self.start
        self.start = start_of(broker, self.name, self.lane_in(broker), self.sealed)
        return self.start

    def prepare(self, /, *args: P.args, **kwargs: P.kwargs) -> Prepared:
        """Check a call without sending it, for ``enqueue_many``. Raises TypeError for a wrong call."""
        # Binding takes longer than all the rest of an enqueue, so the common call is only counted.
        if (kwargs or len(args) not in self._counts) and self.definition is not None:
            self.definition.bind(args, kwargs)
        return Prepared(self, args, kwargs)

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[Job[R]]:
        """Enqueue from async code: ``job = await task.enqueue(...)``.

        It leaves at once, for a transaction belongs to a thread. With ``options(on_commit=True)`` it leaves
        at the commit of one that is open in the thread of Django's async ORM, which costs a look there.
        Raises at once when no event loop runs here, TypeError for a wrong call or an argument that
        cannot be encoded, ValueError for a bad option, BrokerError when Redis cannot be reached.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ArdiqError(
                f"{self.name}.enqueue() was called where no event loop runs, so the job would be lost; "
                "await it from async code, or call enqueue_sync()."
            ) from None
        prepared = self.prepare(*args, **kwargs)
        broker = self.app.broker
        return self._send(broker, prepared.build(broker))

    async def _send(self, broker: Broker, job: NewJob) -> Job[R]:
        if self.is_durable(broker):
            if self.call_options.durability:
                await durability.check_async(broker, [(self, job)])
                return handle(broker, job[0], (await durability.put_async(broker, [(self, job)]))[0])
            return handle(broker, job[0], (await outbox.put_async(broker, [job], self.call_options.using))[0])
        if self.call_options.on_commit:
            return handle(broker, job[0], (await sync_to_async(leaving.here)(broker, [(self, job)]))[0])
        answer = await broker.here().submit(job)
        if job_enqueued.receivers and is_new(answer):
            await sync_to_async(self.announce)(broker, [job[0]])
        return handle(broker, job[0], answer)

    def enqueue_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """``enqueue`` for sync code: a sync client, no event loop. Inside ``transaction.atomic()`` the job
        leaves at commit, and not at all after a rollback."""
        prepared = self.prepare(*args, **kwargs)
        broker = self.app.broker
        job = prepared.build(broker)
        if self.is_durable(broker):
            if self.call_options.durability:
                durability.check(broker, [(self, job)])
                return handle(broker, job[0], durability.put(broker, [(self, job)])[0])
            return handle(broker, job[0], outbox.put(broker, [job], self.call_options.using)[0])
        if self.waits_for_commit(broker):
            leaving.at_commit(self, broker, job)
            return Job(job[0], broker)
        return handle(broker, job[0], self.send_now(broker, job))

    def send_now(self, broker: Broker, job: NewJob) -> Answer:
        """Store one from sync code, whatever transaction is open, and tell of it."""
        answer = broker.submit(job)
        if job_enqueued.receivers and is_new(answer):
            self.announce(broker, [job[0]])
        return answer

    def announce(self, broker: Broker, ids: Iterable[str]) -> None:
        """Send ``job_enqueued`` of jobs of this task that are new in Redis."""
        lane = self.lane_in(broker)
        announce(broker.options.queue, ((id, self.name, lane) for id in ids))

    def is_durable(self, broker: Broker) -> bool:
        """Whether its jobs go by the outbox, or have a durability: by the call, the task or the queue."""
        if self.durable is None:
            return broker.options.durable and self.call_options.on_commit is not False
        return self.durable

    def waits_for_commit(self, broker: Broker) -> bool:
        """Whether a job of sync code, enqueued here and now, leaves at the end of a transaction."""
        wanted = self.call_options.on_commit
        wanted = broker.options.enqueue_on_commit if wanted is None else wanted
        return wanted and transactions.is_open(self.call_options.using)

    def options(self, **options: Any) -> Bound[P, R]:
        """Overrides for one call: the fields of CallOptions (ardiq/overrides.py), or delay, schedule and
        expire as timedelta and datetime. Raises TypeError or ValueError for a wrong one."""
        merged = checked(self.call_options, **options)
        if merged.priority is not None:
            self.app.check_lane(merged.priority)
        return Bound(self.app, self.name, self.definition, merged)


class Bound(Enqueuable[P, R]):
    """A task with overrides."""

    def __repr__(self) -> str:
        return f"<{self.name} with {self.call_options}>"


class Ref(Enqueuable[..., Any]):
    """A task by its name alone, for producers that cannot import it."""

    def __init__(self, app: Owner, name: str) -> None:
        check_name("task", name)
        super().__init__(app, name, app.registry.get(name), PLAIN)


class Task(Enqueuable[P, R]):
    """A registered function. Calling it runs it here and now, without Redis."""

    def __init__(self, app: Owner, definition: Definition) -> None:
        super().__init__(app, definition.name, definition, PLAIN)
        self.definition: Definition = definition
        self.fn: Callable[P, Any] = definition.fn
        self.__doc__ = definition.fn.__doc__
        self.__name__ = getattr(definition.fn, "__name__", definition.name)
        self.__module__ = getattr(definition.fn, "__module__", __name__)
        self.__wrapped__ = definition.fn
        if definition.is_async:
            # So that async_to_sync and friends know what calling it returns.
            markcoroutinefunction(self)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self.fn(*args, **kwargs)
        return result

    @property
    def queue(self) -> str:
        return self.definition.queue

    @property
    def priority(self) -> str:
        """The lane of its jobs."""
        return self.definition.lane or self.app.options.default_priority

    @property
    def unique(self) -> bool:
        return bool(self.definition.unique)

    def __repr__(self) -> str:
        return f"<Task {self.name} in {self.queue}>"


class AsyncTask(Task[P, R]):
    """The task of an ``async def``: calling it gives a coroutine, to be awaited here and now."""

    if TYPE_CHECKING:

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...  # type: ignore[override]


def handle(broker: Broker, id: str, answer: Answer) -> Job[Any]:
    if isinstance(answer, str):
        return Job(answer, broker, False)
    return Job(id, broker, bool(answer))
