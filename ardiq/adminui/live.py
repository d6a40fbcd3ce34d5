"""Pages that keep themselves up to date: the same view again, answered only when it has changed.

The browser's part is static/ardiq/live.js. It asks for the page itself with ``_live=1``, so that whoever may
not see a page gets no part of it either.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from django import forms
from django.forms import Script
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.translation import gettext_lazy as _

from ardiq import conf

PARAMETER = "_live"
# What differs in each copy of an unchanged page: the masks of tokens, and nonces.
_CHANCE = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"|nonce="[^"]*"')


def seconds() -> int:
    """How often pages look again; 0 for never: ADMIN_REFRESH of the queue that settings name first."""
    aliases = conf.aliases()
    return conf.options(aliases[0]).admin_refresh if aliases else 0


def media(regions: str) -> forms.Media:
    """The module, and what it is to do: ``regions`` is a selector of the parts that are kept up to date."""
    every = seconds()
    if not regions or not every:
        return forms.Media()
    texts = {
        "data-live": _("Live"),
        "data-stale": _("stale since %s"),
        "data-again": _("Sign in again"),
        "data-newer": _("%s newer: show"),
        "data-moved": _("The order has changed: show"),
    }
    script = Script(
        "ardiq/live.js", type="module", **{"data-ardiq-live": regions, "data-every": every}, **texts
    )
    return forms.Media(js=[script])  # type: ignore[list-item]


def wanted(request: HttpRequest) -> bool:
    return getattr(request, "_ardiq_live", False)


def take(request: HttpRequest) -> None:
    """Take the parameter out of the address: filters and links must not meet it."""
    if PARAMETER in request.GET:
        request._ardiq_live = True  # type: ignore[attr-defined]
        given = request.GET.copy()
        del given[PARAMETER]
        request.GET = given  # type: ignore[assignment]
        request.META["QUERY_STRING"] = given.urlencode()


def answer(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The response, or 304 when the browser has it already."""
    if not wanted(request) or response.status_code != 200:
        return response
    render = getattr(response, "render", None)
    if callable(render):
        render()
    digest = blake2b(_CHANCE.sub(b"", response.content), digest_size=12)
    tag = f'"{digest.hexdigest()}"'
    if request.headers.get("If-None-Match") == tag:
        response = HttpResponseNotModified()
    response["ETag"] = tag
    return response
