"""django-health-check 4: whether Redis answers, and whether a worker of each queue is alive.

``pip install "django-ardiq[health]"``, and name ``ardiq.contrib.health_check.Queues`` among the checks of a
``HealthCheckView``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable, ServiceWarning

from ardiq import conf
from ardiq.connection import broker
from ardiq.core.errors import BrokerError
from ardiq.store import inspector


@dataclasses.dataclass
class Queues(HealthCheck):
    """``queues``: those in settings by default. With ``max_wait`` a first job that has been ready for more
    seconds is a warning."""

    queues: Sequence[str] | None = None
    max_wait: float | None = None

    def run(self) -> None:
        """In a thread, as the package runs what is not async. Raises its exceptions."""
        missing, late = [], []
        for name in self.queues or conf.known_aliases():
            own = broker(conf.options(name))
            lanes = own.options.priorities
            try:
                counts, heads = own.store.run_many(
                    [inspector.counts(own.keys, lanes), inspector.heads(own.keys, lanes)]
                )
            except BrokerError as error:
                raise ServiceUnavailable(f"Redis does not answer for queue {name}") from error
            if not counts.workers:
                missing.append(name)
            waits = [heads.now - since for since in heads.lanes.values() if since]
            if self.max_wait is not None and max(waits, default=0) > 1000 * self.max_wait:
                late.append(f"{name} ({max(waits) / 1000:,.0f} s)")
        if missing:
            raise ServiceUnavailable(f"No worker serves {', '.join(missing)}")
        if late:
            raise ServiceWarning(f"Jobs wait too long in {', '.join(late)}")
