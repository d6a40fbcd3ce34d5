"""Our side, for a client process: Django set up, the tasks, and the queue they belong to."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from bench.tasks import fail, hash_blocks, hold, nap, noop_async, noop_sync, stamp  # noqa: E402

app = noop_async.app

__all__ = ["app", "fail", "hash_blocks", "hold", "nap", "noop_async", "noop_sync", "stamp"]
