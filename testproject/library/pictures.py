"""Looking at images with Pillow: no Django, no queue."""

from io import BytesIO
from typing import IO

from PIL import Image, ImageOps

THUMBNAIL_PX = 320
PALETTE_SAMPLE_PX = 96  # the colours of a picture do not get better from looking at all of its pixels


def opened(file: IO[bytes]) -> Image.Image:
    """The image, turned upright, transparency laid on white. Raises UnidentifiedImageError or OSError."""
    image = ImageOps.exif_transpose(Image.open(file)).convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image).convert("RGB")


def thumbnail(file: IO[bytes]) -> tuple[bytes, tuple[int, int]]:
    """A small JPEG, and the width and height of the original in pixels."""
    image = opened(file)
    size = image.size
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    out = BytesIO()
    image.save(out, "JPEG", quality=82, optimize=True)
    return out.getvalue(), size


def palette(file: IO[bytes], colours: int = 6) -> list[str]:
    """The colours that make up most of the image, as "#rrggbb", most frequent first."""
    image = opened(file)
    # Nearest, because smoothing would invent colours that lie between those of the picture.
    image.thumbnail((PALETTE_SAMPLE_PX, PALETTE_SAMPLE_PX), Image.Resampling.NEAREST)
    reduced = image.quantize(colours).convert("RGB")
    counted = reduced.getcolors(PALETTE_SAMPLE_PX * PALETTE_SAMPLE_PX) or []
    return ["#{:02x}{:02x}{:02x}".format(*rgb) for _, rgb in sorted(counted, reverse=True)]
