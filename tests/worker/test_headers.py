"""Headers: short texts that travel with a job, the same for every attempt and for everybody who looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, current_job
from ardiq.core.headers import BYTES_MOST, COUNT_MOST
from tests.workers import Working

Make = Callable[..., Working]
HEADERS = {"trace": "4bf92f35", "von": "Zoë"}


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_they_travel_with_the_job(app: Ardiq, working: Make, colour: str) -> None:
    """B9, E4: the same in every attempt and after a replay, in a bulk and alone; seen before and after."""
    seen: list[tuple[int, dict[str, str]]] = []
    hooked: list[dict[str, str]] = []

    def look() -> None:
        job = current_job()
        assert job is not None
        seen.append((job.attempt, dict(job.headers)))
        with pytest.raises(TypeError):
            job.headers["trace"] = "forged"  # type: ignore[index]
        if job.attempt == 1:
            raise OSError

    async def look_async() -> None:
        look()

    @app.on_error
    def hook(error: BaseException, job: Any) -> None:
        hooked.append(dict(job.headers))

    task = app.task(name="look")(look_async if colour == "async" else look)
    jobs = [
        task.options(headers=HEADERS).enqueue_sync(),
        *app.enqueue_many_sync([task.options(headers=HEADERS).prepare()]),
        task.options(headers={}).enqueue_sync(),
    ]
    assert jobs[0].info_sync().headers == HEADERS
    with working(concurrency=1):
        for job in jobs:
            job.result_sync(timeout=20)
        assert [job.info_sync().headers for job in jobs] == [HEADERS, HEADERS, {}]
        assert jobs[0].replay_sync()
        jobs[0].result_sync(timeout=20)
    assert sorted(seen, key=str) == sorted([(1, HEADERS), (2, HEADERS)] * 3 + [(1, {}), (2, {})], key=str)
    assert hooked.count(HEADERS) == 3 and hooked.count({}) == 1


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("trace=1", TypeError, "give a dict of str to str"),
        ({"trace": 1}, TypeError, "'trace': 1; give a dict of str to str"),
        ({1: "trace"}, TypeError, "1: 'trace'; give a dict of str to str"),
        ({"": "x"}, ValueError, "'' is no name"),
        ({"a\nb": "x"}, ValueError, "is no name"),
        ({"half": "\udcff"}, ValueError, "half of a surrogate pair"),
        ({str(n): "" for n in range(COUNT_MOST + 1)}, ValueError, f"give at most {COUNT_MOST}"),
        ({"long": "ä" * BYTES_MOST}, ValueError, f"give at most {BYTES_MOST:,}"),
    ],
    ids=range(8),
)
def test_what_are_no_headers_is_refused(app: Ardiq, given: Any, error: type[Exception], words: str) -> None:
    """C3: at the door, before anything is sent, with what they must be."""
    task = app.task(name="task")(lambda: None)
    with pytest.raises(error) as caught:
        task.options(headers=given)
    assert words in str(caught.value) and "headers" in str(caught.value)
    assert len(str(caught.value)) < 300
    assert app.queue_size_sync() == 0


def test_they_are_a_copy(app: Ardiq) -> None:
    """C3: what is done to the dict afterwards does not reach the job."""
    headers = dict(HEADERS)
    bound = app.task(name="task")(lambda: None).options(headers=headers)
    headers.clear()
    job = bound.enqueue_sync()
    assert job.info_sync().headers == HEADERS
    assert bound.options(priority="high").enqueue_sync().info_sync().headers == HEADERS
    assert job.delete_sync()
