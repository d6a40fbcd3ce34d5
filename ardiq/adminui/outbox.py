"""What waits in the outbox of the default database: usually nothing, and then it says why."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db import connections, router
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq.adminui.base import ReadOnlyAdmin
from ardiq.adminui.text import plain
from ardiq.models import Outbox


class OutboxAdmin(ReadOnlyAdmin):
    """Read only: rows are written by transactions and deleted when Redis has their jobs."""

    list_display = ["task_name", "job_id", "queue", "lane", "age", "bytes", "attempts", "last_error"]
    list_filter = ["queue"]
    search_fields = ["job", "task"]
    fields = ["task_name", "job_id", "queue", "lane", "created", "age", "bytes", "attempts", "last_error"]
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Outbox]:
        every = super().get_queryset(request).defer("tail")
        if not _has_table():
            return every.none()
        names = every.order_by().values_list("queue", flat=True).distinct()
        return every.filter(queue__in=[name for name in names if self.has_queue_permission(request, name)])

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        self.refuse_strangers(request)
        if not _has_table():
            text = _("The outbox has no table in the database “%(alias)s” yet: manage.py migrate ardiq")
            messages.warning(request, text % {"alias": router.db_for_read(Outbox)})
            return redirect(reverse("admin:index", current_app=self.admin_site.name))
        return super().changelist_view(request, extra_context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        self.refuse_strangers(request)
        return super().change_view(request, object_id, form_url, extra_context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        self.refuse_strangers(request)
        return super().history_view(request, object_id, extra_context)

    @admin.display(description=gettext_lazy("task"), ordering="task")
    def task_name(self, row: Outbox) -> str:
        return plain(row.task, 200)

    @admin.display(description=gettext_lazy("job"), ordering="job")
    def job_id(self, row: Outbox) -> str:
        return plain(row.job, 200)

    @admin.display(description=gettext_lazy("waiting for"), ordering="created")
    def age(self, row: Outbox) -> str:
        now = timezone.now()
        return timesince(min(row.created, now), now)

    @admin.display(description=gettext_lazy("size"), ordering="size")
    def bytes(self, row: Outbox) -> str:
        return filesizeformat(row.size)

    @admin.display(description=gettext_lazy("last error"), ordering="error")
    def last_error(self, row: Outbox) -> str:
        return plain(row.error, 300) or "-"


def _has_table() -> bool:
    """Whether it is there: a project that has no use for it need not migrate."""
    tables = connections[router.db_for_read(Outbox)].introspection.table_names()
    return Outbox._meta.db_table in tables
