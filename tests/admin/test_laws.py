"""The QuerySet over Redis beside a list of the same jobs: whatever is asked of both, they answer
alike (ADMIN 6.11)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest
from django.db.models import Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ardiq.models import Job
from tests.admin.conftest import Shop, Work

STATES = ("queued", "scheduled", "running", "succeeded", "failed", "aborted", "expired", "nonsense")
TASKS = ("shop.add", "shop.fail", "shop.give", "shop.nothing")
JOBS = 24


@dataclass(frozen=True, slots=True)
class Asked:
    """``states``, ``places`` (of jobs in the list of all), ``tasks``: None where it is not asked for."""

    states: tuple[str, ...] | None
    either: bool
    places: tuple[int, ...] | None
    task: str | None
    backwards: bool
    cuts: tuple[slice, ...]

    def of_redis(self, ids: list[str]) -> Any:
        jobs = Job.objects.all()
        if self.states is not None and self.either:
            some = [Q(state=one) for one in self.states]
            jobs = jobs.filter(some[0] | some[-1])
        elif self.states is not None:
            jobs = jobs.filter(state__in=self.states)
        if self.places is not None:
            jobs = jobs.filter(pk__in=[ids[place] for place in self.places])
        if self.task is not None:
            jobs = jobs.filter(task=self.task)
        jobs = jobs.order_by("at") if self.backwards else jobs
        for cut in self.cuts:
            jobs = jobs[cut]
        return jobs

    def of_a_list(self, every: list[Job]) -> list[str]:
        states = self.states and (self.states[:1] + self.states[-1:] if self.either else self.states)
        found = [
            job.pk
            for place, job in enumerate(every)
            if (states is None or job.state in states)
            and (self.places is None or place in self.places)
            and (self.task is None or job.task == self.task)
        ]
        found = found[::-1] if self.backwards else found
        for cut in self.cuts:
            found = found[cut]
        return found


BOUND = st.none() | st.integers(0, JOBS + 3)
CUT = (
    st.tuples(BOUND, BOUND)
    .filter(lambda pair: None in pair or pair[0] <= pair[1])
    .map(lambda pair: slice(*pair))
)
ASKED = st.builds(
    Asked,
    states=st.none() | st.lists(st.sampled_from(STATES), min_size=1, max_size=4).map(tuple),
    either=st.booleans(),
    places=st.none() | st.lists(st.integers(0, JOBS - 1), max_size=8).map(tuple),
    task=st.none() | st.sampled_from(TASKS),
    backwards=st.booleans(),
    cuts=st.lists(CUT, max_size=2).map(tuple),
)


@pytest.fixture
def every(shop: Shop, work: Work) -> list[Job]:
    """Jobs in each state that lasts, no two at the same moment, as the list of all has them."""
    later = shop.give.options(delay_ms=600_000)
    aborted = shop.add.options(delay_ms=700_000)
    for number in range(4):
        shop.add.enqueue_sync(number)
        work()
        shop.fail.enqueue_sync()
        work()
    for number in range(4):
        for task in (later, aborted, shop.add.options(priority="high"), shop.give):
            job = task.enqueue_sync(number)
            if task is aborted:
                job.abort_sync()
            time.sleep(0.002)  # what happens in one millisecond has no order
    found = list(Job.objects.all())
    assert len({job.at for job in found}) == JOBS
    return found


def test_alike(every: list[Job]) -> None:
    """Filters, both orders, slices of slices: the same jobs in the same order, as many."""
    ids = [job.pk for job in every]

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(ASKED)
    def law(asked: Asked) -> None:
        should = asked.of_a_list(every)
        assert [job.pk for job in asked.of_redis(ids)] == should
        assert asked.of_redis(ids).count() == len(should)
        assert asked.of_redis(ids).exists() is bool(should)
        assert list(asked.of_redis(ids).values_list("pk", flat=True)) == should

    law()
