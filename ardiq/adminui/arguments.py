"""Form fields from the signature of a task: types where its hints name them, JSON where they do not."""

from __future__ import annotations

import datetime
import decimal
import inspect
import json
import types
import typing
import uuid
from enum import Enum
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ardiq.adminui.text import plain
from ardiq.core.redact import shown

PREFIX = "arg_"
EMPTY = inspect.Parameter.empty
PLAIN: dict[Any, Any] = {
    int: forms.IntegerField, float: forms.FloatField, decimal.Decimal: forms.DecimalField,
    datetime.date: forms.DateField, uuid.UUID: forms.UUIDField,
}  # fmt: skip


class WhenField(forms.DateTimeField):
    """A date and time as browsers ask for them."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")


class LinesInput(forms.TextInput):
    """One line; more of them where it begins with several, of which an input would make one."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        if value and "\n" in str(value):
            return forms.Textarea({"rows": 5}).render(name, value, attrs, renderer)
        return super().render(name, value, attrs, renderer)


class TextField(forms.CharField):
    """A text as it is, lines as Python ends them: browsers send others."""

    widget = LinesInput

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return text.replace("\r\n", "\n").replace("\r", "\n") if isinstance(text, str) else text


class JsonField(forms.CharField):
    """Any value that JSON can say; ``kind`` where it must be a list or a dict."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})

    def __init__(self, *args: Any, kind: type | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValidationError(
                _("This is no JSON: %(error)s. Text goes into quotes."), params={"error": error}
            ) from error
        if self.kind is not None and not isinstance(found, self.kind):
            wanted = _("a list") if self.kind is list else _("an object")
            raise ValidationError(_("Give %s.") % wanted)
        return found


def hints(function: Any) -> dict[str, Any]:
    """The types of parameters, as far as they can be resolved here."""
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except Exception:
        return {}


def field_for(parameter: inspect.Parameter, hint: Any) -> forms.Field:
    """The field of one parameter. One that is left empty is left out where it has a default."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        return JsonField(required=False, kind=list, help_text=_("A list in JSON of further arguments."))
    if parameter.kind is parameter.VAR_KEYWORD:
        return JsonField(required=False, kind=dict, help_text=_("An object in JSON of further arguments."))
    inner, optional = _inner(hint)
    required = parameter.default is EMPTY and not optional
    given = parameter.default
    default = given.name if isinstance(given, Enum) else plain(shown(given), 80)
    help_text = "" if parameter.default is EMPTY else _("Left empty: %s") % default
    if inner is bool and not optional:
        return forms.BooleanField(required=False, initial=parameter.default is True)
    choices = _choices(inner)
    if choices is not None:
        none = [] if required else [("", "–")]
        return forms.TypedChoiceField(
            choices=[*none, *((str(n), text) for n, (text, _v) in choices.items())],
            coerce=lambda key: choices[int(key)][1], empty_value=None, required=required, help_text=help_text,
        )  # fmt: skip
    if inner in PLAIN:
        kind: forms.Field = PLAIN[inner](required=required, help_text=help_text)
        if inner is datetime.date:
            kind.widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
        return kind
    if inner is datetime.datetime:
        return WhenField(required=required, help_text=help_text)
    if inner is str:
        return TextField(required=False, strip=False, help_text=help_text)
    json_help = _("In JSON: text in quotes, numbers, lists, objects.")
    return JsonField(required=required, help_text=f"{json_help} {help_text}".strip())


def _inner(hint: Any) -> tuple[Any, bool]:
    """A type without None, and whether None was one of it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [one for one in typing.get_args(hint) if one is not type(None)]
        if len(parts) < len(typing.get_args(hint)):
            return (parts[0] if len(parts) == 1 else None), True
    if typing.get_origin(hint) is typing.Annotated:
        return _inner(typing.get_args(hint)[0])
    return hint, False


def _choices(hint: Any) -> dict[int, tuple[str, Any]] | None:
    """number -> (text, value) of a Literal, an Enum (its values travel) or an optional bool."""
    if typing.get_origin(hint) is typing.Literal:
        return {n: (str(one), one) for n, one in enumerate(typing.get_args(hint))}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {n: (f"{one.name} ({one.value})", one.value) for n, one in enumerate(hint)}
    if hint is bool:
        return {0: (_("Yes"), True), 1: (_("No"), False)}
    return None


def fields_for(signature: inspect.Signature, function: Any) -> dict[str, forms.Field]:
    """PREFIX and name of each parameter -> its field."""
    known = hints(function)
    out = {}
    for name, parameter in signature.parameters.items():
        field = field_for(parameter, known.get(name))
        many, named = parameter.kind is parameter.VAR_POSITIONAL, parameter.kind is parameter.VAR_KEYWORD
        star = "*" if many else "**" if named else ""
        field.label = f"{star}{name}"
        out[PREFIX + name] = field
    return out


def call_of(
    signature: inspect.Signature, form: forms.Form, function: Any
) -> tuple[list[Any], dict[str, Any]]:
    """(args, kwargs) of a form that is valid. What was left empty and has a default is left out.

    Raises TypeError where an object of further arguments names one that has a field."""
    kwargs: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    more: list[Any] = []
    known = hints(function)
    firsts = []  # those that can be given by position
    for name, parameter in signature.parameters.items():
        value = form.cleaned_data.get(PREFIX + name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            more = value or []
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            rest = value or {}
            continue
        if parameter.kind is not parameter.KEYWORD_ONLY:
            firsts.append(parameter)
        if parameter.default is EMPTY or not _is_empty(form, name, value):
            kwargs[name] = None if value == "" and _inner(known.get(name))[1] else value
    args = [_pop(kwargs, one) for one in firsts[: _by_position(firsts, kwargs, bool(more))]]
    if twice := [
        name for name in rest if name in kwargs or name in {one.name for one in firsts[: len(args)]}
    ]:
        raise TypeError(f"got multiple values for argument '{twice[0]}'")
    return [*args, *more], kwargs | rest


def _by_position(firsts: list[inspect.Parameter], given: dict[str, Any], more: bool) -> int:
    """How many parameters must be given by position: all in front of further ones, and up to the last one
    that has no name for callers."""
    if more:
        return len(firsts)
    only = [one.kind is one.POSITIONAL_ONLY and one.name in given for one in firsts]
    return len(only) - only[::-1].index(True) if any(only) else 0


def _pop(given: dict[str, Any], parameter: inspect.Parameter) -> Any:
    """Its value, or its default where it was left empty; values of enums travel, not their members."""
    value = given.pop(parameter.name, parameter.default)
    return value.value if isinstance(value, Enum) else value


def _is_empty(form: forms.Form, name: str, value: Any) -> bool:
    field = form.fields[PREFIX + name]
    if isinstance(field, JsonField):  # null is a value
        return not str(form.data.get(form.add_prefix(PREFIX + name)) or "").strip()
    return not isinstance(field, forms.BooleanField) and value in (None, "")
