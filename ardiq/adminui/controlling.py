"""What may be done to queues, workers and schedules: each deed has a page that asks, does, logs and tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, DELETION
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq.adminui.audit import record
from ardiq.adminui.base import EagerChangeList, RedisAdmin, shielded

Text = str | Promise

# quote() never leaves an underscore in an id, so that this is no object's address.
DO = "_do/<str:name>/"
MOST = 100  # objects of one deed


class DeedForm(forms.Form):
    """What has to be said to do it; nothing, unless a subclass asks. ``rows`` are what it is done to,
    ``queues`` those that the user may see."""

    rows: Sequence[Any] = ()
    queues: Sequence[str] = ()

    def __init__(
        self, *args: Any, rows: Sequence[Any] = (), queues: Sequence[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.rows, self.queues = rows, queues
        self.prepare()

    def prepare(self) -> None:
        """Fill choices in, once ``rows`` are known."""


@dataclass(frozen=True, slots=True)
class Deed:
    """``perform(row, data, who)`` does it and returns what is logged, or '' when it came too late. ``unfit``
    says why it does not fit a row, '' when it does. ``alone``: it is done to one object at a time."""

    name: str
    permission: str
    button: Text
    title: Text
    promise: Text
    perform: Callable[[Any, dict[str, Any], str], str]
    unfit: Callable[[Any], Text]
    form: type[DeedForm] = DeedForm
    destroys: bool = False
    alone: bool = False


class ControlAdmin(RedisAdmin):
    """An admin whose objects can be told something."""

    deeds: tuple[Deed, ...] = ()

    def get_queryset(self, request: HttpRequest) -> Any:
        """Over one source for each request, so that its list, filters and counts share what was read."""
        every: Any = super().get_queryset(request)
        name = f"_ardiq_{self.opts.model_name}"
        source = getattr(request, name, None)
        if source is None:
            source = self.model.make_source().marked(sees_jobs=self.sees(request, "job"))
            setattr(request, name, source)
        return every.reading(source)

    def may(self, request: HttpRequest, deed: Deed) -> bool:
        """Whether the user may do this: seeing these objects is part of it."""
        user: Any = request.user
        return self.has_view_permission(request) and user.has_perm(f"ardiq.{deed.permission}")

    def deed(self, name: str) -> Deed | None:
        return next((one for one in self.deeds if one.name == name), None)

    def ask_url(self, deed: Deed, ids: Sequence[str]) -> str:
        return f"{self.url('do', deed.name)}?{urlencode([('id', id) for id in ids])}"

    def ask_about(self, request: HttpRequest, name: str, queryset: Any) -> HttpResponse:
        """What an action of the list answers."""
        deed = self.deed(name)
        if deed is None or not self.may(request, deed):
            raise PermissionDenied
        return HttpResponseRedirect(self.ask_url(deed, [row.pk for row in queryset[:MOST]]))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.do_view)
        return [path(DO, view, name=f"ardiq_{self.opts.model_name}_do"), *super().get_urls()]

    def tools(self, request: HttpRequest, row: Any) -> list[dict[str, Any]]:
        """The buttons on the page of an object: what may be done to it by this user."""
        return [
            {"name": deed.name, "text": deed.button, "url": self.ask_url(deed, [row.pk])}
            for deed in self.deeds
            if self.may(request, deed) and not deed.unfit(row)
        ]

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if kwargs.get("obj") is not None:
            self.read_more(request, kwargs["obj"])
            context["ardiq_tools"] = self.tools(request, kwargs["obj"])
        return super().render_change_form(request, context, *args, **kwargs)

    @shielded
    def do_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask on a GET, do on a POST."""
        deed = self.deed(name)
        if deed is None:
            raise Http404
        if not self.may(request, deed):
            raise PermissionDenied
        rows = self._rows(request)
        fitting = [row for row in rows if not deed.unfit(row)]
        if not fitting or (deed.alone and len(rows) > 1):
            whys = dict.fromkeys(str(deed.unfit(row)) for row in rows if deed.unfit(row))
            text = _("; ").join(whys) or _("choose one")
            told = _("Nothing was done: %s.") % text if rows else _("What was selected is gone.")
            self.message_user(request, told, messages.WARNING)
            return self._back(rows)
        form = deed.form(
            request.POST if request.method == "POST" else None, rows=fitting, queues=self.queues(request)
        )
        if request.method == "POST" and form.is_valid():
            self._do(request, deed, fitting, form.cleaned_data)
            return self._back(fitting)
        return self._ask(request, deed, rows, fitting, form)

    def _rows(self, request: HttpRequest) -> list[Any]:
        """The objects as they are now: the page that named them may be old."""
        ids = list(dict.fromkeys(request.GET.getlist("id")))[:MOST]
        return list(self.get_queryset(request).filter(pk__in=ids)) if ids else []

    def _ask(
        self, request: HttpRequest, deed: Deed, rows: Sequence[Any], fitting: Sequence[Any], form: DeedForm
    ) -> HttpResponse:
        one = fitting[0] if len(rows) == 1 else None
        return self.framed(
            request,
            "ask.html",
            deed.title,
            subtitle=str(one) if one else None,
            media=self.media + form.media,
            deed=deed,
            form=form,
            rows=[
                {
                    "row": row, "why": deed.unfit(row), "url": self.url("change", quote(row.pk)),
                    "facts": self.facts(row),
                }
                for row in rows
            ],
            cancel_url=self.url("change", quote(one.pk)) if one else self.url("changelist"),
        )  # fmt: skip

    def read_more(self, request: HttpRequest, row: Any) -> None:
        """Read what the page of an object shows besides. Here and not by its fields, which are made while the
        page is rendered: an error in the middle of that could not be shielded."""

    def facts(self, row: Any) -> Text:
        """A few words about an object on the page that asks."""
        return ""

    def _do(self, request: HttpRequest, deed: Deed, rows: Sequence[Any], data: dict[str, Any]) -> None:
        user: Any = request.user
        done: list[str] = []
        for row in rows:
            logged = deed.perform(row, data, user.get_username())
            if not logged:
                self.message_user(
                    request, _("%s: nothing was changed; somebody was faster.") % row, messages.WARNING
                )
                continue
            done.append(f"{row}: {logged}" if len(rows) > 1 else logged)
            record(request, deed.name, [row], logged, DELETION if deed.destroys else CHANGE)
        if done:
            self.message_user(request, " ".join(done), messages.SUCCESS)

    def _back(self, rows: Sequence[Any]) -> HttpResponse:
        if len(rows) == 1:
            return HttpResponseRedirect(self.url("change", quote(rows[0].pk)))
        return HttpResponseRedirect(self.url("changelist"))


class OfQueue(admin.SimpleListFilter):
    """By queue, for the rows of small models."""

    title = gettext_lazy("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(alias, alias) for alias in model_admin.queues(request)]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        return queryset if value is None else queryset.filter(queue=value)


class NotedChangeList(EagerChangeList):
    """Has ``notes`` above its rows: sentences about all of them, made by the admin's ``notes``."""

    def notes(self) -> Sequence[Text]:
        me: Any = self.model_admin
        found: Sequence[Text] = me.notes(list(self.result_list))
        return found
