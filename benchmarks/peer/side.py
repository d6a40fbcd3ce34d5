"""The peer: the public project of the same name (PyPI ``ardiq`` 1.2.0), its defaults left as they are."""

import os

import bodies

from ardiq import Ardiq

app = Ardiq(redis_url=os.environ["BENCH_URL"], concurrency=int(os.environ["BENCH_CONCURRENCY"]))

noop_async = app.task(bodies.noop_async)
noop_sync = app.task(bodies.noop_sync)
nap = app.task(bodies.nap)
hash_blocks = app.task(bodies.hash_blocks)
stamp = app.task(bodies.stamp)
