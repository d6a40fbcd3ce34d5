"""The Django app: finds the tasks of the project. Touches no network."""

from __future__ import annotations

from importlib.util import find_spec

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class ArdiqConfig(AppConfig):
    name = "ardiq"
    verbose_name = _("Task queue")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from ardiq import checks, references, serverchecks, tablechecks  # noqa: F401 - importing checks registers them

        references.install()
        # A tasks module that fails to import fails here, with its own traceback.
        autodiscover_modules("tasks")
        if settings.is_overridden("TASKS"):
            self._join()

    def _join(self) -> None:
        """Let workers find the tasks of backends in TASKS, also of those that nobody has used so far."""
        if find_spec("django.tasks") or find_spec("django_tasks"):
            from ardiq.backend import hall

            hall.open_all()
