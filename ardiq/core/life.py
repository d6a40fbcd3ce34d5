"""What tells one life of a job from another under the same id."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a job: a replay, or its id enqueued again, begins another one. ``began`` in epoch ms of the
    server; ``using`` as the task has it: True, or the alias of a database."""

    using: bool | str
    queue: str
    job: str
    began: int
