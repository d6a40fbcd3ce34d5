"""What the templates of the admin need and not every Django has."""

from __future__ import annotations

import re
from typing import Any

from django import template
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

NONCE = "csp_nonce"  # as the context processor of Django 6.0 calls it

register = template.Library()

# What stands in attributes is escaped, so that this is nothing but a tag.
_TAG = re.compile(r"<(link|script|style)\b")


@register.simple_tag(takes_context=True)
def ardiq_nonce(context: Context) -> SafeString:
    """The attribute of a tag that a Content Security Policy asks for; nothing where there is no such one."""
    nonce = context.get(NONCE)
    return format_html('nonce="{}"', nonce) if nonce is not None else SafeString("")


@register.simple_tag(takes_context=True)
def ardiq_media(context: Context, media: Any) -> SafeString:
    """The media of a page with that attribute. Django itself knows how since 6.1, and policies since 6.0."""
    markup, attribute = str(media.render()), ardiq_nonce(context)
    return mark_safe(_TAG.sub(rf"<\1 {attribute}", markup) if attribute else markup)  # noqa: S308 - of Django
