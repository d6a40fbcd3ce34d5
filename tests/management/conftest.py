"""Commands meet queues as workers leave them: the same fixtures."""

from tests.worker.conftest import app, orderly, workers, working

__all__ = ["app", "orderly", "workers", "working"]
