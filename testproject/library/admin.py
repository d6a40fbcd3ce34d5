from django.contrib import admin

from library.models import Document, Photo, Report


@admin.register(Document)
class DocumentAdmin(admin.ModelAdmin):
    list_display = ["title", "words", "reading_seconds", "added_at"]
    search_fields = ["title"]


@admin.register(Photo)
class PhotoAdmin(admin.ModelAdmin):
    list_display = ["title", "width", "height", "added_at"]
    search_fields = ["title"]


@admin.register(Report)
class ReportAdmin(admin.ModelAdmin):
    list_display = ["asked_at", "done", "total", "finished_at"]
