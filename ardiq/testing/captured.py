"""What was enqueued, as a list of records, and what a test may claim about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from inspect import Signature
from typing import Any, overload

from ardiq import owners
from ardiq.connection import Broker
from ardiq.core.codec import Codec
from ardiq.core.job import JobRecord, JobStatus
from ardiq.core.outcome import CALL, read_call
from ardiq.results import Job

SHOWN = 20  # records in a message
TRAVELLING = ("delay_ms", "schedule_ms", "expire_ms", "headers", "keep_logs")  # options of a call


@dataclass(frozen=True)
class Enqueued:
    """One job as it was when it was enqueued. ``args`` and ``kwargs`` have been through the codec; a model
    instance is a reference that equals what the same instance becomes. ``due``: when, if not at once.
    ``options``: what of ``options(...)`` travels with a job: delay_ms, schedule_ms, expire_ms, headers,
    keep_logs, task_id, unique."""

    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    lane: str
    due: datetime | None
    queue: str
    id: str
    job: Job[Any] = field(repr=False, compare=False)

    def __str__(self) -> str:
        words = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.kwargs.items())]
        about = f"{self.task}({', '.join(words)})  lane {self.lane}"
        if self.due is not None:
            about += f", due {self.due:%Y-%m-%d %H:%M:%S} UTC"
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{about}, {options}" if options else about


def record_of(broker: Broker, record: JobRecord) -> Enqueued:
    """Read a job that has just been stored."""
    args, kwargs, meta, problem = read_call(broker.codec, record)
    if problem:
        raise AssertionError(f"The call of {record.name} {record.id} cannot be read: {problem}")
    options = {key: value for key, value in (meta or {}).items() if key in TRAVELLING}
    if (meta or {}).get("nonce"):
        options["task_id"] = record.id
    if record.unique:
        options["unique"] = True
    due = datetime.fromtimestamp(record.at / 1000, UTC) if record.status is JobStatus.SCHEDULED else None
    return Enqueued(
        record.name, tuple(args), kwargs, options, record.lane, due, broker.options.queue, record.id,
        Job(record.id, broker),
    )  # fmt: skip


class Captured(Sequence[Enqueued]):
    """The jobs that were enqueued in a block, in order."""

    def __init__(self) -> None:
        self._all: list[Enqueued] = []
        self._codecs: dict[str, Codec] = {}

    def add(self, broker: Broker, record: JobRecord) -> None:
        self._codecs[broker.options.queue] = broker.codec
        self._all.append(record_of(broker, record))

    @overload
    def __getitem__(self, at: int) -> Enqueued: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Enqueued]: ...
    def __getitem__(self, at: int | slice) -> Enqueued | Sequence[Enqueued]:
        return self._all[at]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Enqueued]:
        return iter(tuple(self._all))

    def __repr__(self) -> str:
        return f"<{len(self)} enqueued jobs>"

    def clear(self) -> None:
        """Forget what was enqueued so far; the jobs stay."""
        self._all.clear()

    def of(
        self,
        task: Any,
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        **fields: Any,
    ) -> list[Enqueued]:
        """The jobs of a task (or of its name).

        With ``args``: those of this very call, however it was spelt. With ``kwargs`` alone: those in which
        these parameters have these values, whatever the others are. ``fields``: ``lane``, ``due``, ``queue``,
        ``id``, or an option.
        """
        name = _name(task)
        return [
            one
            for one in self._all
            if one.task == name
            and (args is None or self._is_call(one, task, args, kwargs or {}))
            and (args is not None or kwargs is None or self._has(one, task, kwargs))
            and all(_field(one, key) == value for key, value in fields.items())
        ]

    def _is_call(self, one: Enqueued, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        wanted = self._travelled(one, (list(args), kwargs))
        return _bound(one, task, tuple(wanted[0]), wanted[1]) == _bound(one, task, one.args, one.kwargs)

    def _has(self, one: Enqueued, task: Any, kwargs: dict[str, Any]) -> bool:
        wanted = self._travelled(one, ([], kwargs))[1]
        given = _bound(one, task, one.args, one.kwargs)
        return all(key in given and given[key] == value for key, value in wanted.items())

    def _travelled(self, one: Enqueued, call: Any) -> Any:
        """What the codec makes of it, so that it can be compared with what was enqueued."""
        codec = self._codecs[one.queue]
        return codec.decode(CALL, b"expected", codec.encode(CALL, b"expected", list(call)))

    # -- claims -----------------------------------------------------------------------------------

    def assert_enqueued(
        self,
        task: Any,
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        *,
        count: int | None = None,
        **fields: Any,
    ) -> Enqueued:
        """Fail unless such a job was enqueued: at least one, or exactly ``count``. Answers the last one."""
        __tracebackhide__ = True
        found = self.of(task, args, kwargs, **fields)
        if not found or (count is not None and len(found) != count):
            times = "" if count is None else f" {count} time{'' if count == 1 else 's'}"
            wanted = f"{_shown(task, args, kwargs, fields)} was not enqueued{times}"
            raise AssertionError(f"{wanted}{f' but {len(found)}' if found else ''}. {self._instead()}")
        return found[-1]

    def assert_not_enqueued(
        self,
        task: Any = None,
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Fail if such a job was enqueued; without a task, if any was."""
        __tracebackhide__ = True
        found = self._all if task is None else self.of(task, args, kwargs, **fields)
        if found:
            wanted = "Nothing" if task is None else _shown(task, args, kwargs, fields)
            verb = "should have been enqueued" if task is None else "was enqueued"
            raise AssertionError(f"{wanted} {verb}. {self._instead()}")

    def _instead(self) -> str:
        if not self._all:
            return "Nothing was enqueued. Inside atomic() a job leaves at commit."
        lines = [f"\n  {one}" for one in self._all[:SHOWN]]
        more = f"\n  ... and {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        return f"Enqueued {'was' if len(self) == 1 else 'were'}:{''.join(lines)}{more}"


def _bound(one: Enqueued, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the names of their parameters; by position where the task is not known here, or where the
    call does not fit it."""
    known = owners.task_of(one.queue, one.task) if isinstance(task, str) else task
    signature = _signature(known)
    if signature is not None:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            pass
        else:
            bound.apply_defaults()
            named = dict(bound.arguments)
            for parameter in bound.signature.parameters.values():
                if parameter.kind is parameter.VAR_KEYWORD:
                    named |= named.pop(parameter.name)
            return named
    return {**{f"argument {at}": value for at, value in enumerate(args)}, **kwargs}


def _signature(task: Any) -> Signature | None:
    """Of a task, or of one of Django's, but for the context, which no caller gives."""
    if hasattr(task, "definition"):
        found: Signature = task.definition.signature
        return found
    if task is None:
        return None
    of_function = Signature.from_callable(task.func)
    given = list(of_function.parameters.values())[1 if task.takes_context else 0 :]
    return of_function.replace(parameters=given)


def _name(task: Any) -> str:
    """The name of the jobs of a task; that of one of Django's is where it lies."""
    return task if isinstance(task, str) else str(getattr(task, "module_path", None) or task.name)


def _field(one: Enqueued, name: str) -> Any:
    if name in ("lane", "due", "queue", "id"):
        return getattr(one, name)
    return one.options.get(name)


def _shown(
    task: Any, args: Sequence[Any] | None, kwargs: dict[str, Any] | None, fields: dict[str, Any]
) -> str:
    words = [*map(repr, args or ()), *(f"{key}={value!r}" for key, value in (kwargs or {}).items())]
    if args is None:
        words += ["..."]
    with_fields = ", ".join(f"{key}={value!r}" for key, value in fields.items())
    return f"{_name(task)}({', '.join(words)})" + (f" with {with_fields}" if with_fields else "")
