"""Every process of a project with an admin imports ardiq.admin; only who shows a page loads its code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib import admin
from pytest_django.fixtures import Settings

import ardiq.admin
from ardiq.models import Job

ROOT = Path(__file__).parents[2]
LOADED = """
import sys, django
django.setup()
from django.contrib import admin
from ardiq.models import Job
assert admin.site.is_registered(Job)
pages = lambda: "ardiq.adminui.jobs" in sys.modules
before = pages()
admin.site.urls
print(before, pages())
"""


def test_pages_are_loaded_when_somebody_asks_for_one() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert said.stdout.split() == ["False", "True"], said.stderr


@pytest.mark.parametrize(
    ("given", "expected"), [({}, True), ({"ADMIN": False}, False), ({"ADMIN": "no"}, True)]
)
def test_it_can_be_turned_off(settings: Settings, given: dict[str, object], expected: bool) -> None:
    """ADMIN 5: the default site then has no page of it. A setting that is wrong is told by the checks."""
    settings.ARDIQ = {"default": given, "other": {"ADMIN": not expected}}
    assert ardiq.admin.wanted() is expected
    settings.ARDIQ = {}
    assert ardiq.admin.wanted()


def test_the_classes_can_be_imported() -> None:
    """For a site of one's own, and to be extended: they are what is registered."""
    assert isinstance(admin.site.get_model_admin(Job), ardiq.admin.JobAdmin)
    assert all(isinstance(getattr(ardiq.admin, name), type) for name in ardiq.admin.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ardiq.admin.Nothing
