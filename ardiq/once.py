"""Tasks whose effects in a database happen once: the mark that one has run commits with what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, IntegrityError, transaction

from ardiq.core.life import Life


class _RanBefore(Exception):
    pass


def mark_id(life: Life) -> str:
    text = f"{life.queue}\n{life.job}\n{life.began}"
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def run(life: Life, body: Callable[[], Any], pack: Callable[[Any], bytes]) -> tuple[Any, bytes | None]:
    """Run the body in a transaction with its mark: (what it returned, None). When this life of the job has
    run before: (None, what ``pack`` made of that).

    The mark is written first. Should the same job run in two places, because one of them has lost its lease,
    the second one waits there until the first has committed, and then does not run.
    """
    from ardiq.tables import Once

    alias = DEFAULT_DB_ALIAS if life.using is True else str(life.using)
    id = mark_id(life)
    try:
        with transaction.atomic(using=alias, durable=True):
            _mark(Once(id=id, queue=life.queue, job=life.job, result=b""), alias)
            value = body()
            Once.objects.using(alias).filter(id=id).update(result=pack(value))
    except _RanBefore as before:
        kept = Once.objects.using(alias).filter(id=id).values_list("result", flat=True).first()
        if kept is None:
            raise before.__cause__ or before from None  # purged at this very moment; the next attempt runs
        return None, bytes(kept)
    return value, None


def _mark(mark: Any, alias: str) -> None:
    try:
        mark.save(using=alias, force_insert=True)
    except IntegrityError as error:
        raise _RanBefore from error
    except DatabaseError as error:
        error.add_note(
            f"A task with once=... writes to the table {mark._meta.db_table} of the database {alias!r}; "
            f"if it is missing: manage.py migrate ardiq --database {alias}"
        )
        raise
