"""One worker, one list of lanes."""

from __future__ import annotations

import pytest

from ardiq import Ardiq
from ardiq.core.errors import OptionError
from ardiq.running import worker_options


def test_the_longer_list_of_lanes_holds(queue_name: str, redis_url: str) -> None:
    """B11: two objects of one queue, one of which knows more lanes: the worker drains them all."""
    kept = [
        Ardiq(queue_name, redis_url=redis_url),
        Ardiq(queue_name, priorities=["low", "default"], redis_url=redis_url),
    ]
    assert worker_options(queue_name).priorities == ("low", "default") == kept[1].options.priorities


def test_lanes_that_contradict_each_other_are_refused_at_start(queue_name: str, redis_url: str) -> None:
    """B11: a lane that no worker would drain is said so, instead of being left to fill up."""
    kept = [
        Ardiq(queue_name, priorities=["low", "default"], redis_url=redis_url),
        Ardiq(queue_name, priorities=["default", "high"], redis_url=redis_url),
    ]
    with pytest.raises(OptionError, match="low, default in one place and default, high in another"):
        worker_options(queue_name)
    assert len(kept) == 2
