"""How files come into the library: from an upload, or from the samples that ship with the site."""

from pathlib import Path

from django.conf import settings
from django.core.files import File

from library.models import Document, Photo

SAMPLES = settings.BASE_DIR / "samples"
KINDS: dict[str, type[Document] | type[Photo]] = {
    ".txt": Document,
    ".md": Document,
    ".jpg": Photo,
    ".jpeg": Photo,
    ".png": Photo,
}


def add(file: File, title: str = "") -> Document | Photo:
    """Keep a file; its ending decides what it is. Raises ValueError for an ending that has no shelf."""
    path = Path(file.name or "")
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path.name} cannot be kept: choose a file that ends in {', '.join(KINDS)}.")
    return kind.objects.create(title=title or title_of(path), file=file)


def title_of(path: Path) -> str:
    return path.stem.replace("-", " ").replace("_", " ").capitalize()


def import_samples() -> list[Document | Photo]:
    """Add the samples that are not in the library yet; returns those, documents first."""
    added = []
    for path in sorted(SAMPLES.glob("texts/*")) + sorted(SAMPLES.glob("photos/*")):
        title = title_of(path)
        if KINDS[path.suffix].objects.filter(title=title).exists():
            continue
        with path.open("rb") as file:
            added.append(add(File(file, name=path.name), title))
    return added
