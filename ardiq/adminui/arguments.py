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
        return forms.CharField(required=False, strip=False, help_text=help_text)
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
    """(args, kwargs) of a form that is valid. What was left empty and has a default is left out."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    known = hints(function)
    for name, parameter in signature.parameters.items():
        value = form.cleaned_data.get(PREFIX + name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += value or []
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs |= value or {}
        elif parameter.default is not EMPTY and _is_empty(form, name, value):
            continue
        else:
            if value == "" and _inner(known.get(name))[1]:
                value = None
            if parameter.kind is parameter.POSITIONAL_ONLY:
                args.append(value)
            else:
                kwargs[name] = value
    return args, kwargs


def _is_empty(form: forms.Form, name: str, value: Any) -> bool:
    field = form.fields[PREFIX + name]
    return not isinstance(field, forms.BooleanField) and value in (None, "")


def initial_of(fields: dict[str, forms.Field], given: dict[str, Any]) -> dict[str, Any]:
    """What a form begins with when it repeats a call; values that no field can show are left out."""
    out: dict[str, Any] = {}
    for name, value in given.items():
        field = fields.get(PREFIX + name)
        if field is None:
            continue
        if isinstance(field, JsonField):
            try:
                out[PREFIX + name] = json.dumps(value, ensure_ascii=False)
            except (TypeError, ValueError, RecursionError):
                continue
        elif isinstance(field, forms.TypedChoiceField):
            choices: Any = field.choices
            texts = {str(field.coerce(key)): key for key, _text in choices if key != ""}
            out[PREFIX + name] = texts.get(str(value), "")
        else:
            out[PREFIX + name] = value
    return out
