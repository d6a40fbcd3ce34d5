"""Who asked for a job: the user and the request that enqueued it, where PROPAGATE names "enqueued_by".

The middleware remembers the request while its view runs. The user is told only once the view, or a middleware
before it, has looked who it is: an enqueue never reads a session for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import LazyObject, empty

USER_MOST, PATH_MOST = 150, 200  # characters that travel

Origin = dict[str, str]
"""``user`` and ``request`` ('POST /cart/pay'), each only where it is known."""

_request: ContextVar[HttpRequest | None] = ContextVar("ardiq_request", default=None)
_inherited: ContextVar[Origin | None] = ContextVar("ardiq_origin", default=None)


@sync_and_async_middleware
def remember_request(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponse] | Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """For MIDDLEWARE, behind that of authentication: jobs that a view enqueues know its request and user."""
    if iscoroutinefunction(get_response):

        async def around_async(request: HttpRequest) -> HttpResponse:
            token = _request.set(request)
            try:
                answer: HttpResponse = await get_response(request)
                return answer
            finally:
                _request.reset(token)

        return around_async

    def around(request: HttpRequest) -> HttpResponse:
        token = _request.set(request)
        try:
            answer: HttpResponse = get_response(request)
            return answer
        finally:
            _request.reset(token)

    return around


def origin() -> Origin | None:
    """Of what is enqueued here and now: of this request, or inside of a job that of the job."""
    request = _request.get()
    if request is None:
        return _inherited.get()
    told = {"request": f"{request.method} {request.path}"[:PATH_MOST]}
    user = _known_user(request)
    if getattr(user, "is_authenticated", False) and hasattr(user, "get_username"):
        told["user"] = str(user.get_username())[:USER_MOST]
    return told


def _known_user(request: HttpRequest) -> Any:
    """The user of a request as far as somebody has asked for it; None before that. Asking now may mean a
    query, here and there in the middle of a transaction or an event loop."""
    # Whoever signs in, signs out, or acts for somebody else assigns it; so do REST frameworks.
    user: Any = request.__dict__.get("user", empty)
    if isinstance(user, LazyObject):
        user = user._wrapped
    if user is not empty:
        return user
    # Where the middleware of Django keeps what it has found.
    return getattr(request, "_cached_user", None) or getattr(request, "_acached_user", None)


def inherit(told: object) -> None:
    """Let what is enqueued here know the origin of this job. Raises TypeError for what is none."""
    if not isinstance(told, dict):
        raise TypeError(f"{type(told).__name__} is no origin")
    _request.set(None)
    _inherited.set(read_origin(told))


def read_origin(told: object) -> Origin:
    """What a job tells of its origin; anything else is left out."""
    given = told if isinstance(told, dict) else {}
    mosts = {"user": USER_MOST, "request": PATH_MOST}
    return {
        name: text[:most] for name, most in mosts.items() if isinstance(text := given.get(name), str) and text
    }
