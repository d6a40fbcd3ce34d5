"""Front door two: ``ardiq.backend.ArdiqBackend``, a backend for django.tasks, and what it stands on.

It makes calls of the same kind as front door one, on whose floor it stands; workers, the admin and dead
letters do not see a difference. Nothing else of ardiq imports it, because it needs django.tasks: Django 6.0,
or the ``django-tasks`` backport on 5.2.
"""

from __future__ import annotations

from ardiq.backend.door import ArdiqBackend
from ardiq.backend.task import ArdiqTask

__all__ = ["ArdiqBackend", "ArdiqTask"]
