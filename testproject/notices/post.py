"""Ways to ask for a notice: one for each thing that a queue can do with time."""

import time

from ardiq import Job
from library.work import aremember, remember
from notices.models import Account, Notice
from notices.tasks import digest, flash, remind, sync_account, welcome


async def greet(account: Account) -> Job:
    """Deliver at once, through the gateway that refuses at first."""
    text = f"Welcome to the library, {account.name}!"
    notice = await account.notices.acreate(kind=Notice.Kind.WELCOME, text=text)
    return await aremember(await welcome.enqueue(notice.pk), welcome.name)


def remind_in(delay_ms: int, account: Account) -> Job:
    text = f"{account.name}, a book of yours is due tomorrow."
    return remember(remind.options(delay_ms=delay_ms).enqueue_sync(account.pk, text), remind.name)


def digest_at(epoch_s: float) -> Job:
    """At a wall-clock time, which is what ``schedule_ms`` is for."""
    return remember(digest.options(schedule_ms=int(epoch_s * 1000)).enqueue_sync(), digest.name)


def digest_in(seconds: float) -> Job:
    return digest_at(time.time() + seconds)


def flash_within(expire_ms: int, account: Account) -> Job:
    """Worthless when it has not started after ``expire_ms``: then the queue drops it."""
    text = f"{account.name}, the reading by the lighthouse keeper begins now."
    return remember(flash.options(expire_ms=expire_ms).enqueue_sync(account.pk, text), flash.name)


async def sync(account: Account) -> Job:
    """However often it is asked for, one at a time; ``job.created`` tells whether this call made it.

    ``replace`` allows the id a new life after the last one has ended, or nobody could sync again until
    the kept result is gone.
    """
    once = sync_account.options(task_id=f"sync:{account.pk}", replace=True)
    return await aremember(await once.enqueue(account.pk), sync_account.name)
