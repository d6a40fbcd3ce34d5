"""What models that lie in Redis share: read through a manager, never saved."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from django.db import NotSupportedError, models

from ardiq.adminui.queryset import RedisManager

if TYPE_CHECKING:
    Flag = models.BooleanField[bool, bool]
    Text = models.CharField[str, str]
    Whole = models.PositiveIntegerField[int, int]
    When = models.DateTimeField[datetime | None, datetime | None]


class RedisModel(models.Model):
    """Read through its manager, changed only through tasks and jobs."""

    objects: ClassVar[Any] = RedisManager()

    sees_jobs = False
    """Whether whoever looks at it may see jobs as well; set by the admin."""

    class Meta:
        abstract = True
        managed = False
        base_manager_name = "objects"

    @classmethod
    def make_source(cls) -> Any:
        raise NotImplementedError

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotSupportedError(
            f"A {self._meta.verbose_name} lies in Redis and is not saved; enqueue a task."
        )

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotSupportedError(
            f"A {self._meta.verbose_name} lies in Redis; a job is deleted with ardiq's Job.delete_sync()."
        )

    def read(self) -> None:
        """Mark as read, as Django does with rows: not new, and from no database in particular."""
        self._state.adding = False
        self._state.db = None
