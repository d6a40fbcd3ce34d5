"""A middleware that allows pages nothing but files of their own site.

Since Django 6.1, whose own admin keeps to it, none without the nonce of the page either (site.py).
"""

from __future__ import annotations

from collections.abc import Callable

import django
from django.http import HttpRequest, HttpResponse

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
NONCES = django.VERSION >= (6, 1)
HEADER = "Content-Security-Policy"


def strict(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        # A browser enforces each of several policies. That of nonces comes from Django's own middleware.
        response[HEADER] = ", ".join(filter(None, [POLICY, response.get(HEADER)]))
        return response

    return answer
