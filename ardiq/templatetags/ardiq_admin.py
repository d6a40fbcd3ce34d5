"""What the templates of the admin need and not every Django has."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django import template
from django.template import Context

nonce_attr: Any = None
with suppress(ImportError):  # Django before 6.1 knows no nonces for media
    from django.utils.csp import nonce_attr

register = template.Library()


@register.simple_tag(takes_context=True)
def ardiq_media(context: Context, media: Any) -> Any:
    """The media of a page, with the nonce of the Content Security Policy where there is one."""
    return nonce_attr(context, media) if nonce_attr is not None else media
