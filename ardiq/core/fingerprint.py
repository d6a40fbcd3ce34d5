"""Which failures are the same: the type of the exception, and the place in the project that raised it.

The place is the innermost frame of the traceback that belongs to the project; what libraries do behind it
differs from time to time. It has no line number, so that an edit elsewhere in the file splits no group, and
no path of the machine, so that a deploy into another folder splits none either.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from traceback import walk_tb

from ardiq.core.errors import TaskError

MOST = 300  # characters of each text
DIGITS = 12

Frame = tuple[str, str]
"""file, function."""

_FRAME = re.compile(r'^\s+File "([^"\n]+)", line \d+, in (.+)$', re.M)
_LIBRARY = re.compile(r"^<|[/\\](site-packages|dist-packages)[/\\]")
_STANDARD = tuple(
    {os.path.join(path, "") for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name))}
)
_OURS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """``hash`` names the group of failures; ``type`` and ``where`` say to people what it is."""

    hash: str
    type: str
    where: str


def fingerprint(type: str, frames: Sequence[Frame], task: str, *, ran: bool = True) -> Fingerprint:
    """Of a failure with this traceback, outermost frame first. ``ran``: whether the task itself raised.

    Where no frame belongs to the project it is the innermost one of a library, and the name of the task for
    what no task raised: a timeout, a crash, a call that was refused.
    """
    foreign = [frame for frame in frames if not frame[0].startswith(_OURS)]
    own = [frame for frame in foreign if not _is_library(frame[0])]
    found = own or (foreign if ran else [])
    where = _line(f"{_short(found[-1][0])}:{found[-1][1]}" if found else task)
    kind = _line(type)
    digest = blake2b(f"{kind}\n{where}".encode(), digest_size=DIGITS // 2).hexdigest()
    return Fingerprint(digest, kind, where)


def frames_of(error: BaseException) -> list[Frame]:
    """The traceback of an exception; of one that was raised in another process, read from its text."""
    if isinstance(error, TaskError) and error.__traceback__ is None:
        # Behind the last heading: before it stand the exceptions that this one followed.
        text = error.traceback.rpartition("Traceback (most recent call last):")[2]
        return [(file, function) for file, function in _FRAME.findall(text)]
    codes = (frame.f_code for frame, _ in walk_tb(error.__traceback__))
    return [(code.co_filename, code.co_name) for code in codes]


def mark(found: Fingerprint, message: str) -> str:
    """As settle.lua takes it, behind a unique hash."""
    return "\n".join(("", found.hash, found.type, found.where, _line(message)))


def _is_library(file: str) -> bool:
    return bool(_LIBRARY.search(file)) or file.startswith(_STANDARD)


def _short(file: str) -> str:
    """A path as an import sees it: behind the entry of sys.path that it was found under."""
    roots = [root for entry in sys.path if entry and file.startswith(root := os.path.join(entry, ""))]
    short = file[len(max(roots, key=len)) :] if roots else os.sep.join(file.split(os.sep)[-2:])
    return short.replace(os.sep, "/")


def _line(text: str) -> str:
    """One line, within bounds, that can be stored as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\n", " ")[:MOST]
