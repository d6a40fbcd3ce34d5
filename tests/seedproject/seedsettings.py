"""Settings of a small project with one app of its own: SEED_APP, ``shop`` or ``kiosk``.

``shop`` defines its lanes in code, as the seed has it; ``kiosk`` takes them from the setting ARDIQ.
"""

import json
import os

SECRET_KEY = "only-for-tests"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["ardiq", os.environ["SEED_APP"]]
ARDIQ = json.loads(os.environ["ARDIQ_TEST_SETTINGS"])
