"""The task class of the backend: Django's, with a policy of its own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ardiq.backend import policy
from ardiq.backend.origin import Task
from ardiq.core.names import did_you_mean

# Django 6.0 has no defaults for some of its own.
DEFAULTS: dict[str, Any] = {
    "priority": 0,
    "backend": "default",
    "queue_name": "default",
    "run_after": None,
    "takes_context": False,
}


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class ArdiqTask(Task):
    """A Django task that may say how it is run: ``@task(max_attempts=5, backoff=30, timeout=60)``.

    The options are those of ``ardiq.task`` and the names of Django's proposals (policy.NAMES); None leaves
    one to OPTIONS of the backend, and then to the queue. Each can be read as an attribute of the task.
    ``run_after`` may be a timedelta, too, which counts from the enqueue.
    """

    said: tuple[tuple[str, Any], ...] = ()

    def __init__(self, **given: Any) -> None:
        said = dict(given.pop("said", ()))
        for name in given.keys() - {one.name for one in fields(self)}:
            if name not in policy.NAMES:
                raise TypeError(f"@task knows no option {name!r}. {did_you_mean(name, policy.NAMES)}")
            value = given.pop(name)
            if value is not None:
                # A task can be hashed, as Django's can.
                said[name] = tuple(value) if isinstance(value, list) else value
        object.__setattr__(self, "said", tuple(sorted(said.items())))
        # Not super(): a class with slots is made anew.
        Task.__init__(self, **{**DEFAULTS, **given})

    def __getattr__(self, name: str) -> Any:
        if name in policy.NAMES:
            return dict(self.said).get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def said_by(task: Task) -> tuple[tuple[str, Any], ...]:
    """The policy that a task itself has."""
    return task.said if isinstance(task, ArdiqTask) else ()
