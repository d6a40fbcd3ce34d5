"""The form by which people enqueue a task: which one, with what, when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from ardiq import conf, owners
from ardiq.adminui import audit
from ardiq.adminui.arguments import PREFIX, WhenField, call_of, fields_for
from ardiq.adminui.base import shielded
from ardiq.adminui.doing import DoingAdmin
from ardiq.adminui.repeating import Repeat, repeat
from ardiq.adminui.text import plain
from ardiq.core.errors import ArdiqError, BrokerError
from ardiq.models import Job


def offered(queue: str) -> dict[str, Any]:
    """name -> task of a queue, as far as people may enqueue it by the form."""
    every = conf.options(queue).admin_enqueue == "all"
    found = {name: task for owner in owners.of(queue) for name, task in owner.offers().items()}
    return {name: found[name] for name in sorted(found) if every or found[name].definition.admin_enqueue}


class OptionsForm(forms.Form):
    """When and how a job is to run; the arguments of its task are added to it."""

    lane = forms.ChoiceField(required=False)
    run_at = WhenField(required=False)
    delay = forms.IntegerField(required=False, min_value=0, max_value=315_360_000)
    expire = forms.IntegerField(required=False, min_value=0, max_value=315_360_000)
    task_id = forms.CharField(required=False, max_length=200)
    unique = forms.ChoiceField(required=False)

    def __init__(self, task: Any, lanes: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        definition = task.definition
        own = fields_for(definition.signature, definition.fn)
        self.argument_names = list(own)
        self.fields = {**own, **self.fields}
        words = {
            "lane": (_("lane"), ""),
            "run_at": (_("run at"), _("In your time zone. Left empty: at once, or behind the delay.")),
            "delay": (_("run in"), _("Seconds from now.")),
            "expire": (_("expires in"), _("Seconds. If it has not started by then, it never does.")),
            "task_id": (_("ID"), _("Left empty: a random one. There is no second job of an ID.")),
            "unique": (_("unique"), _("Whether an identical job that waits or runs is found instead.")),
        }
        for name, (label, text) in words.items():
            self.fields[name].label, self.fields[name].help_text = label, text
        lane: Any = self.fields["lane"]
        lane.choices = [("", _("as the task says: %s") % task.priority), *((one, one) for one in lanes)]
        unique: Any = self.fields["unique"]
        unique.choices = [("", _("as the task says")), ("yes", _("Yes")), ("no", _("No"))]

    @property
    def arguments(self) -> list[Any]:
        return [self[name] for name in self.argument_names]

    @property
    def others(self) -> list[Any]:
        return [self[name] for name in self.fields if name not in self.argument_names]

    def options(self) -> dict[str, Any]:
        """As ``task.options`` takes them."""
        given = self.cleaned_data
        out: dict[str, Any] = {}
        if given["lane"]:
            out["priority"] = given["lane"]
        if given["task_id"]:
            out["task_id"] = given["task_id"]
        if given["unique"]:
            out["unique"] = given["unique"] == "yes"
        if given["run_at"]:
            out["schedule"] = given["run_at"]
        for name in ("delay", "expire"):
            if given[name]:
                out[name] = timedelta(seconds=given[name])
        return out


class EnqueueAdmin(DoingAdmin):
    """The page to add a job."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return self.has_view_permission(request) and user.has_perm("ardiq.add_job")

    @shielded
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        queue, _sep, name = request.GET.get("task", "").partition("/")
        source = self._source(request)
        if source is not None:
            queue, name = source.queue, source.task
        if not name:
            return self._page(request, groups=self._groups(request))
        task = offered(queue).get(name) if queue in self.queues(request) else None
        if task is None:
            if source is None:
                raise Http404
            text = _("The form does not offer the task %s: it is not known here, or not marked for it.")
            self.message_user(request, text % plain(name, 200), messages.WARNING)
            return HttpResponseRedirect(self.job_url(request, source))
        lanes, begun = conf.options(queue).priorities, self._repeat(task, source)
        if request.method == "POST":
            form = OptionsForm(task, lanes, request.POST)
            job = self._enqueued(task, form) if form.is_valid() else None
            if job is not None:
                return self._told(request, job, queue, name)
        else:
            form = OptionsForm(task, lanes, initial=begun.initial)
        told = {"begun": begun, "problem": plain(source.reading.problem) if source else ""}
        return self._page(request, form=form, task=name, queue=queue, doc=_doc(task), **told)

    def _source(self, request: HttpRequest) -> Job | None:
        """The job that the form is to repeat, for who may see its arguments."""
        id = request.GET.get("from", "")
        if not id:
            return None
        user: Any = request.user
        if not user.has_perm("ardiq.view_job_payload"):
            raise PermissionDenied
        found = self.get_queryset(request).filter(pk=id)
        if request.GET.get("queue"):
            found = found.filter(queue=request.GET["queue"])
        job: Job | None = found.first()
        if job is None:
            raise Http404
        return job

    def _repeat(self, task: Any, source: Job | None) -> Repeat:
        """What the form begins with, and what of the call that it repeats is not in it."""
        if source is None:
            return Repeat()
        found = repeat(task.definition.signature, task.definition.fn, source.reading)
        found.initial["lane"] = source.lane
        return found

    def _groups(self, request: HttpRequest) -> list[tuple[str, list[dict[str, str]]]]:
        """Tasks by the app, or module, that their names begin with."""
        found: dict[str, list[dict[str, str]]] = {}
        for queue in self.queues(request):
            for name, task in offered(queue).items():
                row = {"name": name, "queue": queue, "doc": _doc(task).partition("\n")[0]}
                found.setdefault(name.partition(".")[0], []).append(row)
        return sorted(found.items())

    def _page(self, request: HttpRequest, **more: Any) -> HttpResponse:
        return self.framed(
            request,
            "job/enqueue.html",
            _("Enqueue a job"),
            **more,
        )

    def _enqueued(self, task: Any, form: OptionsForm) -> Any:
        """The handle of the job; None when it cannot be made, which the form then says."""
        signature = task.definition.signature
        try:
            args, kwargs = call_of(signature, form, task.definition.fn)
            signature.bind(*args, **kwargs)
            options = form.options()
            return (task.options(**options) if options else task).enqueue_sync(*args, **kwargs)
        except BrokerError:
            raise
        except (ArdiqError, TypeError, ValueError) as error:
            text = plain(error, 500)
            names = [name for name in form.argument_names if f"'{name.removeprefix(PREFIX)}'" in text]
            form.add_error(names[0] if len(names) == 1 else None, text)
            return None

    def _told(self, request: HttpRequest, made: Any, queue: str, name: str) -> HttpResponse:
        job = Job(id=made.id, task=name, queue=queue)
        if made.created:
            audit.record(request, "enqueue", [job], _("Enqueued by the form."), ADDITION)
            self.message_user(request, _("The job is enqueued."), messages.SUCCESS)
        else:
            text = _("There is such a job already: nothing was enqueued.")
            self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(self.url("change", admin.utils.quote(job.pk)))


def _doc(task: Any) -> str:
    return plain((task.definition.fn.__doc__ or "").strip(), 500)
