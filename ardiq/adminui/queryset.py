"""A real QuerySet whose rows come from Redis: filter, order, slice, get and the rest as Django does them."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NoReturn, Protocol, TypeVar

from asgiref.sync import sync_to_async
from django.db import models
from django.db.models.query import (
    FlatValuesListIterable,
    NamedValuesListIterable,
    ValuesIterable,
    ValuesListIterable,
)

from ardiq.adminui.plan import Plan, RedisQuery, plan_of, refuse

M = TypeVar("M", bound=models.Model)


class Source(Protocol):
    """Where the rows of a model come from. ``allowed`` names the fields to filter by, None for all."""

    allowed: frozenset[str] | None

    def count(self, plan: Plan) -> int: ...
    def rows(self, plan: Plan) -> list[Any]: ...


class RedisQuerySet(models.QuerySet[M]):
    """Evaluated by the source of its model (``source``, made by ``Model.make_source``)."""

    def __init__(self, model: Any = None, query: Any = None, using: Any = None, hints: Any = None) -> None:
        super().__init__(model, query or RedisQuery(model), using, hints)
        self._source: Source | None = None

    @property
    def source(self) -> Source:
        """Kept by all querysets that are made from this one, so that they share what has been read."""
        if self._source is None:
            make: Any = self.model
            self._source = make.make_source()
        return self._source

    @property
    def plan(self) -> Plan:
        return plan_of(self.query, self.source.allowed)  # type: ignore[arg-type]

    def reading(self, source: Source) -> RedisQuerySet[M]:
        """The same queryset over a given source."""
        clone = self._copy()
        clone._source = source
        return clone

    def _copy(self) -> RedisQuerySet[M]:
        copy: RedisQuerySet[M] = self._chain()  # type: ignore[attr-defined]
        return copy

    def search(self, text: str) -> RedisQuerySet[M]:
        """Only objects whose id starts with, or whose name contains, this text."""
        clone = self._copy()
        clone.query.text = text  # type: ignore[attr-defined]
        return clone

    def _clone(self) -> RedisQuerySet[M]:
        clone: RedisQuerySet[M] = super()._clone()  # type: ignore[misc]
        clone._source = self._source
        return clone

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_source": None}

    # -- evaluation -------------------------------------------------------------------------------

    def _shaped(self) -> Callable[[Any], Any]:
        kind: Any = self._iterable_class
        if not issubclass(kind, (ValuesIterable, ValuesListIterable, FlatValuesListIterable)):
            return lambda row: row
        if issubclass(kind, NamedValuesListIterable):
            refuse("values_list(named=True)")
        names = self.query.values_select or [field.attname for field in self.model._meta.concrete_fields]
        if issubclass(kind, FlatValuesListIterable):
            return operator.attrgetter(names[0])
        if issubclass(kind, ValuesListIterable):
            return lambda row: tuple(getattr(row, name) for name in names)
        return lambda row: {name: getattr(row, name) for name in names}

    def _rows(self) -> list[Any]:
        plan = self.plan
        shape = self._shaped()
        return [] if plan.nothing else [shape(row) for row in self.source.rows(plan)]

    def _fetch_all(self) -> None:
        if self._result_cache is None:
            self._result_cache = self._rows()

    def iterator(self, chunk_size: int | None = None) -> Iterator[Any]:
        return iter(self._rows())

    async def aiterator(self, chunk_size: int = 2000) -> AsyncIterator[Any]:
        for row in await sync_to_async(self._rows)():
            yield row

    def count(self) -> int:
        if self._result_cache is not None:
            return len(self._result_cache)
        plan = self.plan
        if plan.nothing:
            return 0
        total = max(0, self.source.count(plan) - plan.start)
        return total if plan.stop is None else min(total, plan.stop - plan.start)

    def exists(self) -> bool:
        return self.count() > 0

    def using(self, alias: str | None) -> RedisQuerySet[M]:
        """The same objects, as long as something is asked of them: no database has any of its own."""
        clone = self._copy()
        clone.query.database = alias  # type: ignore[attr-defined]
        return clone

    # -- refused at once, rather than at the first row ----------------------------------------------

    def _filter_or_exclude_inplace(self, negate: bool, args: Any, kwargs: Any) -> None:
        super()._filter_or_exclude_inplace(negate, args, kwargs)  # type: ignore[misc]
        plan_of(self._query, self.source.allowed)  # type: ignore[attr-defined]

    def prefetch_related(self, *lookups: Any) -> Any:
        if lookups != (None,):
            refuse("prefetch_related()")
        return self._copy()

    def aggregate(self, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            refuse("aggregate()")
        return {}


def _refusal(name: str) -> Callable[..., NoReturn]:
    def method(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        refuse(f"{name}()")

    method.__name__ = name
    return method


for _name in (
    "alias", "annotate", "bulk_create", "bulk_update", "create", "dates", "datetimes", "delete", "difference",
    "explain", "extra", "get_or_create", "intersection", "raw", "select_for_update", "union", "update",
    "update_or_create",
):  # fmt: skip
    setattr(RedisQuerySet, _name, _refusal(_name))


class RedisManager(models.Manager.from_queryset(RedisQuerySet)):  # type: ignore[misc]
    """The manager of models that lie in Redis."""
