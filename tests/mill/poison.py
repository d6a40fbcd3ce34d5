"""A deserializer with a bug: there is a call that kills the process that reads it."""

from __future__ import annotations

import os
import signal
from typing import Any

from ardiq.core.extensions import unpack


def loads(data: bytes) -> Any:
    if b"poison" in data:
        os.kill(os.getpid(), signal.SIGKILL)
    return unpack(data)
