"""One call of a side, in a process of its own: ``client.py <module> <function> <arguments as JSON>``.

Prints the answer as JSON. Modules offer ``enqueue(calls)``, which takes ``[body, number, seconds]`` and
returns the ids, and ``outcomes(ids)``, which returns ``[state, value]``: "succeeded" with what the job
returned, "failed", or whatever the side calls a job that has not ended. Both may be coroutines.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from importlib import import_module


def main() -> None:
    module, function, given = sys.argv[1:]
    answer = getattr(import_module(module), function)(*json.loads(given))
    if inspect.iscoroutine(answer):
        answer = asyncio.run(answer)
    print(json.dumps(answer), flush=True)
    # One side's threads may crash an interpreter that finalises; the answer is out.
    os._exit(0)


if __name__ == "__main__":
    main()
