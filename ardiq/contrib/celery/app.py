"""``current_app``, ``current_task`` and ``Celery(...)``: what modules ask an app for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from ardiq.contrib.celery import calls, result, tasks
from ardiq.contrib.celery.requests import Request
from ardiq.shortcuts import queue as queue_of


class Control:
    """``app.control``."""

    def revoke(self, task_id: str | Iterable[str], terminate: bool = False, **ignored: Any) -> None:
        """Stop jobs that wait, and with ``terminate`` those that run."""
        for id in [task_id] if isinstance(task_id, str) else task_id:
            result.AsyncResult(id).revoke(terminate=terminate)

    def __getattr__(self, name: str) -> NoReturn:
        raise NotImplementedError(
            f"control.{name} does not exist here: see manage.py ardiq_status and ardiq_jobs, and the admin."
        )


class Celery:
    """An app that keeps nothing: queues are those of the ARDIQ setting, tasks those of ``tasks.py`` modules.

    ``broker``, ``backend`` and other arguments are not looked at.
    """

    def __init__(self, main: str | None = None, **ignored: Any) -> None:
        self.main = main
        self.control = Control()

    def __repr__(self) -> str:
        return f"<Celery {self.main} on ardiq>"

    task = staticmethod(tasks.shared_task)
    AsyncResult = result.AsyncResult

    def send_task(
        self,
        name: str,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        queue: str | None = None,
        **options: Any,
    ) -> result.AsyncResult:
        """Enqueue a task by its name; ``options`` as of ``apply_async``."""
        job = (
            queue_of(queue or "default")
            .ref(name)
            .options(**calls.translated(**options))
            .enqueue_sync(*(args or ()), **dict(kwargs or {}))
        )
        return result.AsyncResult(job.id, job=job)

    def config_from_object(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the ARDIQ setting says it."""

    def autodiscover_tasks(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the tasks.py of every installed app is imported."""

    @property
    def conf(self) -> NoReturn:
        raise NotImplementedError(
            "app.conf does not exist here: the ARDIQ setting names Redis, queues and lanes; beat_schedule "
            "becomes @ardiq.cron, task_routes becomes queue= of each task."
        )

    @property
    def current_task(self) -> tasks.Task | None:
        return tasks.current()


current_app = Celery("default")


class CurrentTask:
    """Stands for the task that runs here; false outside of one."""

    def __bool__(self) -> bool:
        return tasks.current() is not None

    def __getattr__(self, name: str) -> Any:
        found = tasks.current()
        if found is None and name == "request":
            return Request("")
        return getattr(found, name)


current_task = CurrentTask()
