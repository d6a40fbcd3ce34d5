"""What a process, or its machine, may be short of for a while: no fault of whoever needed it."""

from __future__ import annotations

import errno

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})


def is_short(error: BaseException) -> bool:
    """Whether it says that files, memory or the like ran out just now."""
    return isinstance(error, OSError) and error.errno in _SHORT
