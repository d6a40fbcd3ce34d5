from django.conf import settings
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.urls import include, path

from ardiq.admin import JobsMixin
from ardiq.adminui import doing

doing.MOST = 50  # of more jobs it becomes a bulk operation: so that no site needs a thousand


@admin.register(ContentType)
class TypeAdmin(JobsMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    """Some model of the project that shows its jobs."""

    fields = ["app_label", "model"]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False  # the index is that of a project without it


urlpatterns = [path("admin/", admin.site.urls)]
if "grappelli" in settings.INSTALLED_APPS:
    urlpatterns.append(path("grappelli/", include("grappelli.urls")))
