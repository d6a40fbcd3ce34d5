"""Tasks of a small shop with something of everything, for pages that are looked at."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from datetime import date
from typing import Any, Literal

from ardiq import Ardiq, current_job

app = Ardiq(os.environ.get("ARDIQ_TEST_QUEUE", "market"))
log = logging.getLogger("market")


@app.task(name="market.add")
async def add(a: int, b: int = 1) -> int:
    return a + b


@app.task(name="market.charge", max_retries=1, backoff_ms=1)
def charge(user: int, card: str, amount: float) -> None:
    """Fails, with a secret among its arguments and in what it says."""
    raise ValueError(f"card {card} of user {user} was declined for {amount:.2f}")


@app.task(name="market.report", keep_logs=True)
def report(pages: int, day: date | None = None) -> dict[str, int]:
    job = current_job()
    for page in range(pages):
        log.info("page %d of %d", page + 1, pages)
        if job is not None:
            job.progress(page + 1, pages, f"page {page + 1}")
        time.sleep(0.01)
    return {"pages": pages}


@app.task(name="market.letter", admin_enqueue=True)
async def letter(
    address: str,
    day: date | None = None,
    kind: Literal["plain", "registered"] = "plain",
    copies: int = 1,
    urgent: bool = False,
    fields: dict[str, Any] | None = None,
) -> str:
    """Write a letter to somebody."""
    return f"{copies} to {address}"


@app.task(name="market.hold")
async def hold(seconds: float = 600) -> None:
    await asyncio.sleep(seconds)


@app.task(name="market.notify", priority="high")
async def notify(address: str) -> str:
    return f"sent to {address}"


@app.cron("0 7 * * 1-5", tz="Europe/Berlin", name="market.digest")
async def digest() -> str:
    return "sent"


@app.cron(every=3600, name="market.sweep")
async def sweep() -> int:
    return 0
