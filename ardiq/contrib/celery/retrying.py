"""When and how often a task is tried again, by Celery's rules and with Celery's defaults."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ardiq.contrib.celery.calls import aware, milliseconds
from ardiq.contrib.celery.exceptions import MaxRetriesExceededError, Retry
from ardiq.core.context import JobContext
from ardiq.core.errors import JobTimedOut
from ardiq.core.outcome import shown

Kinds = Iterable[type[BaseException]]
RETRY_KWARGS = {"max_retries", "countdown", "eta"}


@dataclass(frozen=True)
class Retrying:
    """``default_retry_delay``, ``retry_backoff`` (its factor) and ``retry_backoff_max`` in seconds.
    ``max_retries`` None: without end."""

    max_retries: int | None = 3
    default_retry_delay: float = 180.0
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: Mapping[str, Any] = field(default_factory=dict)
    retry_backoff: float = 0.0
    retry_backoff_max: int = 600
    retry_jitter: bool = True

    @classmethod
    def of(cls, given: dict[str, Any]) -> Retrying:
        """Take what is about it out of the options of a task. Raises TypeError for what is wrong."""
        own = {name: given.pop(name) for name in cls.__dataclass_fields__ if name in given}
        for name in ("autoretry_for", "dont_autoretry_for"):
            own[name] = tuple(own.get(name) or ())
            if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in own[name]):
                raise TypeError(f"{name}={own[name]!r}: give a tuple of exception classes.")
        own["retry_backoff"] = float(own.get("retry_backoff", False))
        own["retry_kwargs"] = dict(own.get("retry_kwargs") or {})
        unknown = set(own["retry_kwargs"]) - RETRY_KWARGS
        if unknown:
            raise TypeError(
                f"retry_kwargs knows no {sorted(unknown)[0]!r}; it takes max_retries and countdown."
            )
        return cls(**own)

    def again(
        self, job: JobContext | None, exc: BaseException | None, countdown: float | None, eta: Any,
        max_retries: int | None,
    ) -> BaseException:  # fmt: skip
        """What ``self.retry`` raises: a Retry, or what ends the job."""
        if job is None:
            return exc or Retry("Task can be retried")
        most = self.max_retries if max_retries is None else max_retries
        if most is not None and job.attempt > most:
            return exc or MaxRetriesExceededError(f"Cannot retry {job.name} {job.id} after {most} retries.")
        if eta is not None and countdown is None:
            delay = max(0, int(aware("eta", eta).timestamp() * 1000) - int(time.time() * 1000))
        else:
            delay = milliseconds("countdown", self.default_retry_delay if countdown is None else countdown)
        return Retry(shown(exc) if exc else "", delay_ms=delay)

    def after(self, job: JobContext | None, error: BaseException) -> BaseException | None:
        """What a task that raised ``error`` raises instead; None when that stands."""
        if isinstance(error, (Retry, *self.dont_autoretry_for)):
            return None
        if not isinstance(error, (Exception, JobTimedOut)):
            return None  # an abort, or the worker stops
        late = isinstance(error, JobTimedOut) and Exception in self.autoretry_for
        if not late and not isinstance(error, self.autoretry_for):
            return None
        kwargs = dict(self.retry_kwargs)
        if self.retry_backoff:
            kwargs["countdown"] = self._backoff(job.attempt - 1 if job else 0)
        exc = TimeoutError("timed out") if late else error
        return self.again(job, exc, kwargs.get("countdown"), kwargs.get("eta"), kwargs.get("max_retries"))

    def _backoff(self, retries: int) -> int:
        """Seconds: factor * 2 ** retries, and with jitter anything from 0 to that."""
        longest = min(self.retry_backoff_max, int(max(1.0, self.retry_backoff)) * 2 ** min(retries, 30))
        return random.randrange(longest + 1) if self.retry_jitter else longest  # noqa: S311 - spreads
