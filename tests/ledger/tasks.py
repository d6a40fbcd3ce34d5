"""Tasks that write one line into a table, and whatever else they are asked to do around it."""

from __future__ import annotations

import os
import time

from django.db import connection

from ardiq import Ardiq, current_job
from tests.shop.tasks import note

app = Ardiq(os.environ.get("ARDIQ_TEST_QUEUE", "ledger"))


def write(number: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO entry (number) VALUES (%s)", [number])
    return number * 2


@app.task(name="enter", durable=True, once=True)
def enter(number: int) -> int:
    return write(number)


@app.task(name="enter_in_a_child", once=True, executor="process")
def enter_in_a_child(number: int) -> int:
    return write(number)


@app.task(name="enter_again", durable=True)
def enter_again(number: int) -> int:
    """Without the promise: what the tests must be able to see."""
    return write(number)


@app.task(name="enter_slowly", once=True, max_retries=0)
def enter_slowly(number: int, seconds: float) -> int:
    job = current_job()
    assert job is not None
    note("body", job.id, os.getpid())
    time.sleep(seconds)
    return write(number)
