"""Who did what in the admin: an entry of its log for each object, and a signal for each action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.utils.translation import ngettext

from ardiq.adminui.text import plain
from ardiq.models import Job, Queue
from ardiq.signals import admin_action

EACH_MOST = 100  # objects that get an entry each; of more there is one for each queue
REPR_MOST = 200  # characters of LogEntry.object_repr


def record(
    request: HttpRequest,
    action: str,
    done: Sequence[Any],
    message: str,
    flag: int = CHANGE,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down what was done to some objects (models of ours), and tell whoever listens."""
    if not done:
        return
    user: Any = request.user
    if len(done) <= EACH_MOST:
        LogEntry.objects.log_actions(
            user_id=user.pk, queryset=done, action_flag=flag, change_message=message
        )  # fmt: skip
    else:
        counts = Counter(getattr(one, "queue", "") for one in done)
        for queue, count in counts.items():
            summary(user, queue, message, count)
    tell(user, type(done[0]), action, done, detail)


def by_form(job: Any) -> str:
    """Who has enqueued a job by the form of the admin, '' for nobody that is known. The log has no index for
    this, and a page asks again while it is open: so each process asks once."""
    return _added_by(job.pk, job.queue, job.enqueued)


@lru_cache(maxsize=1_000)
def _added_by(id: str, *_which: Any) -> str:
    content_type = ContentType.objects.get_for_model(Job, for_concrete_model=False)
    entry = (
        LogEntry.objects.filter(content_type=content_type, object_id=id, action_flag=ADDITION)
        .select_related("user")
        .order_by("pk")
        .last()
    )
    return str(entry.user.get_username()) if entry is not None else ""


def summary(user: Any, queue: str, message: str, count: int) -> None:
    """One entry, on the page of the queue, for what was done to many jobs of it."""
    text = ngettext("%(count)s job: %(message)s", "%(count)s jobs: %(message)s", count)
    LogEntry.objects.create(
        user_id=user.pk,
        content_type=ContentType.objects.get_for_model(Queue, for_concrete_model=False),
        object_id=queue,
        object_repr=plain(queue, REPR_MOST),
        action_flag=CHANGE,
        change_message=text % {"count": count, "message": message},
    )


def tell(
    user: Any, model: type, action: str, done: Sequence[Any], detail: Mapping[str, Any] | None = None
) -> None:
    """Send ``admin_action`` of some objects."""
    queues = {str(getattr(one, "queue", "") or "") for one in done}
    send(
        user,
        model,
        action,
        queue=queues.pop() if len(queues) == 1 else "",
        count=len(done),
        ids=tuple(str(one.pk) for one in done[:EACH_MOST]),
        detail=dict(detail or {}),
    )


def send(
    user: Any,
    model: type,
    action: str,
    *,
    queue: str,
    count: int,
    ids: tuple[str, ...],
    detail: dict[str, Any],
) -> None:
    admin_action.send_robust(
        sender=model, action=action, user=user, queue=queue, count=count, ids=ids, detail=detail
    )
