"""The report pages: a slow job, and two ways to wait for it.

``report`` answers at once and lets the browser ask again every second; ``wait`` keeps the request open
until the job has ended, which costs an async view nothing while it waits.
"""

from contextlib import suppress

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from ardiq import JobStatus, queue
from library import work
from library.models import AskedJob, Report
from library.tasks import build_report

WAIT_SECONDS = 20


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    # Only those with a job: where the queue could not be reached, a report was asked for in vain.
    asked = Report.objects.filter(job__isnull=False)
    context = {"latest": asked.filter(finished_at__isnull=False).first(), "reports": asked[:10]}
    return render(request, "library/reports.html", context)


@require_POST
async def build(request: HttpRequest) -> HttpResponse:
    asked = await Report.objects.acreate()
    await work.aremember(await build_report.enqueue(asked.pk), build_report.name, asked)
    return redirect(asked)


@require_safe
def report(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(AskedJob.objects.select_related("report"), report=pk)
    return _page(request, row.report, row, queue().status_sync(row.job_id))


@require_safe
async def wait(request: HttpRequest, pk: int) -> HttpResponse:
    row = await aget_object_or_404(AskedJob, report=pk)
    # Not ready yet is no error here: the page says how far the job is, and offers to wait again.
    with suppress(TimeoutError):
        await queue().result(row.job_id, timeout=WAIT_SECONDS)
    finished = await Report.objects.aget(pk=pk)
    return _page(request, finished, row, await queue().status(row.job_id))


def _page(request: HttpRequest, report: Model, row: AskedJob, status: JobStatus) -> HttpResponse:
    context = {"report": report, "row": row, "status": status, "waiting": work.pending(status)}
    return render(request, "library/report.html", context)
