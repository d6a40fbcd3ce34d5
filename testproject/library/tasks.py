"""What the worker does for the library.

Sync tasks (``def``) run in the worker's threads and may block: Pillow, the ORM, files. Async tasks
(``async def``) share one event loop and must not, so they leave files to ``asyncio.to_thread``.
"""

import asyncio
import hashlib
from collections import defaultdict

from django.core.files.base import ContentFile
from django.db.models import F
from django.utils import timezone
from PIL import UnidentifiedImageError

from ardiq import task
from library import pictures, text
from library.models import Document, Photo, Report

# The samples are read in no time; the pause stands for the slow shelves of a large library.
SECONDS_PER_FILE = 0.15


def content(item: Document | Photo) -> bytes:
    with item.file.open("rb") as file:
        return file.read()


@task(dont_retry_on=(UnicodeDecodeError,))
def text_statistics(document_id: int) -> dict[str, int]:
    """Count a document. One that is not UTF-8 fails at once: trying again would not change the file."""
    document = Document.objects.get(pk=document_id)
    found = text.statistics(content(document).decode())
    # An update of these columns alone: the checksum task may be writing the same row.
    Document.objects.filter(pk=document_id).update(**found._asdict())
    return {"words": found.words, "sentences": found.sentences, "reading_seconds": found.reading_seconds}


@task(priority="high", unique=True, dont_retry_on=(UnidentifiedImageError,))
def thumbnail(photo_id: int) -> dict[str, int]:
    """Make the small picture.

    High priority, because somebody who has just uploaded a photo looks for it. Unique, because two of
    these at once for one photo would each delete the file that the other has just written.
    """
    photo = Photo.objects.get(pk=photo_id)
    with photo.file.open("rb") as file:
        small, (width, height) = pictures.thumbnail(file)
    old = photo.thumbnail.name
    photo.thumbnail.save(f"{photo.pk}.jpg", ContentFile(small), save=False)
    photo.width, photo.height = width, height
    photo.save(update_fields=["thumbnail", "width", "height"])
    if old and old != photo.thumbnail.name:
        photo.thumbnail.storage.delete(old)
    return {"width": width, "height": height, "bytes": len(small)}


@task(priority="low", dont_retry_on=(UnidentifiedImageError,))
def palette(photo_id: int) -> list[str]:
    photo = Photo.objects.get(pk=photo_id)
    with photo.file.open("rb") as file:
        colours = pictures.palette(file)
    Photo.objects.filter(pk=photo_id).update(palette=colours)
    return colours


@task
async def checksum(item: Document | Photo) -> str:
    """SHA-256 of the file. The row itself is the argument: it travels as a reference and is fetched here."""
    found = hashlib.sha256(await asyncio.to_thread(content, item)).hexdigest()
    await type(item).objects.filter(pk=item.pk).aupdate(checksum=found)
    return found


@task(priority="low", timeout=120)
async def build_report(report_id: int) -> dict[str, int]:
    """Read every file of the library and index the words, telling after each file how far it is."""
    documents = [document async for document in Document.objects.all()]
    photos = await Photo.objects.acount()
    asked = Report.objects.filter(pk=report_id)
    await asked.aupdate(done=0, total=len(documents) + photos, words=0)
    index: dict[str, list[str]] = defaultdict(list)
    words = 0
    for document in documents:
        body = (await asyncio.to_thread(content, document)).decode(errors="replace")
        words += text.statistics(body).words
        for word in text.telling_words(body):
            index[word].append(document.title)
        await asked.aupdate(done=F("done") + 1, words=words)
        await asyncio.sleep(SECONDS_PER_FILE)
    for _ in range(photos):
        await asked.aupdate(done=F("done") + 1)
        await asyncio.sleep(SECONDS_PER_FILE)
    shared = {word: titles for word, titles in sorted(index.items()) if len(titles) > 1}
    await asked.aupdate(index=shared, finished_at=timezone.now())
    return {"documents": len(documents), "photos": photos, "words": words, "shared_words": len(shared)}
