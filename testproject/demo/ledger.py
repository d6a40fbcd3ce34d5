"""What has become of the jobs that were asked for since the demo began, by whomever."""

from collections import Counter, defaultdict
from typing import NamedTuple

from ardiq import JobStatus, queue
from library.models import AskedJob
from library.work import pending


class Entry(NamedTuple):
    job_id: str
    kind: str
    photo: str | None


class Ledger:
    """Follows jobs until they end. Visitors ask for jobs too, so it reads what the site remembers."""

    def __init__(self) -> None:
        newest = AskedJob.objects.first()
        self._read_to = newest.pk if newest else 0
        self.open: dict[Entry, JobStatus] = {}
        self.ended: list[tuple[Entry, JobStatus]] = []

    def refresh(self) -> None:
        for row in AskedJob.objects.filter(pk__gt=self._read_to).select_related("photo").order_by("pk"):
            self._read_to = row.pk
            entry = Entry(row.job_id, row.label, row.photo.title if row.photo else None)
            self.open[entry] = JobStatus.QUEUED
        for entry in list(self.open):
            status = queue().status_sync(entry.job_id)
            if pending(status):
                self.open[entry] = status
            else:
                del self.open[entry]
                self.ended.append((entry, status))

    def counts(self) -> dict[str, Counter[JobStatus]]:
        """How many jobs of each kind are in each status; kinds in the order in which they were first seen."""
        found: dict[str, Counter[JobStatus]] = defaultdict(Counter)
        for entry, status in [*self.ended, *self.open.items()]:
            found[entry.kind][status] += 1
        return found
