"""A Content Security Policy that allows nothing without its nonce.

Django has such policies since 6.0, and its own admin keeps to them since 6.1.
In tests/browser a browser judges.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import django
import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from tests.admin.conftest import LIST, Shop, Work
from tests.admin.test_matrix import ADDRESSES, NOBODY, addresses, keys, posted

__all__ = ["keys"]

_LOADS = re.compile(r"<(?:script|style|link)\b[^>]*>")
pytestmark = pytest.mark.skipif(django.VERSION < (6,), reason="Django has no policies before 6.0")


@pytest.fixture
def policy(settings: Settings) -> None:
    from django.utils.csp import CSP

    settings.SECURE_CSP = {"script-src": [CSP.NONCE], "style-src": [CSP.NONCE]}
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csp.ContentSecurityPolicyMiddleware"]
    templates: Any = deepcopy(settings.TEMPLATES)
    templates[0]["OPTIONS"]["context_processors"].append("django.template.context_processors.csp")
    settings.TEMPLATES = templates


def without(response: Any) -> list[str]:
    """The tags of a page that the policy of the page forbids."""
    header = response.headers["Content-Security-Policy"]
    found = re.search(r"'nonce-([^']+)'", header)
    markup = response.content.decode()
    tags = [tag for tag in _LOADS.findall(markup) if "<link" not in tag or "stylesheet" in tag]
    return [tag for tag in tags if not found or f'nonce="{found[1]}"' not in tag]


def test_every_page(policy: None, boss: Client, shop: Shop, work: Work, keys: dict[str, str]) -> None:
    """ADMIN 6.4: each script and style has the nonce; in 6.0, whose own templates have none, ours."""
    shop.app.task(name="shop.form", admin_enqueue=True)(lambda text="": None)
    shop.fail.enqueue_sync()
    work()
    pages = [one for name, one in addresses(keys) if not posted(name) and ADDRESSES[name][0] != NOBODY]
    pages.append(f"{LIST}add/?task={shop.app.queue_name}/shop.form")
    seen = 0
    for address in pages:
        response = boss.get(address)
        if response.status_code != 200 or "html" not in response["Content-Type"]:
            continue
        bare = without(response)
        if django.VERSION < (6, 1):
            if not isinstance(response.template_name, str):
                continue  # a list or a form, which is Django's template and prints the media itself
            bare = [tag for tag in bare if "ardiq/" in tag or "forms.css" in tag]
        assert not bare, (address, bare)
        seen += 1
    assert seen > 10
    assert 'id="id_' in boss.get(pages[-1]).content.decode()


def test_without_redis(policy: None, boss: Client, settings: Settings) -> None:
    """The page that says so, too."""
    settings.ARDIQ = {"lost": {"REDIS_URL": "redis://127.0.0.1:1/0"}}
    response = boss.get(LIST)
    assert response.status_code == 503
    assert not [tag for tag in without(response) if django.VERSION >= (6, 1) or "ardiq" in tag]
