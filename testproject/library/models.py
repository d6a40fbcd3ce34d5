"""What the library keeps: the files, what tasks derived from them, reports, and which jobs were asked for."""

from django.db import models
from django.urls import reverse


class Item(models.Model):
    """One file of the library. Everything but title and file is filled in by tasks."""

    title = models.CharField(max_length=200)
    file = models.FileField(upload_to="items/")
    added_at = models.DateTimeField(auto_now_add=True)
    checksum = models.CharField("SHA-256", max_length=64, blank=True, editable=False)

    class Meta:
        abstract = True
        ordering = ["title"]

    def __str__(self) -> str:
        return self.title


class Document(Item):
    words = models.PositiveIntegerField(null=True, editable=False)
    sentences = models.PositiveIntegerField(null=True, editable=False)
    reading_seconds = models.PositiveIntegerField(null=True, editable=False)
    top_words = models.JSONField(default=list, editable=False, help_text="[[word, how often], ...]")

    def get_absolute_url(self) -> str:
        return reverse("library:document", args=[self.pk])


class Photo(Item):
    width = models.PositiveIntegerField(null=True, editable=False)
    height = models.PositiveIntegerField(null=True, editable=False)
    thumbnail = models.FileField(upload_to="thumbnails/", blank=True, editable=False)
    palette = models.JSONField(default=list, editable=False, help_text="#rrggbb, most frequent first")

    def get_absolute_url(self) -> str:
        return reverse("library:photo", args=[self.pk])


class Report(models.Model):
    """An index of the whole library. ``done`` of ``total`` files have been read so far."""

    asked_at = models.DateTimeField(auto_now_add=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    words = models.PositiveIntegerField(default=0)
    index = models.JSONField(default=dict, help_text="{word: [title of each document that has it, ...]}")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-asked_at"]

    def __str__(self) -> str:
        return f"Report {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("library:report", args=[self.pk])


class AskedJob(models.Model):
    """A job that the site asked for, so that a page can say what is being done to what it shows.

    No status here: ardiq knows it, and a copy would be a second truth.
    """

    job_id = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=60, help_text="name of the task")
    asked_at = models.DateTimeField(auto_now_add=True)
    document = models.ForeignKey(Document, models.CASCADE, null=True, related_name="jobs")
    photo = models.ForeignKey(Photo, models.CASCADE, null=True, related_name="jobs")
    report = models.OneToOneField(Report, models.CASCADE, null=True, related_name="job")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.label} {self.job_id}"

    @property
    def label(self) -> str:
        """The task's own name, without its module."""
        return self.kind.rpartition(".")[2]

    @property
    def about(self) -> Document | Photo | Report | None:
        return self.document or self.photo or self.report
