"""Stored text on a page: plain, bounded, and without characters that make it look like something else."""

from __future__ import annotations

import json
import pprint
import re
from dataclasses import dataclass
from typing import Any

LONGEST = 65_536  # characters of one value or traceback that a page shows

# Control characters but newline and tab, those that turn the direction of text or have no width, and lone
# surrogates, which no page can carry.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_FRAME = re.compile(r'^[\s|+-]*File "([^"\n]+)", line \d+')
# The worker that wrote a traceback may run on another machine with another Python.
_LIBRARY = re.compile(r"^<|[/\\](site-packages|dist-packages|lib[/\\]python3\.\d+|ardiq[/\\]worker)[/\\]")


def plain(value: object, most: int = LONGEST) -> str:
    """Text as a plain str, whatever class it was, unseen characters spelt out, cut after ``most``."""
    text = str.__str__(value) if isinstance(value, str) else str(value)
    text = _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))
    return text if len(text) <= most else f"{text[:most]}…"


def pretty(value: Any, most: int = LONGEST) -> str:
    """A value as text to read: like JSON where JSON can say it, else as Python would write it. Cut after
    ``most`` characters."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, default=_other)
    except (TypeError, ValueError, RecursionError):
        try:
            text = pprint.pformat(value, width=100, sort_dicts=False)
        except Exception as error:
            text = f"<{type(value).__name__}, which cannot be shown: {type(error).__name__}>"
    return plain(text, most)


def _other(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, bytes):
        return repr(value[:LONGEST])
    # References to rows and the like have a str made for people; dates and decimals, too.
    return str(value)


def dump(data: bytes) -> str:
    """Bytes as hex and text, sixteen to a line."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{at:04x}  {row.hex(' '):<47}  {text}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of a traceback. ``own`` tells code of the project from that of libraries."""

    own: bool
    text: str


def frames(traceback: str) -> list[Frame]:
    """A traceback in pieces that, joined, are the whole text."""
    out: list[Frame] = []
    for line in plain(traceback).splitlines(keepends=True):
        start = _FRAME.match(line)
        if start:
            out.append(Frame(_own(start[1]), line))
        elif out and out[-1].text.lstrip(" |+").startswith("File ") and line.startswith((" ", "\t")):
            out[-1] = Frame(out[-1].own, out[-1].text + line)
        else:
            out.append(Frame(False, line))
    return out


@dataclass(frozen=True, slots=True)
class Fold:
    """Neighbouring pieces of a traceback that are all of the project, or all of libraries. ``frames`` counts
    calls, which text around them is not."""

    own: bool
    text: str
    frames: int


def folds(traceback: str) -> list[Fold]:
    """A traceback in pieces to be shown open (of the project, and what is said between and behind) or folded
    (calls inside of libraries)."""
    out: list[Fold] = []
    for frame in frames(traceback):
        call = bool(_FRAME.match(frame.text))
        own = frame.own or not call
        if out and out[-1].own == own:
            out[-1] = Fold(own, out[-1].text + frame.text, out[-1].frames + call)
        else:
            out.append(Fold(own, frame.text, int(call)))
    return out


def _own(path: str) -> bool:
    return not _LIBRARY.search(path)
