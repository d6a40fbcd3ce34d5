"""The project without ardiq: Django set up, redis-py and msgpack imported. Prints its RSS."""

import os

os.environ["BENCH_BARE"] = "1"
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import django
import msgpack  # noqa: F401
import redis  # noqa: F401

django.setup()

from rss import report  # noqa: E402

report()
