"""The pages of actions: confirm first, then do, log and tell. Only a POST with a token changes anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION
from django.contrib.admin.utils import unquote
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq import operations
from ardiq.adminui import audit
from ardiq.adminui.actions import ACTIONS, MOST, Action, Text, perform, skip_reason
from ardiq.adminui.again import newest
from ardiq.adminui.asking import broker_of
from ardiq.adminui.badges import LABELS
from ardiq.adminui.base import shielded
from ardiq.adminui.bulk import SPREAD_MOST, BulkAdmin, whole
from ardiq.adminui.export import ExportAdmin
from ardiq.adminui.filters import number
from ardiq.models import Dashboard, Job
from ardiq.store import letters
from ardiq.store.verbs import CHUNK

SHOWN = 20  # jobs that a confirm page names
# quote() never leaves an underscore in an id, so that this is no job's address.
DO = "_do/<str:name>/"
GROUP = "_group/<str:queue>/<str:print>/"
PAGES = ("abort", "retry", "again", "run")  # actions that a page of one job links to


class DoingAdmin(BulkAdmin, ExportAdmin):
    """Actions of jobs, from the list and from the page of one job."""

    def has_abort_permission(self, request: HttpRequest) -> bool:
        return self.may(request, ACTIONS["abort"])

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return self.may(request, ACTIONS["retry"])

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, ACTIONS["delete"]) and (obj is None or ACTIONS["delete"].fits(obj))

    @admin.action(permissions=["retry"], description=gettext_lazy("Retry selected jobs"))
    def retry_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return self.ask_about(request, ACTIONS["retry"], queryset)

    @admin.action(permissions=["retry"], description=gettext_lazy("Run selected jobs again as new jobs"))
    def again_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return self.ask_about(request, ACTIONS["again"], queryset)

    @admin.action(permissions=["abort"], description=gettext_lazy("Abort selected jobs"))
    def abort_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return self.ask_about(request, ACTIONS["abort"], queryset)

    @admin.action(permissions=["retry"], description=gettext_lazy("Run selected scheduled jobs now"))
    def run_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return self.ask_about(request, ACTIONS["run"], queryset)

    # Named as Django's own action, which it replaces: that one collects objects through SQL.
    @admin.action(permissions=["delete"], description=gettext_lazy("Delete selected jobs"))
    def delete_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return self.ask_about(request, ACTIONS["delete"], queryset)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path(DO, wrap(self.do_view), name="ardiq_job_do"),
            path(GROUP, wrap(self.group_view), name="ardiq_job_group"),
            *self.bulk_urls(),
        ]
        for name in PAGES:
            own.append(
                path(
                    f"<path:object_id>/{name}/", wrap(self.ask_view), {"name": name}, name=f"ardiq_job_{name}"
                )
            )
        return [*own, *super().get_urls()]

    def tools(self, request: HttpRequest, job: Job) -> list[dict[str, Any]]:
        """The buttons on the page of a job: what may be done to it by this user."""
        return [
            {"name": name, "text": ACTIONS[name].button, "url": self.url(name, admin.utils.quote(job.pk))}
            for name in ("again", "run", "abort")
            if self.may(request, ACTIONS[name]) and ACTIONS[name].fits(job)
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Without scripts, all pages of a filter are chosen by a box of their own (change_list.html), and no
        row beside it, of which Django wants one."""
        if request.POST.get("select_across") == "1" and ACTION_CHECKBOX_NAME not in request.POST:
            given = request.POST.copy()
            given[ACTION_CHECKBOX_NAME] = ""
            request.POST = given  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)

    # -- ask ------------------------------------------------------------------------------------------

    @shielded
    def ask_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Confirm an action on one job."""
        action = ACTIONS[name]
        if not self.may(request, action):
            raise PermissionDenied
        job = self.get_object(request, unquote(object_id))
        if job is None:
            me: Any = self
            gone: HttpResponse = me._get_obj_does_not_exist_redirect(request, self.opts, unquote(object_id))
            return gone
        why = skip_reason(action, job)
        if why:
            self.message_user(request, _("Nothing was done: the job %s.") % why, messages.WARNING)
            return HttpResponseRedirect(self.job_url(request, job))
        return self._ask(request, action, [job], 1, back="job")

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        return self.ask_view(request, object_id, "delete")

    def ask_about(self, request: HttpRequest, action: Action, queryset: Any) -> HttpResponse | None:
        """Confirm an action on selected jobs, at most MOST of them."""
        if not self.may(request, action):
            raise PermissionDenied
        total = queryset.count()
        whole = total > MOST and request.POST.get("select_across") == "1"
        if whole and action.name in operations.WORK and self.takes_all(queryset):
            return self.ask_about_all(request, action, queryset)
        jobs = list(queryset[:MOST])
        if not any(action.fits(job) for job in jobs):
            whys = dict.fromkeys(str(skip_reason(action, job)) for job in jobs)
            text = _("Nothing to do: each selected job %s.") % _(" or ").join(whys)
            self.message_user(request, text if jobs else _("The selected jobs are gone."), messages.WARNING)
            return None
        return self._ask(request, action, jobs, total, back="list")

    @shielded
    def group_view(self, request: HttpRequest, queue: str, print: str) -> HttpResponse:
        """Confirm running dead letters of one group again, the latest MOST of them. ``print`` is the
        fingerprint that its failures share."""
        action = ACTIONS["retry"]
        if not self.may(request, action) or queue not in self.queues(request):
            raise PermissionDenied
        ids, left = _latest(queue, print)
        jobs = self._jobs(request, [(queue, id) for id in ids])
        if not any(action.fits(job) for job in jobs):
            text = _("None of these failures is left: their jobs run again, or are gone.")
            self.message_user(request, text, messages.WARNING)
            return HttpResponseRedirect(self._dashboard_url(request))
        return self._ask(request, action, jobs, len(jobs) + left, back="dashboard")

    def _ask(
        self, request: HttpRequest, action: Action, jobs: Sequence[Job], total: int, back: str
    ) -> HttpResponse:
        fitting = [job for job in jobs if action.fits(job)]
        groups = Counter((job.state, str(skip_reason(action, job))) for job in jobs)
        return self.framed(
            request,
            "confirm.html",
            action.title,
            action=action,
            fitting=len(fitting),
            groups=[
                {"state": state, "label": LABELS.get(state, _("unreadable")), "count": count, "why": why}
                for (state, why), count in groups.most_common()
            ],
            jobs=fitting[:SHOWN],
            more=max(0, len(fitting) - SHOWN),
            left=max(0, total - len(jobs)),
            pairs=json.dumps([[job.queue, job.id] for job in fitting]),
            back=back,
            paced=action.paced and len(fitting) > 1,
            spread_most=SPREAD_MOST,
            do_url=self.url("do", action.name),
            cancel_url=self._way_back(request, back, jobs[0]),
            preserved_filters=self.get_preserved_filters(request),
        )

    # -- do -------------------------------------------------------------------------------------------

    @shielded
    def do_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Do what was confirmed to the jobs that were confirmed, as far as it still fits them."""
        action = ACTIONS.get(name)
        if not self.has_view_permission(request) or (action and not self.may(request, action)):
            raise PermissionDenied
        if action is None:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        pairs = _pairs(request.POST.get("jobs", ""))
        jobs = self._jobs(request, pairs)
        minutes = whole(request, "minutes", SPREAD_MOST) if action.paced else 0
        step = minutes * 60_000 / len(jobs) if jobs else 0
        done, skipped = perform(action, jobs, (0, step))
        self._log(request, action, done, {"minutes": minutes} if minutes else {})
        self._tell(request, action, done, skipped, len(pairs) - len(jobs))
        if done and action.name == "again" and len(jobs) == 1:
            return HttpResponseRedirect(self._newest(request, jobs[0]))
        there = jobs[0] if len(jobs) == 1 and action.name != "delete" else None
        return HttpResponseRedirect(self._way_back(request, request.POST.get("back", ""), there))

    def _way_back(self, request: HttpRequest, back: str, job: Job | None) -> str:
        """The address that an action was asked from: the page of a job, the dashboard, else the list."""
        if back == "job" and job is not None:
            return self.job_url(request, job)
        return self._dashboard_url(request) if back == "dashboard" else self.list_url(request)

    def _dashboard_url(self, request: HttpRequest) -> str:
        """The address of the dashboard; of the list for those who may not see it."""
        site = self.admin_site
        if site.is_registered(Dashboard) and site.get_model_admin(Dashboard).has_view_permission(request):
            return self.url("changelist", model="dashboard")
        return self.list_url(request)

    def _newest(self, request: HttpRequest, job: Job) -> str:
        """The address of the job that was made of another one last."""
        id = newest(broker_of(job.queue), job.pk)  # the source of this request remembers how it was before
        new = Job(id=id or job.pk, queue=job.queue)
        return self.job_url(request, new)

    def _jobs(self, request: HttpRequest, pairs: list[tuple[str, str]]) -> list[Job]:
        """The jobs as they are now: the page that named them may be old."""
        queues = dict.fromkeys(queue for queue, _id in pairs)
        every = self.get_queryset(request)
        return [
            job
            for queue in queues
            for job in every.filter(queue=queue, pk__in=[id for where, id in pairs if where == queue])
        ]

    def _log(self, request: HttpRequest, action: Action, done: list[Job], detail: dict[str, Any]) -> None:
        flag = DELETION if action.name == "delete" else CHANGE
        audit.record(request, action.name, done, str(action.logged), flag, detail)

    def _tell(
        self,
        request: HttpRequest,
        action: Action,
        done: list[Job],
        skipped: list[tuple[Job, Text]],
        gone: int,
    ) -> None:
        if done:
            self.message_user(request, action.done % {"count": number(len(done))}, messages.SUCCESS)
        whys = Counter(str(why) for _job, why in skipped)
        if gone:
            whys[_("is gone")] += gone
        if whys:
            text = "; ".join(f"{number(count)}× {why}" for why, count in whys.most_common())
            self.message_user(request, _("Skipped: %s.") % text, messages.WARNING)

    def job_url(self, request: HttpRequest, job: Job) -> str:
        """The address of a job's page, with the filters that the request came with."""
        kept = self.get_preserved_filters(request)
        address = self.url("change", admin.utils.quote(job.pk))
        return f"{address}?{kept}" if kept else address


def _latest(queue: str, print: str) -> tuple[list[str], int]:
    """Ids of the latest MOST dead letters of a group, and how many there are behind them. One round trip."""
    own = broker_of(queue)
    calls = [letters.latest(own.keys, at, min(CHUNK, MOST - at), group=print) for at in range(0, MOST, CHUNK)]
    pages: Sequence[letters.Page] = own.store.run_many(calls)
    # What fails between two scripts moves the others on, so that one may be on both pages.
    return list(dict.fromkeys(id for page in pages for id in page.ids)), pages[-1].left


def _pairs(text: str) -> list[tuple[str, str]]:
    """(queue, id) of each job in the confirmed list. Raises BadRequest for anything else."""
    try:
        pairs = [(queue, id) for queue, id in json.loads(text)]
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest("The list of jobs cannot be read.") from error
    if not 0 < len(pairs) <= MOST or not all(isinstance(part, str) for pair in pairs for part in pair):
        raise BadRequest("The list of jobs is empty, too long, or no list of names.")
    return list(dict.fromkeys(pairs))
