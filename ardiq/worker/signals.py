"""Three signals: the first lets running jobs end, the second allows two seconds, the third none (R16)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable

log = logging.getLogger("ardiq.worker")


def install(stop: Callable[[bool], None]) -> None:
    """Answer SIGTERM and SIGINT on the running loop; ``stop(hurry)`` is called for the first two."""
    loop = asyncio.get_running_loop()
    received = 0

    def answer(number: signal.Signals) -> None:
        nonlocal received
        received += 1
        if received >= 3:
            os._exit(130)
        words = ("Stopping; running jobs may end.", "Stopping at once; running jobs are handed back.")
        log.info("%s: %s", number.name, words[received - 1])
        stop(received == 2)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, answer, number)
