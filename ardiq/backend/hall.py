"""The Django tasks of one queue: an owner of tasks beside every ``Ardiq``, so that workers find them
there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from ardiq import conf, owners, shortcuts
from ardiq.backend import finding, performing, policy, reading, telling
from ardiq.backend.calls import TaskCall, lane_of
from ardiq.backend.origin import Task, TaskResult, TaskResultStatus, task_backends, task_finished
from ardiq.backend.shelf import Shelf
from ardiq.backend.task import said_by
from ardiq.connection import Broker
from ardiq.core.context import Facts
from ardiq.core.errors import UnknownTask
from ardiq.core.job import LETTER_BYTES, JobRecord
from ardiq.core.options import Options
from ardiq.core.outcome import read_call
from ardiq.core.recurrence import Recurrence
from ardiq.core.registry import Definition, Registry
from ardiq.owners import End, ErrorHook, Lifespan, Post

log = logging.getLogger("ardiq")

MOST_KEPT = 1_000  # definitions; a task has as many as it is enqueued with different priorities


class Served(NamedTuple):
    """A backend in TASKS that is ours."""

    sender: type
    options: Mapping[str, Any]


class Hall:
    """``backends``: those in TASKS that serve this queue, by alias."""

    def __init__(self, queue: str) -> None:
        self.queue_name = queue
        self.from_settings = True
        self.error_hooks: list[ErrorHook] = []
        self.lifespan_hooks: list[Lifespan] = []
        self.backends: dict[str, Served] = {}
        self.registry: Registry = Shelf(self)
        self._own = shortcuts.queue(queue)
        self._kept: dict[Any, tuple[object, tuple[policy.Policy, Definition]]] = {}
        self._calls: dict[str, TaskCall] = {}
        owners.add(self)

    def __repr__(self) -> str:
        return f"<Django tasks of queue {self.queue_name!r}>"

    # -- what every owner has ---------------------------------------------------------------------

    @property
    def options(self) -> Options:
        return self._own.options

    @property
    def broker(self) -> Broker:
        return self._own.broker

    @property
    def tasks(self) -> Mapping[str, Any]:
        return {name: task for name in self.registry if (task := finding.loaded(name)) is not None}

    def check_lane(self, lane: str) -> str:
        return self._own.check_lane(lane)

    def targets(self) -> list[TaskCall]:
        return list(self._calls.values())

    def offers(self) -> Mapping[str, TaskCall]:
        return {name: self.call_of(task) for name, task in self.tasks.items()}

    def recurrences(self) -> list[Recurrence]:
        return []

    def offer(self, recurrence: Recurrence) -> tuple[str, str, str, bytes]:
        raise UnknownTask(f"No task of {self!r} recurs.")

    # -- definitions ------------------------------------------------------------------------------

    def served_by(self, task: Task) -> tuple[str, Served]:
        """The backend whose options hold for a task: its own, if that is ours."""
        alias = task.backend if task.backend in self.backends else next(iter(self.backends))
        return alias, self.backends[alias]

    def policy_of(self, task: Task) -> policy.Policy:
        """What the queue, OPTIONS and the task itself say. Raises TypeError or ValueError."""
        alias, served = self.served_by(task)
        options, path = dict(served.options), task.module_path
        by_name = options.pop("tasks", {})
        where = f"TASKS[{alias!r}]['OPTIONS']"
        # As with Django's own backends a task runs once, unless somebody says otherwise.
        once = {} if conf.says(self.queue_name, "MAX_RETRIES") else {"max_retries": 0}
        return policy.resolved(
            once,
            policy.of_setting(options, where, path),
            policy.of_setting(by_name.get(path, {}), f"{where}['tasks'][{path!r}]", path),
            dict(said_by(task)),
        )

    def definition_of(self, task: Task) -> Definition:
        """Raises TypeError or ValueError for a policy that is wrong."""
        return self._described(task)[1]

    def _described(self, task: Task) -> tuple[policy.Policy, Definition]:
        key: tuple[Any, ...] = (
            task.func,
            task.priority,
            task.takes_context,
            task.backend,
            said_by(task),
        )
        version = conf.version()
        try:
            kept = self._kept.get(key)
        except TypeError:  # something in its policy cannot be hashed
            kept, key = None, ()
        if kept is not None and kept[0] is version:
            return kept[1]
        said = self.policy_of(task)
        found = said, self._define(task, said)
        if key:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = (version, found)
        return found

    def _define(self, task: Task, said: policy.Policy) -> Definition:
        given = {**policy.OF_A_TASK, **said.task}
        never = given["dont_retry_on"]
        never = never if isinstance(never, tuple) else (never,)
        given["dont_retry_on"] = (*never, performing.Unfit)
        lane = said.lane or lane_of(task.priority, self.options.priorities)
        return Definition.checked(
            performing.performer(task, self),
            name=task.module_path,
            queue=self.queue_name,
            lane=self.check_lane(lane),
            described=True,
            **given,
        )

    def known(self, name: str) -> Definition | None:
        """The definition of the task at this path, if its module is loaded."""
        task = finding.loaded(name)
        return None if task is None else self._runnable(task)

    def _runnable(self, task: Task) -> Definition | None:
        try:
            return self.definition_of(task)
        except (TypeError, ValueError):
            log.exception("The task %s cannot be run as OPTIONS of its backend say.", task.module_path)
            return None

    def seek(self, record: JobRecord) -> Definition | None:
        """The task of a job, also when its module has not been imported yet."""
        task = finding.sought(record.name)
        return None if task is None else self._runnable(task)

    # -- calls ------------------------------------------------------------------------------------

    def call_of(self, task: Task) -> TaskCall:
        """Raises TypeError or ValueError for a policy that is wrong."""
        said, definition = self._described(task)
        base = finding.loaded(task.module_path)
        if task is not base or task.run_after is not None:
            return TaskCall(self, task, definition, said, reading.differences(task, base))
        kept = self._calls.get(definition.name)
        if kept is None or kept.definition is not definition:
            kept = self._calls[definition.name] = TaskCall(self, task, definition, said, {})
        return kept

    # -- results ----------------------------------------------------------------------------------

    def read(self, record: JobRecord) -> TaskResult | None:
        """The result of a job; None when its task is none of Django's."""
        codec = self.broker.codec
        args, kwargs, meta, _ = read_call(codec, record)
        base = finding.sought(record.name)
        if base is None:
            return None
        return reading.task_result(self._as_called(base, meta), record, codec, (args, kwargs))

    def _as_called(self, base: Task, meta: Mapping[str, Any]) -> Task:
        return reading.as_called(base, self.queue_name, self.served_by(base)[0], meta)

    def running(self, task: Task, facts: Facts, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskResult:
        task = self._as_called(task, facts.meta)
        return reading.task_result(task, facts.record, self.broker.codec, (args, kwargs), facts)

    def sender_of(self, result: TaskResult) -> type:
        return (self.backends.get(result.backend) or next(iter(self.backends.values()))).sender

    def ended(self, ends: list[End], post: Post) -> None:
        """Have ``task_finished`` sent of those that are over. Called on the loop of a worker."""
        for end in ends:
            status = reading.STATUSES.get(LETTER_BYTES[end.settlement[2]])
            if status not in reading.ENDED:
                continue
            level = logging.ERROR if status is TaskResultStatus.FAILED else logging.INFO
            if telling.is_heard(task_finished, level):
                post(partial(self._finished, end))

    def _finished(self, end: End) -> None:
        record, settlement, error, at = end
        result = self.read(JobRecord(record.id, b"%b%011x%b" % (settlement[3], at, settlement[5])))
        if result is None:
            return
        definition = self.known(record.name)
        discreet = definition is not None and definition.sensitive
        telling.send_finished(self.sender_of(result), result, None if discreet else error)


_halls: dict[str, Hall] = {}


def hall_of(queue: str) -> Hall | None:
    """The hall of a queue; None when no backend in TASKS serves it, or ARDIQ does not have it."""
    if not _halls:
        open_all()
    return _halls.get(queue)


def open_all() -> None:
    """Make the halls that TASKS asks for. Touches no network."""
    for alias, params in dict(task_backends.settings).items():
        try:
            kind = import_string(params["BACKEND"])
        except (ImportError, KeyError, TypeError):
            continue  # Django says so itself when somebody uses it
        if getattr(kind, "joins_ardiq", False):
            _open(alias, kind, params)


def _open(alias: str, kind: type, params: Mapping[str, Any]) -> None:
    try:
        known = conf.aliases()
    except ImproperlyConfigured:
        return  # the system check tells what is wrong
    for queue in set(params.get("QUEUES", ["default"])) or known:
        if queue in known:
            hall = _halls.get(queue) or _halls.setdefault(queue, Hall(queue))
            hall.backends[alias] = Served(kind, params.get("OPTIONS") or {})


def _forget(*, setting: str, **kwargs: object) -> None:
    if setting in ("TASKS", "ARDIQ"):
        for hall in _halls.values():
            owners.remove(hall)
        _halls.clear()
        if settings.is_overridden("TASKS"):
            open_all()


setting_changed.connect(_forget, dispatch_uid="ardiq.backend")
