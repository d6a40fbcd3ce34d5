"""Setting the stage: tables, a login, readers and samples; then the site and the worker."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.contrib.auth import get_user_model
from django.core.management import call_command

from ardiq import queue
from demo import place
from demo.children import Child, stop
from library.models import Document, Photo
from library.shelves import import_samples
from notices.models import Account

LOGIN = "admin"
READERS = ("Ines Okoro", "Pavel Lind", "Mei Tanaka", "Amadou Ba")


@dataclass
class Stage:
    password: str
    samples: list[Document | Photo]
    accounts: list[Account]
    port: int
    children: list[Child] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_site(self) -> None:
        self.children.append(Child("site", "runserver", "--noreload", "--no-color", f"127.0.0.1:{self.port}"))

    def start_worker(self) -> None:
        self.children.append(Child("worker", "ardiq_worker", "--no-reload", "--no-color"))

    def fallen(self) -> list[str]:
        """A complaint for each child that has ended although nobody told it to."""
        return [child.complaint() for child in self.children if not child.running]


@contextmanager
def stage(port: int) -> Iterator[Stage]:
    """A prepared stage. Afterwards nothing of it runs any more, however the play went.

    What went wrong while stopping is appended to the stage's complaints.
    """
    try:
        queue().status_sync("nobody")  # the first question to an embedded:// queue starts its server
        call_command("migrate", verbosity=0)
        ready = Stage(_login(), import_samples(), _readers(), place.free_port(port))
        try:
            yield ready
        finally:
            ready.complaints += stop(ready.children)
    finally:
        place.stop_server()


def _login() -> str:
    """Password of the demo's superuser, a new one each time: it is printed, so it must not last."""
    user, _ = get_user_model().objects.get_or_create(
        username=LOGIN, defaults={"is_staff": True, "is_superuser": True, "email": "admin@library.example"}
    )
    password = secrets.token_urlsafe(6)
    user.set_password(password)
    user.save()
    return password


def _readers() -> list[Account]:
    for name in READERS:
        address = f"{name.split()[0].lower()}@readers.example"
        Account.objects.get_or_create(name=name, defaults={"email": address})
    return list(Account.objects.all())
