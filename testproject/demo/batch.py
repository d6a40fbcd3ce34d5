"""The batch of ``--once``: what is asked for, and how each job is expected to end."""

import asyncio
import re

from asgiref.sync import async_to_sync

from ardiq import JobStatus
from demo.ledger import Entry
from demo.stage import Stage
from demo.visitor import Visitor
from library import work
from library.models import Document, Photo, Report
from library.tasks import build_report
from notices import post
from notices.models import Account, Notice

DAMAGED = "Damaged scan"
# Long enough to enqueue, short enough to be over when the worker has started.
TOO_SOON_MS = 20
LETTER = b"A letter that came in while the library was open. It was short. Everybody read it twice.\n"


class Batch:
    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._otherwise: dict[str, JobStatus] = {}

    def expected(self, entry: Entry) -> JobStatus:
        """How the job of this entry should end. A damaged file can be summed up, but not looked at."""
        if entry.photo == DAMAGED and entry.kind in ("thumbnail", "palette"):
            return JobStatus.FAILED
        return self._otherwise.get(entry.job_id, JobStatus.SUCCEEDED)

    def ask(self, stage: Stage) -> None:
        """Enqueue while no worker runs, so that priorities and expiry have something to show."""
        first, *others = stage.accounts
        for account in stage.accounts[:3]:
            self._otherwise[post.flash_within(TOO_SOON_MS, account).id] = JobStatus.EXPIRED
        work.process(stage.samples)
        post.flash_within(600_000, first)
        for account in others:
            post.remind_in(1_500, account)
        cancelled = post.remind_in(3_600_000, first)
        self._otherwise[cancelled.id] = JobStatus.ABORTED
        if not cancelled.abort_sync():
            self.complaints.append(f"The reminder {cancelled.id} waits for an hour and could not be aborted.")
        post.digest_in(3)
        async_to_sync(self._ask_async)(stage.accounts)

    async def _ask_async(self, accounts: list[Account]) -> None:
        await asyncio.gather(*(post.greet(account) for account in accounts))
        for account in accounts:
            job, again = await post.sync(account), await post.sync(account)
            if not job.created or again.created or job.id != again.id:
                self.complaints.append(f"Two syncs of {account} gave {job} and {again}, not one job.")
        report = await Report.objects.acreate()
        await work.aremember(await build_report.enqueue(report.pk), build_report.name, report)

    def ask_over_http(self, visitor: Visitor) -> None:
        """Press the buttons of the site while the worker runs."""
        visitor.see("/", "Process all")
        visitor.press("/process/", "jobs asked for")
        visitor.hand_in("/upload/", "a-late-letter.txt", LETTER, "A late letter")
        page = visitor.press("/report/build/", "wait in one go")
        link = re.search(r'href="(/report/\d+/wait/)"', page)
        if link:
            visitor.see(link[1], "succeeded", "lighthouse")


def look_at_data() -> list[str]:
    """What the jobs should have left in the database and have not."""
    missing = [f"{row} has no statistics." for row in Document.objects.filter(words=None)]
    for model in (Document, Photo):
        missing += [f"{row} has no checksum." for row in model.objects.filter(checksum="")]
    whole = Photo.objects.exclude(title=DAMAGED)
    missing += [f"{row} has no thumbnail." for row in whole.filter(thumbnail="")]
    missing += [f"{row} has no palette." for row in whole.filter(palette=[])]
    missing += [f"{row} is unfinished." for row in Report.objects.filter(finished_at=None)]
    missing += [f"{row} was never sent." for row in Notice.objects.filter(sent_at=None)]
    missing += [f"{row} is out of sync." for row in Account.objects.filter(synced_at=None)]
    greetings = Notice.objects.filter(kind=Notice.Kind.WELCOME)
    missing += [f"{row} took {row.attempts} attempts, not 3." for row in greetings.exclude(attempts=3)]
    return missing
