"""A Django project with nothing in it but ardiq, for the tests and for the processes that they start.

What differs between a test and its subprocesses comes through the environment:

``ARDIQ_TEST_SETTINGS``  the setting ARDIQ as JSON
``ARDIQ_TEST_DATABASE``  file of the SQLite database, in memory without it; or the URL of a postgresql:// or
                         mysql:// one
``ARDIQ_TEST_DATABASE_OPTIONS``  OPTIONS of such a one, as JSON
``ARDIQ_TEST_APPS``      more apps, separated by commas, such as tests.shop
``ARDIQ_TEST_TASKS``     the setting TASKS as JSON; without it there is none
``ARDIQ_TEST_DEBUG``     DEBUG is on when this is set
"""

import json
import os
from urllib.parse import urlsplit

SECRET_KEY = "only-for-tests"
ALLOWED_HOSTS = ["*"]
DEBUG = bool(os.environ.get("ARDIQ_TEST_DEBUG"))
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "django.contrib.staticfiles",
    "ardiq",
    *filter(None, os.environ.get("ARDIQ_TEST_APPS", "").split(",")),
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

_database = urlsplit(os.environ.get("ARDIQ_TEST_DATABASE", ":memory:"))
if _database.scheme == "mysql":
    import pymysql

    pymysql.install_as_MySQLdb()
DATABASES = {
    "default": {
        "ENGINE": f"django.db.backends.{_database.scheme}",
        "NAME": _database.path[1:],
        "USER": _database.username,
        "HOST": _database.hostname,
        "PORT": _database.port,
        "OPTIONS": json.loads(os.environ.get("ARDIQ_TEST_DATABASE_OPTIONS", "{}")),
    }
    if _database.scheme in ("postgresql", "mysql")
    else {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("ARDIQ_TEST_DATABASE", ":memory:"),
        "OPTIONS": {"timeout": 20},
    }
}

# Fast, and good enough for users that live for one test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

ARDIQ = json.loads(os.environ.get("ARDIQ_TEST_SETTINGS", '{"default": {}}'))
if _tasks := os.environ.get("ARDIQ_TEST_TASKS"):
    TASKS = json.loads(_tasks)
