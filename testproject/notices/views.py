"""The readers' page: one button for each way of enqueuing."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from notices import post
from notices.models import Account, Notice

DELAY_MS = 5_000
DIGEST_SECONDS = 10
FLASH_MS = 60_000


@require_safe
def box(request: HttpRequest) -> HttpResponse:
    notices = Notice.objects.select_related("account")[:20]
    return render(request, "notices/box.html", {"accounts": Account.objects.all(), "notices": notices})


@require_POST
async def greet(request: HttpRequest, pk: int) -> HttpResponse:
    account = await aget_object_or_404(Account, pk=pk)
    await post.greet(account)
    messages.success(request, f"A welcome to {account} is on its way; the gateway will refuse it twice.")
    return redirect("notices:box")


@require_POST
async def sync(request: HttpRequest, pk: int) -> HttpResponse:
    account = await aget_object_or_404(Account, pk=pk)
    job = await post.sync(account)
    answer = "Asked the lending desk" if job.created else "The lending desk is already being asked"
    messages.success(request, f"{answer} about {account}.")
    return redirect("notices:box")


@require_POST
def remind(request: HttpRequest, pk: int) -> HttpResponse:
    account = get_object_or_404(Account, pk=pk)
    post.remind_in(DELAY_MS, account)
    messages.success(request, f"{account} will be reminded in {DELAY_MS // 1000} seconds.")
    return redirect("notices:box")


@require_POST
def flash(request: HttpRequest, pk: int) -> HttpResponse:
    account = get_object_or_404(Account, pk=pk)
    post.flash_within(FLASH_MS, account)
    messages.success(request, f"{account} hears of it within {FLASH_MS // 1000} seconds or not at all.")
    return redirect("notices:box")


@require_POST
def schedule_digest(request: HttpRequest) -> HttpResponse:
    post.digest_in(DIGEST_SECONDS)
    messages.success(request, f"The digest goes out {DIGEST_SECONDS} seconds from now.")
    return redirect("notices:box")
