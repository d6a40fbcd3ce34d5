"""django.tasks, wherever it comes from."""

try:
    from django import tasks as origin
    from django.tasks import signals
    from django.tasks.exceptions import (
        InvalidTask,
        InvalidTaskBackend,
        TaskResultDoesNotExist,
        TaskResultMismatch,
    )

    LOGGER = "django.tasks"
except ImportError:
    import django_tasks as origin
    from django_tasks import exceptions, signals
    from django_tasks.exceptions import TaskResultDoesNotExist, TaskResultMismatch

    InvalidTask = getattr(exceptions, "InvalidTask", None) or exceptions.InvalidTaskError
    InvalidTaskBackend = getattr(exceptions, "InvalidTaskBackend", None) or exceptions.InvalidTaskBackendError
    LOGGER = "django_tasks"

__all__ = [
    "LOGGER", "InvalidTask", "InvalidTaskBackend", "TaskResultDoesNotExist", "TaskResultMismatch", "origin",
    "signals",
]  # fmt: skip
