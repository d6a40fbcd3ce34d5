"""The library's pages. Some views are async, some sync: both enqueue, and both can ask how a job is doing."""

from django.contrib import messages
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from ardiq import queue
from library import shelves, work
from library.forms import UploadForm
from library.models import AskedJob, Document, Photo

RECENT_JOBS = 25


@require_safe
async def home(request: HttpRequest) -> HttpResponse:
    newest = AskedJob.objects.select_related("document", "photo", "report")[:RECENT_JOBS]
    context = {
        "documents": [row async for row in Document.objects.all()],
        "photos": [row async for row in Photo.objects.all()],
        "jobs": await work.states([row async for row in newest]),
        "form": UploadForm(),
    }
    return render(request, "library/home.html", context)


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return render(request, "library/upload.html", {"form": form}, status=422)
    item = shelves.add(form.cleaned_data["file"], form.cleaned_data["title"])
    jobs = work.process([item])
    messages.success(request, f"“{item}” is on the shelf; {len(jobs)} jobs look at it now.")
    return redirect(item)


@require_POST
def process_all(request: HttpRequest) -> HttpResponse:
    jobs = work.process([*Document.objects.all(), *Photo.objects.all()])
    messages.success(request, f"{len(jobs)} jobs asked for.")
    return redirect("library:home")


@require_POST
def process_one(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    models = {"document": Document, "photo": Photo}
    if kind not in models:
        raise Http404
    item = get_object_or_404(models[kind], pk=pk)
    messages.success(request, f"{len(work.process([item]))} jobs asked for.")
    return redirect(item)


@require_safe
def document(request: HttpRequest, pk: int) -> HttpResponse:
    return _detail(request, "library/document.html", get_object_or_404(Document, pk=pk))


@require_safe
def photo(request: HttpRequest, pk: int) -> HttpResponse:
    return _detail(request, "library/photo.html", get_object_or_404(Photo, pk=pk))


def _detail(request: HttpRequest, template: str, item: Model) -> HttpResponse:
    jobs = []
    for row in item.jobs.all()[:RECENT_JOBS]:
        status = queue().status_sync(row.job_id)
        result = queue().result_sync(row.job_id) if status.finished else None
        jobs.append((row, status, result))
    working = any(work.pending(status) for _, status, _ in jobs)
    return render(request, template, {"item": item, "jobs": jobs, "working": working})


@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(AskedJob, pk=pk)
    if queue().abort_sync(row.job_id):
        messages.success(request, "The job was stopped.")
    else:
        messages.info(request, "The job had already ended.")
    return redirect(row.about or "library:home")
