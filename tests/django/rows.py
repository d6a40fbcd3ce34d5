"""Models of every shape that a primary key can have, for tests that pass rows to tasks. Their tables exist
while a module uses the fixture ``shapes``."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, models

__all__ = ["Desk", "FrontDesk", "Lamp", "Place", "Restaurant", "Seat", "Visible", "shapes"]


class Visible(models.Manager[Any]):
    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().filter(hidden=False)


class Desk(models.Model):
    name: Any = models.CharField(max_length=50)
    notes: Any = models.TextField(default="")
    hidden: Any = models.BooleanField(default=False)
    objects = Visible()

    class Meta:
        app_label = "auth"

    def __str__(self) -> str:
        return f"desk {self.name}"


class FrontDesk(Desk):
    class Meta:
        app_label = "auth"
        proxy = True


class Lamp(models.Model):
    id: Any = models.UUIDField(primary_key=True, default=uuid.uuid4)
    watts: Any = models.IntegerField(default=40)

    class Meta:
        app_label = "auth"


class Place(models.Model):
    town: Any = models.CharField(max_length=50)

    class Meta:
        app_label = "auth"


class Restaurant(Place):
    stars: Any = models.IntegerField(default=0)

    class Meta:
        app_label = "auth"


class Seat(models.Model):
    pk = models.CompositePrimaryKey("row", "number")
    row: Any = models.CharField(max_length=2)
    number: Any = models.IntegerField()

    class Meta:
        app_label = "auth"


TABLES: tuple[type[models.Model], ...] = (Desk, Lamp, Place, Restaurant, Seat)


@pytest.fixture(scope="module")
def shapes(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            for model in TABLES:
                editor.create_model(model)
        yield
        with connection.schema_editor() as editor:
            for model in reversed(TABLES):
                editor.delete_model(model)
