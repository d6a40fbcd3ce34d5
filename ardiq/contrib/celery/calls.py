"""What ``apply_async`` is asked for, in the words of ``task.options(...)``."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from numbers import Real
from typing import Any

from django.conf import settings
from django.utils import timezone

from ardiq.core.names import did_you_mean
from ardiq.overrides import CallOptions

OURS = {field.name for field in dataclasses.fields(CallOptions)}
# They say how Celery is to do what is done here in one way only.
IGNORED = {
    "add_to_parent", "compression", "connection", "ignore_result", "producer", "publisher", "retry",
    "retry_policy", "serializer", "shadow",
}  # fmt: skip
REFUSED = {
    "link": "enqueue the next task at the end of this one",
    "link_error": "use an on_error hook, or the signal job_failed",
    "chord": "enqueue the next task at the end of this one",
    "group_id": "enqueue many with enqueue_many",
    "exchange": "queue= names the queue",
    "routing_key": "queue= names the queue",
    "time_limit": "give it to the task: @shared_task(time_limit=...)",
    "soft_time_limit": "give it to the task: @shared_task(soft_time_limit=...)",
}
NUMBERS = (
    "a number, and Celery's numbers run in opposite directions on Redis and on RabbitMQ; name a lane of "
    "PRIORITIES, for example priority='high'."
)


def translated(
    *, countdown: float | None = None, eta: Any = None, expires: Any = None, **options: Any
) -> dict[str, Any]:
    """Options of ``task.options``. Raises NotImplementedError for what does not exist here, TypeError or
    ValueError for what is wrong."""
    out: dict[str, Any] = {}
    for name, value in options.items():
        if name in REFUSED and value is not None:
            raise NotImplementedError(f"{name}={value!r} does not exist here: {REFUSED[name]}.")
        if name in OURS and value is not None:
            out[name] = value
        elif name not in OURS | IGNORED | set(REFUSED):
            known = {"countdown", "eta", "expires", "queue"} | OURS
            raise TypeError(f"apply_async() knows no option {name!r}. {did_you_mean(name, known)}")
    if "priority" in out:
        out["priority"] = lane(out["priority"])
    if countdown:
        out["delay_ms"] = milliseconds("countdown", countdown)
    elif eta is not None:
        out["schedule_ms"] = max(1, int(aware("eta", eta).timestamp() * 1000))
    if expires is not None:
        out["expire_ms"] = max(1, window(expires))
    return out


def lane(priority: object) -> str:
    """Raises ValueError for a number."""
    if isinstance(priority, str):
        return priority
    raise ValueError(f"priority={priority!r} is {NUMBERS}")


def milliseconds(name: str, seconds: object) -> int:
    """Raises TypeError for what is no number of seconds; what is over is now."""
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, Real):
        raise TypeError(f"{name}={seconds!r}: give a number of seconds.")
    return max(0, round(float(seconds) * 1000))


def aware(name: str, moment: object) -> datetime:
    """A naive one is meant in the time zone of the project, as Celery takes it in its own."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if not isinstance(moment, datetime):
        raise TypeError(f"{name}={moment!r}: give a datetime.")
    if timezone.is_aware(moment):
        return moment
    return timezone.make_aware(moment, timezone.get_default_timezone() if settings.configured else None)


def window(expires: object) -> int:
    """Ms from now until a job is of no use."""
    if isinstance(expires, (datetime, str)):
        left = aware("expires", expires) - timezone.now().astimezone(aware("expires", expires).tzinfo)
        return milliseconds("expires", left)
    return milliseconds("expires", expires)
