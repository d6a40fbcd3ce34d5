"""Models that lie in no database: Django's admin, permissions and log entries know them, Redis has them.

Those that do lie in one are in tables.py; Django looks for all of them here.
"""

from ardiq.models.base import RedisModel
from ardiq.models.dashboard import Dashboard
from ardiq.models.jobs import STATES, Job
from ardiq.models.queues import Queue
from ardiq.models.schedules import Schedule
from ardiq.models.workers import WORKER_STATES, Worker
from ardiq.tables import Once, Outbox

__all__ = [
    "STATES", "WORKER_STATES", "Dashboard", "Job", "Once", "Outbox", "Queue", "RedisModel", "Schedule",
    "Worker",
]  # fmt: skip
