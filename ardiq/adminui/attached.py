"""The jobs of an object on its own admin page, and the way back from a job to its object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import models
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ardiq import conf, references
from ardiq.adminui import times, tries
from ardiq.adminui.asking import together
from ardiq.adminui.badges import badge
from ardiq.adminui.base import RedisAdmin
from ardiq.adminui.text import plain
from ardiq.core.errors import BrokerError
from ardiq.models import Job
from ardiq.store import inspector

if TYPE_CHECKING:
    _Base = admin.ModelAdmin
else:
    _Base = object

FIELD = "ardiq_jobs"


class JobsMixin(_Base):
    """Shows the newest jobs of an object on its change page: ``class OrderAdmin(JobsMixin, ModelAdmin)``.

    Read-only, for users who may see jobs; ``jobs_shown`` of them, up to 200. A ``fieldsets`` that names the
    field ``ardiq_jobs`` says where they stand, else they come last.
    """

    jobs_shown = 20

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(css={"all": ["ardiq/admin.css"]})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [*super().get_readonly_fields(request, obj), FIELD]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        found = list(super().get_fieldsets(request, obj))
        queues = self._queues_of_jobs(request) if obj is not None else []
        if queues and self.fieldsets and any(FIELD in _flat(part["fields"]) for _title, part in found):
            obj._ardiq_queues = queues
            return found
        # Fields that nobody has chosen are all fields, this one among them.
        found = [(title, {**part, "fields": _without(part["fields"])}) for title, part in found]
        if queues:
            obj._ardiq_queues = queues
            found.append((_("Jobs"), {"fields": [FIELD]}))
        return found

    def _queues_of_jobs(self, request: HttpRequest) -> list[str]:
        """The queues whose jobs the user may see; [] for who may see none."""
        pages = self.admin_site._registry.get(Job)
        if isinstance(pages, RedisAdmin):
            return pages.queues(request) if pages.has_view_permission(request) else []
        user: Any = request.user
        return conf.aliases() if user.has_perm("ardiq.view_job") else []

    @admin.display(description=_("jobs"))
    def ardiq_jobs(self, obj: models.Model) -> SafeString | str:
        """The panel. Without Redis it says so, and the page of the object works."""
        queues: list[str] | None = getattr(obj, "_ardiq_queues", None)
        if queues is None or obj.pk is None:
            return times.NOTHING
        try:
            total, jobs = _newest(obj, queues, self.jobs_shown)
        except BrokerError:
            return render_to_string("admin/ardiq/attached.html", {"away": True})
        rows = [self._row(job) for job in jobs]
        return render_to_string("admin/ardiq/attached.html", {"rows": rows, "total": total})

    def _row(self, job: Job) -> dict[str, Any]:
        error = job.reading.error
        return {
            "badge": badge(job.state),
            "task": plain(job.task, 200),
            "address": self._address(job),
            "when": times.both(job.view.record.at if job.view.record else None),
            "attempts": tries.told(job.reading),
            "ran": times.duration(job.reading.ran_ms),
            # Its message may hold data, and needs the permission to see payloads.
            "error": plain(error.type.rpartition(".")[2], 80) if error else times.NOTHING,
        }

    def _address(self, job: Job) -> str:
        """The page of a job; '' on a site that has none."""
        if Job not in self.admin_site._registry:
            return ""
        page = reverse("admin:ardiq_job_change", args=[quote(job.pk)], current_app=self.admin_site.name)
        return f"{page}?{urlencode({'_changelist_filters': urlencode({'queue': job.queue})})}"


def _flat(fields: Any) -> Iterator[Any]:
    for field in fields:
        yield from field if isinstance(field, (list, tuple)) else (field,)


def _without(fields: Any) -> list[Any]:
    left = []
    for field in fields:
        if isinstance(field, (list, tuple)):
            field = [one for one in field if one != FIELD]
        if field and field != FIELD:
            left.append(field)
    return left


def _newest(obj: models.Model, queues: list[str], most: int) -> tuple[int, list[Job]]:
    """How many jobs the object lists, and the newest of them. One round trip for each server."""
    hash = references.subject_hash(references.of(obj))
    total, jobs = 0, []
    answers = together(queues, lambda own: [inspector.attached(own.keys, hash, most)])
    for alias, (found,) in answers.items():
        mine = [job for job in (Job.of(alias, view) for view in found.views) if _is_about(job, hash)]
        total += found.total - len(found.views) + len(mine)
        jobs += mine
    jobs.sort(key=lambda job: job.view.record.enqueued if job.view.record else 0, reverse=True)
    return total, jobs[:most]


def _is_about(job: Job, hash: str) -> bool:
    """Whether a job is about this object, as far as can be told: its id may have begun another life."""
    subject = job.reading.subject
    return subject is None or references.subject_hash(subject) == hash
