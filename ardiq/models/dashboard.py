"""What the dashboard hangs from: there is one page, and no rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _

from ardiq.models.base import RedisModel

if TYPE_CHECKING:
    from ardiq.adminui.sources import FewSource
    from ardiq.models.base import Text


class Dashboard(RedisModel):
    """Gives the dashboard its place in the admin's index, its permission and its log entries."""

    id: Text = models.CharField(_("ID"), primary_key=True, max_length=20)

    class Meta(RedisModel.Meta):
        verbose_name = _("dashboard")
        # The admin's index shows the plural, and there is one.
        verbose_name_plural = _("dashboard")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(_("Dashboard"))

    @classmethod
    def make_source(cls) -> FewSource:
        from ardiq.adminui.sources import FewSource

        return FewSource(list)
