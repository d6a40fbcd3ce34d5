"""Settings of a small library site whose slow work is done by ardiq.

Three environment variables change it: ARDIQ_DEMO_DIR (where the database, the uploads and the queue's
own server live), ARDIQ_REDIS_URL (a server of your own instead), ARDIQ_DEMO_DEBUG=0.
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("ARDIQ_DEMO_DIR") or BASE_DIR / ".data").resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = os.environ.get("ARDIQ_DEMO_DEBUG", "1") == "1"
# Published on purpose: this site keeps nothing secret. A real one takes its key from its environment,
# and every process of a queue needs the same one, because it signs what lies in Redis.
SECRET_KEY = "demo-only-7c1f1d4e8a2b49d6b0c35f6a9e"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "ardiq",
    "library",
    "notices",
    "demo",
]

ARDIQ = {
    "default": {
        "REDIS_URL": os.environ.get("ARDIQ_REDIS_URL") or f"embedded://{DATA_DIR}/queue",
        "PRIORITIES": ["low", "default", "high"],  # lowest first
        "CONCURRENCY": 8,
        "GRACE_MS": 8_000,  # somebody who presses Ctrl-C in a demo does not want to wait the default 25 s
    },
}

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "website.outage.QueueOutageMiddleware",
]

# In a cookie, because the default storage may look into the session, which async views must not do.
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"

ROOT_URLCONF = "website.urls"
WSGI_APPLICATION = "website.wsgi.application"
ASGI_APPLICATION = "website.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "website" / "templates"],
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
        "NAME": DATA_DIR / "library.sqlite3",
        "OPTIONS": {
            # A worker writes from several threads while the site reads: readers must not wait for
            # writers (WAL), and a writer must ask for its lock at once (IMMEDIATE), because sqlite
            # refuses to upgrade a read transaction without waiting.
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "website" / "static"]
MEDIA_URL = "media/"
MEDIA_ROOT = DATA_DIR / "media"
LOGIN_URL = "admin:login"
