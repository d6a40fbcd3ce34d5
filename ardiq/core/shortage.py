"""What a process, or its machine, may be short of for a while: no fault of whoever needed it."""

from __future__ import annotations

import errno

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
_DEEP = 5  # causes that are looked at


def is_short(error: BaseException) -> bool:
    """Whether it says, or was caused by what says, that files, memory or the like ran out just now."""
    found: BaseException | None = error
    for _ in range(_DEEP):
        if isinstance(found, MemoryError) or (isinstance(found, OSError) and found.errno in _SHORT):
            return True
        found = found.__cause__ if found is not None else None
    return False
