"""Model instances as arguments: they travel as app.model, primary key and database, and are fetched
where the job runs. What is stored is never older than the row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models

from ardiq.core import reference
from ardiq.core.codec import register_extension
from ardiq.core.errors import MissingRow
from ardiq.core.job import id_for
from ardiq.core.options import Options
from ardiq.core.reference import Reference, subject_meta
from ardiq.core.registry import Definition
from ardiq.core.retry import TEN_YEARS_MS

Rows = dict[Reference, models.Model]

LISTED_MS = 30 * 86_400_000


def _travels(value: object) -> bool:
    return isinstance(value, (models.Model, Reference))


def _encode(value: models.Model | Reference) -> bytes:
    return reference.pack(value if isinstance(value, Reference) else of(value))


def of(row: models.Model) -> Reference:
    """The reference to a row. Raises ValueError for an instance that has not been saved, or was deleted."""
    if row.pk is None and not row._state.adding:
        raise ValueError(f"{row._meta.label} was deleted and has no key any more; no worker could fetch it")
    if row._state.adding:
        raise ValueError(f"{row._meta.label} has not been saved, so no worker could fetch it; save it first")
    return Reference(row._meta.label_lower, row.pk, row._state.db or "default")


def subject(value: object, what: str) -> Reference | None:
    """The object that a job is about; None for None. Raises TypeError, naming ``what``, for what is no model
    instance, and ValueError for one that has not been saved."""
    if value is None or isinstance(value, Reference):
        return value
    if isinstance(value, models.Model):
        return of(value)
    raise TypeError(f"{what} is a {type(value).__name__}: a job is about a model instance, or None.")


def subject_hash(one: Reference) -> str:
    """Names the list of the jobs of an object. A proxy is the object itself, and so is a copy of the row in
    another database."""
    model = model_of(one.label)
    concrete = model._meta.concrete_model if model else None
    label = concrete._meta.label_lower if concrete else one.label
    return id_for(label, subject_meta(one)[1])


def install() -> None:
    """Teach the codec about model instances. Called once, when apps are ready."""
    register_extension(reference.CODE, _travels, _encode, reference.unpack)


def model_of(label: str) -> type[models.Model] | None:
    """The model of this app.model; None for one that is not installed (any more)."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None


def resolve(value: Any) -> Any:
    """The same structure with every reference replaced by its row: one query for each model and database,
    and one instance for each row however often it is named. Raises MissingRow for rows that are gone."""
    wanted = dict.fromkeys(_references(value))
    rows: Rows = {}
    for label, using in dict.fromkeys((one.label, one.using) for one in wanted):
        rows |= _fetch(label, using, [one for one in wanted if (one.label, one.using) == (label, using)])
    gone = [one for one in wanted if one not in rows]
    if gone:
        more = f", as were {len(gone) - 1:,} more that are gone" if len(gone) > 1 else ""
        raise MissingRow(
            f"{gone[0].label} with primary key {gone[0].pk!r} is not in the database {gone[0].using!r}; "
            f"it was passed to the task as an argument{more}."
        )
    return _replaced(value, rows)


def _references(value: Any) -> Iterator[Reference]:
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _references(key)
            yield from _references(item)


def _fetch(label: str, using: str, references: list[Reference]) -> Rows:
    model = model_of(label)
    if model is None:
        return {}
    keys: dict[Reference, Any] = {}
    for one in references:
        try:
            keys[one] = model._meta.pk.to_python(one.pk)  # a UUID or a date has travelled as text
        except ValidationError:
            continue  # the kind of the key has changed since, so that there is no such row
    found = model._base_manager.using(using).in_bulk(list(keys.values()))
    return {one: found[key] for one, key in keys.items() if key in found}


def _replaced(value: Any, rows: Rows) -> Any:
    if isinstance(value, Reference):
        return rows[value]
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(_replaced(item, rows) for item in value)
    if isinstance(value, dict):
        return {_replaced(key, rows): _replaced(item, rows) for key, item in value.items()}
    return value


def listed_for(options: Options, definition: Definition | None) -> int:
    """How long after a job was due its object lists it at least, ms: longer than its result is kept."""
    own = definition.result_ttl_ms if definition is not None else None
    kept = (options.result_ttl_ms, options.failed_ttl_ms, own or 0)
    return TEN_YEARS_MS if min(kept) < 0 else max(LISTED_MS, *kept)
