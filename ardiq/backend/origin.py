"""django.tasks, wherever it comes from: Django itself since 6.0, the ``django-tasks`` backport before."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = [
    "BaseTaskBackend", "InvalidTask", "Task", "TaskContext", "TaskError", "TaskResult",
    "TaskResultDoesNotExist", "TaskResultStatus", "log", "normalize_json", "own_receivers", "task_backends",
    "task_enqueued", "task_finished", "task_started",
]  # fmt: skip

if TYPE_CHECKING:
    from django.tasks import task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task, TaskContext, TaskError, TaskResult, TaskResultStatus
    from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
    from django.tasks.signals import logger as log
    from django.tasks.signals import task_enqueued, task_finished, task_started
    from django.utils.json import normalize_json

    own_receivers: frozenset[int]
else:
    try:
        import django.tasks  # noqa: F401 - is it there?
    except ImportError:
        try:
            from django_tasks import base, exceptions, signals, task_backends
        except ImportError as error:
            raise ImportError(
                "ardiq.backend needs django.tasks, which is part of Django 6.0; on Django 5.2 install the "
                'backport: pip install "django-ardiq[tasks]".'
            ) from error
        from django_tasks.backends.base import BaseTaskBackend
        from django_tasks.utils import normalize_json

        # The backport calls it as Django does in its later releases only.
        InvalidTask = getattr(exceptions, "InvalidTask", None) or exceptions.InvalidTaskError
    else:
        from django.tasks import base, exceptions, signals, task_backends
        from django.tasks.backends.base import BaseTaskBackend
        from django.tasks.exceptions import InvalidTask
        from django.utils.json import normalize_json

    Task, TaskContext, TaskError = base.Task, base.TaskContext, base.TaskError
    TaskResult, TaskResultStatus = base.TaskResult, base.TaskResultStatus
    TaskResultDoesNotExist = exceptions.TaskResultDoesNotExist
    log = signals.logger
    task_enqueued, task_started = signals.task_enqueued, signals.task_started
    task_finished = signals.task_finished
    # Ids of the functions by which it writes log lines; they live as long as their module.
    own_receivers = frozenset(id(one) for name, one in vars(signals).items() if name.startswith("log_task_"))
