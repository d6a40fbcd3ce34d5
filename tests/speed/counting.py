"""Counts what Python does: bytecode instructions, and calls of functions of Python and of C, in all threads.

Both are the same on every machine at any load, as far as the program itself takes the same way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Counts = dict[str, int]
TOOL = 4  # of sys.monitoring: one that has no use of its own


def counted(run: Callable[[], Any]) -> Counts:
    """Run something: how many instructions and calls it takes. Needs Python 3.12: tracing is the only way
    before, and CPython 3.11 has turned round for ever at a traced call after other tests."""
    if sys.version_info < (3, 12):  # for the type checker, which knows this form alone
        raise NotImplementedError
    counts = {"instructions": 0, "calls": 0}

    def instruction(_: Any, __: int) -> None:
        counts["instructions"] += 1

    def call(_: Any, __: int, ___: Any, ____: Any) -> None:
        counts["calls"] += 1

    monitoring = sys.monitoring
    events = monitoring.events
    monitoring.use_tool_id(TOOL, "ardiq speed")
    try:
        monitoring.register_callback(TOOL, events.INSTRUCTION, instruction)
        monitoring.register_callback(TOOL, events.CALL, call)
        monitoring.set_events(TOOL, events.INSTRUCTION | events.CALL)
        run()
    finally:
        monitoring.set_events(TOOL, events.NO_EVENTS)
        monitoring.register_callback(TOOL, events.INSTRUCTION, None)
        monitoring.register_callback(TOOL, events.CALL, None)
        monitoring.free_tool_id(TOOL)
    return counts
