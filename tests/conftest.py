"""What every test may ask for. The server and the queue of a test are made in ``tests/server.py``."""

from tests.server import clean, queue_name, redis_url

__all__ = ["clean", "queue_name", "redis_url"]
