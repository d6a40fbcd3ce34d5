"""What all pages share: nothing is added or changed here, and without Redis they say so in their frame."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ardiq import conf
from ardiq.adminui import live, times
from ardiq.adminui.text import plain
from ardiq.connection import broker
from ardiq.core.errors import BrokerError
from ardiq.core.redact import safe_url
from ardiq.store.refusals import Denied, unknown_user

RETRY_AFTER = 5  # seconds
LIST = "#changelist .results, #ardiq-nothing"  # what a list shows: its table, or that there is nothing


def shielded(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view for those who may see these objects, that answers 503 in the frame of the admin when Redis
    cannot be reached or cannot serve."""

    @wraps(view)
    def shielded_view(self: RedisAdmin, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.refuse_strangers(request)
        live.take(request)
        try:
            return live.answer(request, view(self, request, *args, **kwargs))
        except BrokerError as error:
            return self.unavailable(request, error)

    return shielded_view


class EagerChangeList(ChangeList):
    """Reads its rows while the view runs: an error in the middle of rendering could not be shielded."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        len(self.result_list)


class ReadOnlyAdmin(admin.ModelAdmin):
    """An admin in which nothing is added or changed by hand."""

    actions: Any = None
    show_full_result_count = False

    class Media:
        css = {"all": ["ardiq/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_queue_permission(self, request: HttpRequest, queue: str) -> bool:
        """Whether the user may see anything of a queue. For projects to override."""
        return True

    def get_urls(self) -> list[Any]:
        """Those of Django, of which the last, that leads from addresses of Django 1.8 to today's, asks for no
        permission."""
        *urls, old = super().get_urls()
        if old.name:
            return [*urls, old]

        def moved(request: HttpRequest, object_id: str) -> HttpResponse:
            self.refuse_strangers(request)
            response: HttpResponse = old.callback(request, object_id=object_id)
            return response

        return [*urls, path("<path:object_id>/", self.admin_site.admin_view(moved))]

    def refuse_strangers(self, request: HttpRequest) -> None:
        """Raise PermissionDenied for who may not see these objects: before anything is read, or others would
        learn whether an object exists, or where Redis is."""
        if not self.has_view_permission(request):
            raise PermissionDenied


class RedisAdmin(ReadOnlyAdmin):
    """A read-only admin over a model that lies in Redis."""

    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 200

    live_regions = LIST
    """A selector of the parts of its pages that keep themselves up to date."""

    @property
    def media(self) -> forms.Media:
        return super().media + live.media(self.live_regions)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return False

    def queues(self, request: HttpRequest) -> list[str]:
        """The queues of settings that the user may see anything of."""
        return [alias for alias in conf.aliases() if self.has_queue_permission(request, alias)]

    def sees(self, request: HttpRequest, model: str) -> bool:
        """Whether the user may see objects of another model, and this site has pages of them: else nothing
        names them, or leads there."""
        user: Any = request.user
        registered = self.admin_site.is_registered(apps.get_model("ardiq", model))
        return registered and bool(user.has_perm(f"ardiq.view_{model}"))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return EagerChangeList

    @shielded
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, extra_context)

    @shielded
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return super().change_view(request, object_id, form_url, extra_context)

    @shielded
    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        return super().history_view(request, object_id, extra_context)

    def unavailable(self, request: HttpRequest, error: BrokerError) -> HttpResponse:
        """Tells what happened. The address of the server is shown without user and password (A4)."""
        queues = self.queues(request)
        places = dict.fromkeys(safe_url(conf.options(alias).redis_url) for alias in queues)
        away = [since for alias in queues if (since := broker(conf.options(alias)).endpoint.away_since)]
        response = self.framed(
            request,
            "unavailable.html",
            _("The task queue cannot be reached"),
            status=503,
            places=[place.rpartition("@")[2] for place in places],
            reason=plain(_reason(error), 300),
            way_out=_way_out(error),
            since=_since(min(away)) if away else "",
            again=request.get_full_path() if request.method == "GET" else self.list_url(),
        )
        response["Retry-After"] = str(RETRY_AFTER)
        return response

    def framed(
        self, request: HttpRequest, template: str, title: object, *, status: int = 200, **context: Any
    ) -> TemplateResponse:
        """A page of ours in the frame of the admin."""
        request.current_app = self.admin_site.name
        frame = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": self.media,
        }
        return TemplateResponse(request, f"admin/ardiq/{template}", {**frame, **context}, status=status)

    # -- addresses ------------------------------------------------------------------------------------

    def url(self, name: str, *args: str, model: str = "") -> str:
        """The address of a page of this admin, or of the one of another model."""
        model = model or self.opts.model_name or ""
        return reverse(f"admin:ardiq_{model}_{name}", args=args, current_app=self.admin_site.name)

    def list_url(self, request: HttpRequest | None = None) -> str:
        """The address of the list, with the filters that the request came with."""
        kept = self.get_preserved_filters(request) if request is not None else ""
        found: str = add_preserved_filters(
            {"preserved_filters": kept, "opts": self.opts}, self.url("changelist")
        )
        return found

    def jobs_link(self, text: str, **filters: str) -> SafeString:
        """A link to the list of jobs, filtered. ``text`` is escaped."""
        return self.jobs_link_to(plain(text), **filters)

    def jobs_link_to(self, shown: str | SafeString, **filters: str) -> SafeString:
        """The same around markup of ours."""
        address = f"{self.url('changelist', model='job')}?{urlencode(filters)}"
        return format_html('<a href="{}">{}</a>', address, shown)


def _since(seconds: float) -> str:
    ms = int(seconds * 1000)  # rounded up, it would lie in the future
    return f"{times.clock(ms, seconds=True)} ({times.relative(ms)})"


def _reason(error: BrokerError) -> str:
    # The cause tells of the network only; the error itself may name a URL with a password in its query.
    said = str(error.__cause__ or "") or type(error).__name__
    return re.sub(r"\bUser \S+ has no ", "The user has no ", said)  # as Redis 7 names it


def _way_out(error: BrokerError) -> str:
    """What somebody has to do about it, where waiting does not help; else ''."""
    if unknown_user(error):
        return str(
            _("Correct the user and the password in REDIS_URL or REDIS_OPTIONS, and restart this site.")
        )
    if isinstance(error, Denied):
        return str(_("manage.py ardiq_check tells which rights the user of the settings lacks."))
    return ""
