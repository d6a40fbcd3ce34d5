"""A web server that loads the project, talks to Redis, and then forks, as ``gunicorn --preload`` does.

``python -m tests.faults.preloading URL QUEUE CHILDREN CALLS`` enqueues and waits in the parent, in sync and
in async code, forks, and does so again in all of them at once. Prints one line for each result.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback

import django


def main(url: str, queue: str, children: int, calls: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from ardiq import Ardiq

    app = Ardiq(queue, redis_url=url)
    add = app.ref("add")

    async def through_the_loop(who: int) -> None:
        jobs = [await add.enqueue(who, number) for number in range(calls)]
        results = await asyncio.gather(*(job.result(timeout=60) for job in jobs))
        check(who, [result.value for result in results if result])

    def in_sync_code(who: int) -> None:
        jobs = [add.enqueue_sync(who, number) for number in range(calls)]
        check(who, [result.value for job in jobs if (result := job.result_sync(timeout=60))])

    def check(who: int, values: list[int]) -> None:
        assert values == [who + number for number in range(calls)], values
        sys.stdout.write(f"{who}\n" * len(values))
        sys.stdout.flush()

    def both(who: int) -> None:
        in_sync_code(who)
        asyncio.run(through_the_loop(who))

    both(0)
    pids = []
    for number in range(1, children + 1):
        pid = os.fork()
        if pid == 0:
            try:
                both(1_000 * number)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    both(0)
    codes = [os.waitpid(pid, 0)[1] for pid in pids]
    sys.exit(1 if any(codes) else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
