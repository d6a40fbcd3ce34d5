"""Readers and what was sent to them."""

from django.db import models


class Account(models.Model):
    """A reader. ``loans`` is copied from the lending desk by a task."""

    name = models.CharField(max_length=100, unique=True)
    email = models.EmailField()
    loans = models.PositiveIntegerField(null=True, editable=False)
    synced_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Notice(models.Model):
    class Kind(models.TextChoices):
        WELCOME = "welcome"
        REMINDER = "reminder"
        DIGEST = "digest"
        FLASH = "flash", "flash notice"

    account = models.ForeignKey(Account, models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=20, choices=Kind)
    text = models.TextField()
    written_at = models.DateTimeField(auto_now_add=True)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    sent_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} for {self.account}"
