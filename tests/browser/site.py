"""The project of tests/settings.py under the strictest Content Security Policy, with a theme if one is named.

ARDIQ_TEST_THEME  an app of a theme, which goes before Django's admin
"""

import os

from tests.browser.policy import NONCES
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE, STATIC_URL, TEMPLATES

STATIC_URL = f"/{STATIC_URL}"
ROOT_URLCONF = "tests.browser.urls"
INSTALLED_APPS = [*filter(None, [os.environ.get("ARDIQ_TEST_THEME", "")]), *INSTALLED_APPS]
# The language of whoever looks.
MIDDLEWARE = [*MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
if not os.environ.get("ARDIQ_TEST_THEME"):
    # What themes do is their affair.
    MIDDLEWARE = ["tests.browser.policy.strict", *MIDDLEWARE]
    if NONCES:
        from django.utils.csp import CSP

        MIDDLEWARE.insert(1, "django.middleware.csp.ContentSecurityPolicyMiddleware")
        SECURE_CSP = {"script-src": [CSP.NONCE], "style-src": [CSP.NONCE]}
        TEMPLATES[0]["OPTIONS"]["context_processors"].append("django.template.context_processors.csp")
if "jazzmin" in INSTALLED_APPS:
    X_FRAME_OPTIONS = "SAMEORIGIN"
