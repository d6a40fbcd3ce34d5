"""What the worker does for the readers: deliveries that are retried, delayed, scheduled or dropped."""

from datetime import timedelta

from django.utils import timezone

from ardiq import Retry, current_job, task
from library.models import Document
from notices import gateway
from notices.models import Account, Notice

DIGEST_PATIENCE = 3


@task(priority="high", max_retries=4, backoff_ms=150, retry_on=gateway.GatewayBusy)
async def welcome(notice_id: int) -> int:
    """Deliver through a gateway that refuses at first. Only its refusals are worth another attempt."""
    notice = await Notice.objects.select_related("account").aget(pk=notice_id)
    attempt = current_job().attempt
    await Notice.objects.filter(pk=notice_id).aupdate(attempts=attempt)
    await gateway.deliver(notice.account.email, notice.text, attempt)
    await Notice.objects.filter(pk=notice_id).aupdate(sent_at=timezone.now())
    return attempt


@task
def remind(account_id: int, text: str) -> int:
    """Put a reminder into the reader's box; enqueued with a delay."""
    notice = Notice.objects.create(
        account_id=account_id, kind=Notice.Kind.REMINDER, text=text, attempts=1, sent_at=timezone.now()
    )
    return notice.pk


@task(max_retries=DIGEST_PATIENCE, priority="low")
async def digest() -> int:
    """Tell every reader what is new; enqueued for a time of day.

    It prefers to come late over being incomplete, but not for ever: a document that cannot be counted
    must not hold up the digest of all the others.
    """
    new = Document.objects.filter(added_at__gte=timezone.now() - timedelta(days=1))
    uncounted = await new.filter(words=None).acount()
    if uncounted and current_job().attempt <= DIGEST_PATIENCE:
        raise Retry(f"{uncounted} documents are still being counted", delay_ms=700)
    titles = [document.title async for document in new]
    text = f"{len(titles)} new in the library: {', '.join(titles)}"
    notices = [
        Notice(account=account, kind=Notice.Kind.DIGEST, text=text, sent_at=timezone.now())
        async for account in Account.objects.all()
    ]
    await Notice.objects.abulk_create(notices)
    return len(notices)


@task(priority="low")
def flash(account_id: int, text: str) -> int:
    """A notice that is worthless when it is late; enqueued with an expiry."""
    notice = Notice.objects.create(
        account_id=account_id, kind=Notice.Kind.FLASH, text=text, attempts=1, sent_at=timezone.now()
    )
    return notice.pk


@task
async def sync_account(account_id: int) -> int:
    """Copy a reader's loans from the lending desk; enqueued under an id of its own."""
    account = await Account.objects.aget(pk=account_id)
    loans = await gateway.loans_of(account.name)
    await Account.objects.filter(pk=account_id).aupdate(loans=loans, synced_at=timezone.now())
    return loans
