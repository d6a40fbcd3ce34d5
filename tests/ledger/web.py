"""A web process that enqueues inside transactions, and dies where it is told to.

``tables``            make the tables
``die <place> <n>``   n transactions, each in a process that dies there (PLACES), or lives on to its end
``load``              one transaction every 10 ms, every fourth rolled back, until its input ends; prints how
                      long the longest one took, in ms, and how many there were
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, connections, transaction  # noqa: E402

from ardiq import outbox  # noqa: E402
from tests.ledger import PLACES  # noqa: E402
from tests.ledger.tasks import app, enter  # noqa: E402


def die(*args: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def want(number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO wanted (number) VALUES (%s)", [number])


def transact(number: int, place: str = "nowhere") -> None:
    """One transaction that wants an entry, two of which come by enqueue_many every fifth time."""
    if place == "before the delete":
        outbox.delete = die  # type: ignore[assignment]
    with transaction.atomic():
        want(number)
        if place == "before the push":
            transaction.on_commit(die)
        if number % 5:
            enter.enqueue_sync(number)
        else:
            want(-number)
            app.enqueue_many_sync([enter.prepare(number), enter.prepare(-number)])
        if place == "in the transaction":
            die()
        if number % 4 == 3:
            transaction.set_rollback(True)


def in_a_process(number: int, place: str) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            transact(number, place)
            connections.close_all()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def main(what: str, *words: str) -> None:
    if what == "tables":
        call_command("migrate", "ardiq", verbosity=0)
        with connection.cursor() as cursor:
            for table in ("wanted", "entry"):
                cursor.execute(f"CREATE TABLE {table} (number integer)")
    elif what == "die":
        start = 1_000 * (1 + PLACES.index(words[0]))
        for number in range(start, start + int(words[1])):
            in_a_process(number, words[0])
    else:
        longest, number = 0.0, 100_000
        while not select.select([sys.stdin], [], [], 0.01)[0]:
            begin = time.monotonic()
            transact(number)
            longest = max(longest, time.monotonic() - begin)
            number += 1
        print(int(longest * 1000), number - 100_000)


if __name__ == "__main__":
    main(*sys.argv[1:])
