"""A small ordinary Django project: what ``startproject`` gives, and ardiq with its defaults.

BENCH_BARE leaves ardiq out, for measuring what the project weighs without it.
"""

import os

BARE = "BENCH_BARE" in os.environ

SECRET_KEY = "for benchmarks on loopback only"  # noqa: S105
DEBUG = False
ALLOWED_HOSTS = ["testserver"]
USE_TZ = True
ROOT_URLCONF = "urls"
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *([] if BARE else ["ardiq", "bench"]),
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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
            ],
        },
    },
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BENCH_DATABASE", ":memory:"),
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if not BARE:
    ARDIQ = {
        "default": {
            "REDIS_URL": os.environ["BENCH_URL"],
            "CONCURRENCY": int(os.environ["BENCH_CONCURRENCY"]),
        },
    }
