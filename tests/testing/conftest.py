"""Every test has a queue of its own, which lives nowhere but in the blocks of the kit."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.testing import errands as made


@pytest.fixture(autouse=True)
def errands(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Tasks; a TestCase finds them as ``self.errands``."""
    pytest.importorskip("fakeredis")
    found = made.make(f"kit-{secrets.token_hex(4)}")
    if request.cls is not None:
        request.cls.errands = found
    yield found
    if request.cls is not None:
        del request.cls.errands
