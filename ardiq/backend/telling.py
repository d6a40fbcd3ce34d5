"""Django's signals of tasks, and with them the log lines of its own receivers.

A receiver that raises is logged and changes nothing. Django's own receiver of each signal does nothing but
log: where nobody else listens, and its line would not be written, nothing is sent.
"""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import Signal

from ardiq.backend.origin import (
    TaskResult,
    log,
    own_receivers,
    task_enqueued,
    task_finished,
    task_started,
)

_LEVELS = {id(task_enqueued): logging.DEBUG, id(task_started): logging.INFO, id(task_finished): logging.INFO}


def is_heard(signal: Signal, level: int = 0) -> bool:
    """Whether anybody would notice. ``level``: that of the line, if it is not the usual one."""
    return _is_received(signal) or log.isEnabledFor(level or _LEVELS[id(signal)])


def _is_received(signal: Signal) -> bool:
    """Whether there is a receiver beside Django's own, which may have been disconnected."""
    receivers = signal.receivers
    # The first part of the key that Django keeps of a receiver is the id of the function.
    return len(receivers) > 1 or (len(receivers) == 1 and receivers[0][0][0] not in own_receivers)


def send(signal: Signal, sender: type, result: TaskResult) -> None:
    if is_heard(signal):
        signal.send_robust(sender=sender, task_result=result)


async def asend(signal: Signal, sender: type, result: TaskResult) -> None:
    """``send`` on an event loop: receivers that are not async run in a thread, where they may use the ORM."""
    if _is_received(signal):
        await signal.asend_robust(sender=sender, task_result=result)
    else:
        send(signal, sender, result)


def send_finished(sender: type, result: TaskResult, error: BaseException | None) -> None:
    """As Django sends it: of a task that failed while its exception is being handled."""
    if error is None:
        task_finished.send_robust(sender=sender, task_result=result)
        return
    traceback: Any = error.__traceback__
    try:
        raise error
    except BaseException:
        error.__traceback__ = traceback  # where the task raised it, and not here
        task_finished.send_robust(sender=sender, task_result=result)
