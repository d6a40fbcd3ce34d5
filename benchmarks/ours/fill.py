"""Give the queue many jobs of one kind: ``fill.py <params as JSON>``, for the admin benchmark.

Params: task, count, and options of the job such as delay_ms; ``abort`` stops that many of them at once.
"""

import asyncio
import json
import sys

import side

CHUNK = 50_000  # so that neither the calls nor the handles of a million jobs are in memory together


async def fill(task: str, count: int, abort: int = 0, **options: int) -> int:
    bound = getattr(side, task)
    prepare = bound.options(**options).prepare if options else bound.prepare
    aborted = 0
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        jobs = await side.app.enqueue_many(prepare(number) for number in numbers)
        for job in jobs[: abort - aborted]:
            aborted += await job.abort()
    return aborted


if __name__ == "__main__":
    print(json.dumps({"aborted": asyncio.run(fill(**json.loads(sys.argv[1])))}))
