"""Model instances as arguments: they travel as app.model, primary key and database, and are fetched
where the job runs. What is stored is never older than the row."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db import models

from ardiq.core import reference
from ardiq.core.codec import register_extension
from ardiq.core.errors import MissingRow
from ardiq.core.reference import Reference


def _travels(value: object) -> bool:
    return isinstance(value, (models.Model, Reference))


def _encode(value: models.Model | Reference) -> bytes:
    if isinstance(value, Reference):
        return reference.pack(value)
    if value.pk is None or value._state.adding:
        raise ValueError(
            f"{value._meta.label} has not been saved, so no worker could fetch it; save it first"
        )
    return reference.pack(Reference(value._meta.label_lower, value.pk, value._state.db or "default"))


def install() -> None:
    """Teach the codec about model instances. Called once, when apps are ready."""
    register_extension(reference.CODE, _travels, _encode, reference.unpack)


def fetch(one: Reference) -> models.Model:
    """The row that a reference stands for. Raises MissingRow when it is gone, or its model is."""
    try:
        model = apps.get_model(one.label)
        row: models.Model = model._base_manager.using(one.using).get(pk=one.pk)
        return row
    except (LookupError, ObjectDoesNotExist) as error:
        raise MissingRow(
            f"{one.label} with primary key {one.pk!r} is not in the database {one.using!r} any more; "
            "it was passed to the task as an argument."
        ) from error


def resolve(value: Any) -> Any:
    """The same structure with every reference replaced by its row."""
    if isinstance(value, Reference):
        return fetch(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(resolve(item) for item in value)
    if isinstance(value, dict):
        return {resolve(key): resolve(item) for key, item in value.items()}
    return value
