"""What a running job may tell of itself: what is refused, and what is handed on."""

from __future__ import annotations

from typing import Any

import pytest

from ardiq.core.context import JobContext


class Heard:
    """Reports that remember."""

    def __init__(self) -> None:
        self.said: list[tuple[float, float | None, str]] = []

    def progress(self, job: JobContext, done: float, total: float | None, message: str) -> None:
        self.said.append((done, total, message))

    def log(self, job: JobContext, line: str) -> None:
        raise AssertionError("nothing was logged")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"done": "3"}, TypeError, "done='3': give a number."),
        ({"done": None}, TypeError, "done=None: give a number."),
        ({"done": True}, TypeError, "done=True: give a number."),
        ({"done": -1}, ValueError, "done=-1: give a number from 0 to"),
        ({"done": float("nan")}, ValueError, "done=nan: give a number from 0 to"),
        ({"done": float("inf")}, ValueError, "done=inf: give a number from 0 to"),
        ({"done": 10**400}, ValueError, "give a number from 0 to"),
        ({"done": 1, "total": "9"}, TypeError, "total='9': give a number."),
        ({"done": 1, "total": -9}, ValueError, "total=-9: give a number from 0 to"),
        ({"done": 1, "message": b"now"}, TypeError, "message=b'now': give a str."),
    ],
)
def test_progress_that_is_none_is_refused(given: dict[str, Any], error: type[Exception], words: str) -> None:
    """B9: bad progress is refused where it is given, with its name and what it must be."""
    heard = Heard()
    with pytest.raises(error, match=r"give a") as caught:
        JobContext("id", "name", 1, "queue", "lane", reports=heard).progress(**given)
    assert words in str(caught.value) and len(str(caught.value)) < 200
    assert heard.said == []


def test_progress_is_handed_on_within_bounds() -> None:
    """B9: numbers of any kind, a message cut to 200 characters; without a worker it is checked, and goes
    nowhere."""
    heard = Heard()
    job = JobContext("id", "name", 1, "queue", "lane", reports=heard)
    job.progress(3)
    job.progress(2.5, 10, "half " * 100)
    assert heard.said == [(3, None, ""), (2.5, 10, ("half " * 100)[:200])]
    assert dict(job.headers) == {}
    JobContext("id", "name", 1, "queue", "lane").progress(1, 2, "nobody hears")
