"""Errors under the name that people import them by."""

from __future__ import annotations

import importlib
import pickle

import ardiq
from ardiq.core import errors as core
from ardiq.core.errors import ArdiqError
from ardiq.core.outcome import Failure


def test_one_home() -> None:
    """C13: ``import ardiq.errors`` and ``from ardiq import errors`` are the same, with all of them; results
    and tracebacks name them so."""
    home = importlib.import_module("ardiq.errors")
    assert ardiq.errors is home
    classes = [one for one in vars(core).values() if isinstance(one, type) and issubclass(one, BaseException)]
    assert ArdiqError in classes and {one.__name__ for one in classes} == set(home.__all__)
    for one in classes:
        assert getattr(home, one.__name__) is one and one.__module__ == "ardiq.errors"
    assert Failure.of(core.JobCrashed()).type == "ardiq.errors.JobCrashed"
    assert isinstance(pickle.loads(pickle.dumps(core.QueueFull("full"))), home.QueueFull)
