"""The backend itself: Django's interface, over calls and halls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from ardiq import conf, leaving, outbox
from ardiq.backend import checks, finding, telling
from ardiq.backend.calls import TaskCall, when
from ardiq.backend.hall import Hall, hall_of
from ardiq.backend.origin import (
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
)
from ardiq.backend.reading import moment
from ardiq.backend.task import ArdiqTask
from ardiq.connection import Answer, Broker, is_new
from ardiq.core.errors import BrokerError
from ardiq.core.job import JobRecord, check_id
from ardiq.core.names import did_you_mean
from ardiq.signals import job_enqueued
from ardiq.store import verbs
from ardiq.store.newjobs import NewJob
from ardiq.store.scripts import Call


class ArdiqBackend(BaseTaskBackend):
    """``TASKS = {"default": {"BACKEND": "ardiq.backend.ArdiqBackend"}}``: Django tasks on a queue in ARDIQ.

    QUEUES are names of queues in ARDIQ; an empty list is all of them. OPTIONS hold for all tasks of the
    backend (ardiq/backend/policy.py), and under ``tasks`` for single ones, by their paths.
    """

    task_class = ArdiqTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True
    joins_ardiq = True

    # -- tasks ------------------------------------------------------------------------------------

    def validate_task(self, task: Task) -> None:
        """Raises InvalidTask for what Django refuses, for an unknown queue, and for a policy that is
        wrong."""
        checked: Any = task
        if isinstance(task.run_after, timedelta):
            # It needs no time zone, which is all that Django asks of a run_after.
            names = ("func", "takes_context", "priority", "queue_name")
            checked = SimpleNamespace(**{name: getattr(task, name) for name in names}, run_after=None)
        super().validate_task(checked)
        # With settings that are wrong altogether tasks.py is imported all the same, so that the system check
        # can say what is wrong with them.
        with suppress(ImproperlyConfigured):
            self._check(task)

    def _check(self, task: Task) -> None:
        hall = hall_of(task.queue_name)
        if hall is None:
            known = conf.aliases()
            if task.queue_name not in known:
                hint = did_you_mean(task.queue_name, known)
                raise InvalidTask(f"Queue '{task.queue_name}' is not in the ARDIQ setting. {hint}")
            return
        try:
            hall.definition_of(task)
            when(task.run_after)
        except (TypeError, ValueError) as error:
            raise InvalidTask(str(error)) from error
        finding.meet(task)

    # -- enqueuing --------------------------------------------------------------------------------

    def enqueue(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult:
        """Inside ``transaction.atomic()`` the job leaves at its commit, and ``enqueued_at`` is None until
        then.

        Raises TypeError for arguments that are not JSON or do not fit the function, BrokerError when Redis
        cannot be reached.
        """
        call, broker, job, result = self._prepare(task, args, kwargs)
        stored = partial(self._stored, result)
        if call.is_durable(broker):
            parcel = outbox.write(broker, [job], call.call_options.using, stored)
            if not parcel.waits:
                stored(parcel.push()[0])
        elif call.waits_for_commit(broker):
            leaving.at_commit(call.telling(stored), broker, job)
        else:
            stored(call.send_now(broker, job))
        return result

    async def aenqueue(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult:
        """``enqueue`` on an event loop: no thread takes part in it. Where receivers of the signal are not
        async, they get one."""
        call, broker, job, result = self._prepare(task, args, kwargs)
        stored = partial(self._stored, result)
        if call.is_durable(broker):
            parcel = await sync_to_async(outbox.write)(broker, [job], call.call_options.using, stored)
            if parcel.waits:
                return result
            answer = (await parcel.push_async())[0]
        elif call.call_options.on_commit:
            await sync_to_async(leaving.here)(broker, [(call.telling(stored), job)])
            return result
        else:
            answer = await broker.here().submit(job)
            if job_enqueued.receivers and is_new(answer):
                await sync_to_async(call.announce)(broker, [result.id])
        if is_new(answer):
            self._enqueued(result, answer)
            await telling.asend(task_enqueued, type(self), result)
            return result
        self._joined(result, answer)
        with suppress(TaskResultDoesNotExist, BrokerError):
            await result.arefresh()
        return result

    def _prepare(
        self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[TaskCall, Broker, NewJob, TaskResult]:
        self.validate_task(task)
        hall = hall_of(task.queue_name)
        if hall is None:
            raise InvalidTask(f"Queue '{task.queue_name}' is not valid for backend.")
        call = hall.call_of(task)
        result: TaskResult[..., Any] = TaskResult(
            task=task,
            id="",
            status=TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=list(args),  # made JSON
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        broker = hall.broker
        job = call.prepare(*result.args, **result.kwargs).build(broker)
        object.__setattr__(result, "id", job[0])
        return call, broker, job, result

    def _stored(self, result: TaskResult, answer: Answer) -> None:
        """What came of an enqueue is known; its ``job_enqueued`` has been sent."""
        if is_new(answer):
            self._enqueued(result, answer)
            telling.send(task_enqueued, type(self), result)
            return
        self._joined(result, answer)
        with suppress(TaskResultDoesNotExist, BrokerError):  # it is enqueued: the next refresh tells more
            result.refresh()

    def _enqueued(self, result: TaskResult, answer: Answer) -> None:
        # True: it went by an outbox, which does not tell when.
        when = timezone.now() if isinstance(answer, (bool, str)) else moment(answer)
        object.__setattr__(result, "enqueued_at", when)

    def _joined(self, result: TaskResult, answer: Answer) -> None:
        """The call came to a job that exists: that one is the result."""
        if isinstance(answer, str):
            object.__setattr__(result, "id", answer)

    # -- results ----------------------------------------------------------------------------------

    def get_result(self, result_id: str) -> TaskResult:
        """Raises TaskResultDoesNotExist for an id that no queue of this backend knows, or no longer;
        BrokerError where that cannot be told, because a server is away."""
        trouble: BrokerError | None = None
        for hall, call in self._places(result_id):
            try:
                raws = hall.broker.store.run(call)
            except BrokerError as error:
                trouble = trouble or error
                continue
            if (found := self._found(hall, result_id, raws)) is not None:
                return found
        raise trouble or TaskResultDoesNotExist(result_id)

    async def aget_result(self, result_id: str) -> TaskResult:
        """``get_result`` on an event loop, without a thread."""
        trouble: BrokerError | None = None
        for hall, call in self._places(result_id):
            try:
                raws = await hall.broker.here().store.run(call)
            except BrokerError as error:
                trouble = trouble or error
                continue
            if (found := self._found(hall, result_id, raws)) is not None:
                return found
        raise trouble or TaskResultDoesNotExist(result_id)

    def _places(self, result_id: str) -> Iterator[tuple[Hall, Call]]:
        try:
            check_id(result_id)
        except (TypeError, ValueError):
            raise TaskResultDoesNotExist(result_id) from None
        for queue in sorted(self.queues or conf.aliases(), key=lambda name: (name != "default", name)):
            hall = hall_of(queue)
            if hall is not None:
                yield hall, verbs.read(hall.broker.keys, [result_id])

    def _found(self, hall: Hall, id: str, raws: list[bytes | None]) -> TaskResult | None:
        if not raws[0]:
            return None
        try:
            record = JobRecord(id, raws[0])
        except (ValueError, IndexError):
            return None  # written by something else; the admin shows it
        return hall.read(record)

    # -- checks -----------------------------------------------------------------------------------

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return list(checks.complaints(self.alias, self.queues, self.options))
