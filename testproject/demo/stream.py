"""What a library asks for in the course of a day, in random order and much faster."""

import random
from collections.abc import Callable

from asgiref.sync import async_to_sync

from library import work
from library.models import Document, Photo, Report
from library.tasks import build_report
from notices import post
from notices.models import Account


def ask_for_something() -> None:
    """Enqueue one thing, or everything about one item."""
    errand = random.choices(list(ERRANDS), weights=list(ERRANDS.values()))[0]
    errand()


def _account() -> Account:
    return random.choice(Account.objects.all())


def _document() -> None:
    work.process([random.choice(Document.objects.all())])


def _photo() -> None:
    # Now and then the damaged one is among them, and two jobs end in the dead letters.
    work.process([random.choice(Photo.objects.all())])


def _welcome() -> None:
    async_to_sync(post.greet)(_account())


def _sync() -> None:
    async_to_sync(post.sync)(_account())


def _reminder() -> None:
    post.remind_in(random.randrange(2_000, 10_000), _account())


def _digest() -> None:
    post.digest_in(8)


def _flash() -> None:
    # One millisecond is too late as soon as the worker has anything else to do.
    post.flash_within(random.choice((1, 30_000)), _account())


def _report() -> None:
    asked = Report.objects.create()
    work.remember(build_report.enqueue_sync(asked.pk), build_report.name, asked)


ERRANDS: dict[Callable[[], None], int] = {
    _document: 6,
    _photo: 6,
    _welcome: 4,
    _sync: 3,
    _reminder: 4,
    _flash: 3,
    _digest: 1,
    _report: 1,
}
