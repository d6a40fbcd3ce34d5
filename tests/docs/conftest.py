"""A place for each sequence, and the project that most of them begin with."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.play import make_project
from tests.server import need_binary


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path: the socket of the embedded server lies below it."""
    need_binary()
    with tempfile.TemporaryDirectory(prefix="docs-") as name:
        yield Path(name).resolve()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))
