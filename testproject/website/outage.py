"""What a visitor sees while the queue's server is away."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from ardiq import BrokerError


class QueueOutageMiddleware:
    """Answers 503 when a view could not reach the queue.

    One place instead of a try in every view: whatever a view wanted from the queue, the visitor can
    only do one thing, which is to come back later.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, BrokerError):
            return None
        response = render(request, "outage.html", {"reason": exception}, status=503)
        response["Retry-After"] = "5"
        return response
