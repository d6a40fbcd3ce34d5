from django.contrib import admin

from notices.models import Account, Notice


@admin.register(Account)
class AccountAdmin(admin.ModelAdmin):
    list_display = ["name", "email", "loans", "synced_at"]
    search_fields = ["name", "email"]


@admin.register(Notice)
class NoticeAdmin(admin.ModelAdmin):
    list_display = ["account", "kind", "attempts", "written_at", "sent_at"]
    list_filter = ["kind"]
    list_select_related = ["account"]
