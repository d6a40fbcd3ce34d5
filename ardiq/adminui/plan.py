"""What a Django query asks for, in words that Redis can answer. What it cannot answer is refused.

Django builds the query as always; only its evaluation is replaced. Nothing here guesses: an unknown
lookup, a negation, an annotation raise NotSupportedError when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from django.db import NotSupportedError
from django.db.models import sql
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In
from django.db.models.sql.where import AND, NothingNode, WhereNode

Wanted = dict[str, frozenset[Any]]


def refuse(what: str) -> NoReturn:
    raise NotSupportedError(
        f"{what} is not supported: these objects lie in Redis. Filter by exact values with field=... or "
        "field__in=..., and slice."
    )


class RedisQuery(sql.Query):
    """A query that is read but never compiled. ``text`` is searched for in ids and names;
    ``database`` is the alias that somebody asked for with using()."""

    text: str = ""
    database: str | None = None

    def get_compiler(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("SQL")


@dataclass(frozen=True, slots=True)
class Plan:
    """Which objects (``wanted``: field -> values, all of them), in which ``order`` (field, descending),
    and which of those (``start`` up to ``stop``)."""

    wanted: Mapping[str, frozenset[Any]]
    order: tuple[tuple[str, bool], ...]
    start: int
    stop: int | None
    nothing: bool
    text: str

    @property
    def filtered(self) -> bool:
        return bool(self.wanted or self.text)


def plan_of(query: RedisQuery, allowed: Iterable[str] | None = None) -> Plan:
    """Read a query. Raises NotSupportedError for what cannot be answered; ``allowed`` fields to filter by."""
    for what, asked in (
        ("a combination of querysets", query.combinator),
        ("distinct(*fields)", query.distinct_fields),
        ("extra()", query.extra),
        ("annotate()", query.annotations),
        ("select_for_update()", query.select_for_update),
    ):
        if asked:
            refuse(what)
    wanted = _wanted(query.where)
    for field in wanted or ():
        if allowed is not None and field not in allowed:
            refuse(f"Filtering by {field}")
    nothing = wanted is None or query.is_empty() or any(not values for values in (wanted or {}).values())
    if query.database is not None and not wanted:
        # dumpdata asks every model for all that it has in a database: these have nothing in any.
        nothing = True
    return Plan(wanted or {}, _order(query), query.low_mark, query.high_mark, nothing, query.text)


def _order(query: RedisQuery) -> tuple[tuple[str, bool], ...]:
    meta = query.get_meta()
    names: Any = query.order_by or query.extra_order_by
    if not names and query.default_ordering:
        names = meta.ordering
    order = []
    for name in names or ():
        if not isinstance(name, str) or name == "?":
            refuse(f"Ordering by {name!r}")
        field, descending = name.removeprefix("-"), name.startswith("-")
        field = meta.pk.attname if field == "pk" else field
        order.append((field, descending if query.standard_ordering else not descending))
    return tuple(order)


def _wanted(node: Any) -> Wanted | None:
    """field -> values of one node of a WHERE; None when nothing can match."""
    if isinstance(node, NothingNode):
        return None
    if isinstance(node, WhereNode):
        if node.negated:
            refuse("exclude() or ~Q")
        if node.connector == AND:
            return _all_of(node.children)
        return _any_of(node.children)
    return _leaf(node)


def _all_of(children: Iterable[Any]) -> Wanted | None:
    out: Wanted = {}
    for child in children:
        found = _wanted(child)
        if found is None:
            return None
        for field, values in found.items():
            out[field] = out[field] & values if field in out else values
    return out


def _any_of(children: Iterable[Any]) -> Wanted | None:
    parts = [part for child in children if (part := _wanted(child)) is not None]
    fields = {tuple(part) for part in parts}
    if not parts:
        return None
    if len(fields) != 1 or len(parts[0]) != 1:
        refuse("Q objects joined by OR, unless over exact values of one field,")
    field = next(iter(parts[0]))
    return {field: frozenset().union(*(part[field] for part in parts))}


def _leaf(lookup: Any) -> Wanted:
    if not isinstance(lookup, (Exact, In)) or not isinstance(lookup.lhs, Col):
        refuse(f"The lookup {getattr(lookup, 'lookup_name', type(lookup).__name__)!r}")
    if hasattr(lookup.rhs, "resolve_expression") or isinstance(lookup.rhs, sql.Query):
        refuse("Comparing with an expression or a subquery")
    values = lookup.rhs if isinstance(lookup, In) else [lookup.rhs]
    return {lookup.lhs.target.attname: frozenset(values)}
