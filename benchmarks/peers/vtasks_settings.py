"""The same small Django project as ours, with django-vtasks in the place of ardiq."""

import os

os.environ["BENCH_BARE"] = "1"

from ours.settings import *  # noqa: F403
from ours.settings import INSTALLED_APPS as PLAIN

INSTALLED_APPS = [*PLAIN, "django_vtasks"]
TASKS = {
    "default": {
        "BACKEND": "django_vtasks.backends.valkey.ValkeyTaskBackend",
        "OPTIONS": {"BROKER_URL": os.environ["BENCH_URL"]},
    }
}
