"""What the form to enqueue begins with when it repeats a job: what it would give back as it was.

A field that shows anything else would make another call of it, and nobody would know. So each value goes
through the form once before it is shown: what comes back changed is left out, and named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from typing import Any

from django import forms

from ardiq.adminui.arguments import PREFIX, JsonField, call_of, fields_for
from ardiq.adminui.reading import Reading

_NOTHING = object()
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Given:
    """An argument as it is. ``masked``: pages show something else instead."""

    name: str
    value: Any
    masked: bool


@dataclass(frozen=True, slots=True)
class Repeat:
    """``masked`` and ``lost``: names of what is not filled in, because people may not see it, or because the
    form cannot give it back."""

    initial: dict[str, Any] = field(default_factory=dict)
    masked: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def repeat(signature: Signature, function: Any, reading: Reading) -> Repeat:
    """Fill in the call of a job."""
    given = list(_given(reading))
    wanted, lost = _wanted(signature, given[: reading.positional], given[reading.positional :])
    fields = fields_for(signature, function)
    initial = {name: _initial(fields[PREFIX + name], value) for name, value in wanted.items()}
    back = _back(signature, function, fields, initial)
    for name, value in wanted.items():
        if not same(value, back.get(name, _NOTHING)):
            del initial[name]
            lost.append(str(fields[PREFIX + name].label))
    shown = {PREFIX + name: value for name, value in initial.items()}
    return Repeat(shown, [one.name for one in given if one.masked], lost)


def same(one: Any, other: Any) -> bool:
    """Whether two values are one to a task: equal, and of the same types all the way down."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    try:
        if isinstance(one, dict):
            one, other = list(one.items()), list(other.items())
        if isinstance(one, (list, tuple)):
            return len(one) == len(other) and all(map(same, one, other))
        return bool(one == other)
    except Exception:  # of values that a project makes
        return False


def _given(reading: Reading) -> Iterator[Given]:
    for (name, shown), value in zip(reading.arguments, reading.values, strict=True):
        # Masked is also what has a password inside of it, and what a filter of the project has put there.
        yield Given(name, value, not same(shown, value))


def _wanted(
    signature: Signature, args: Sequence[Given], kwargs: Sequence[Given]
) -> tuple[dict[str, Any], list[str]]:
    """(parameter -> value, of those that may be shown; names of those that have no parameter)."""
    kinds = {name: one.kind for name, one in signature.parameters.items()}
    firsts = [name for name, kind in kinds.items() if kind in _BY_POSITION]
    many = next((name for name, kind in kinds.items() if kind is Parameter.VAR_POSITIONAL), "")
    named = next((name for name, kind in kinds.items() if kind is Parameter.VAR_KEYWORD), "")
    placed = [*zip(firsts, args, strict=False)]
    placed += [(one.name, one) for one in kwargs if kinds.get(one.name) in _BY_NAME]
    wanted = {name: one.value for name, one in placed if not one.masked}
    more = args[len(firsts) :]
    rest = [one for one in kwargs if kinds.get(one.name) not in _BY_NAME and not one.masked]
    lost = []
    if many and more and not any(one.masked for one in more):
        wanted[many] = [one.value for one in more]
    else:  # a list with a gap would move what is behind it
        lost += [one.name for one in more if not one.masked]
    said = {one.name: one.value for one in rest if named and same(one.value, _said(one.value))}
    lost += [one.name for one in rest if one.name not in said]
    return wanted | ({named: said} if said else {}), lost


def _said(value: Any) -> Any:
    """The value as JSON says it."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
        return _NOTHING


def _initial(shown: forms.Field, value: Any) -> Any:
    """The value as a field takes it."""
    if isinstance(shown, JsonField):
        try:
            return json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            return ""
    if isinstance(shown, forms.TypedChoiceField):
        choices: Any = shown.choices
        keys = [key for key, _text in choices if key != "" and same(shown.coerce(key), value)]
        return keys[0] if keys else ""
    return value


def _back(
    signature: Signature, function: Any, fields: dict[str, forms.Field], initial: dict[str, Any]
) -> dict[str, Any]:
    """Parameter -> value of the call that the form makes when it is sent as it begins."""
    data: dict[str, Any] = {}
    for name, shown in fields.items():
        value = initial.get(name.removeprefix(PREFIX), shown.initial)
        if isinstance(shown, forms.BooleanField):
            data |= {name: "on"} if value else {}
        elif value is not None:
            widget: Any = shown.widget
            prepared = shown.prepare_value(value)
            choice = isinstance(shown, forms.ChoiceField)
            data[name] = prepared if choice else widget.format_value(prepared)
    form = forms.Form(data)
    form.fields = fields
    form.is_valid()
    try:
        args, kwargs = call_of(signature, form, function)
        bound = signature.bind_partial(*args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    found = dict(bound.arguments)
    many = next((n for n, one in signature.parameters.items() if one.kind is one.VAR_POSITIONAL), "")
    return {name: list(value) if name == many else value for name, value in found.items()}
