"""A model instance on its way: what it is, not what is in it. Fetched again where the job runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import msgpack

from ardiq.core.codec import register_extension
from ardiq.core.errors import BadPayload

CODE = 64


@dataclass(frozen=True, slots=True)
class Reference:
    """``label`` is app.model, ``using`` the database alias."""

    label: str
    pk: Any
    using: str

    def __str__(self) -> str:
        return f"{self.label} {self.pk}"


class _Seen(threading.local):
    def __init__(self) -> None:
        self.list: list[Reference] = []


seen = _Seen()
"""References decoded in this thread since the list was last cleared. Saves a walk through the arguments
of every job to find the few that have one."""


def pack(reference: Reference) -> bytes:
    packed: bytes = msgpack.packb([reference.label, reference.pk, reference.using], default=str)
    return packed


def unpack(data: bytes) -> Reference:
    parts = msgpack.unpackb(data, raw=False)
    if not isinstance(parts, list) or len(parts) != 3:
        raise BadPayload("A reference to a model instance has an unknown shape.")
    reference = Reference(*parts)
    seen.list[:] = [reference]
    return reference


register_extension(CODE, Reference, pack, unpack)
