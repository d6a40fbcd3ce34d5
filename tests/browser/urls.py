from django.conf import settings
from django.urls import include, path

from tests.urls import urlpatterns as admin_urls

urlpatterns = [*admin_urls]
if "grappelli" in settings.INSTALLED_APPS:
    urlpatterns.append(path("grappelli/", include("grappelli.urls")))
