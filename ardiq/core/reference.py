"""A model instance on its way: what it is, not what is in it. Fetched again where the job runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from ardiq.core.codec import register_extension
from ardiq.core.errors import BadPayload

CODE = 64
ON_MISSING = ("fail", "skip", "retry")


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
    label, pk, using = parts
    # A key of several columns has travelled as a list, and a reference must be one that can be hashed.
    reference = Reference(label, tuple(pk) if isinstance(pk, list) else pk, using)
    seen.list[:] = [reference]
    return reference


def subject_meta(subject: Reference) -> list[Any]:
    """The subject of a job as it travels with the call: in data that every serializer knows."""
    parts = subject.pk if isinstance(subject.pk, tuple) else (subject.pk,)
    plain = [part if isinstance(part, int) else str(part) for part in parts]
    return [subject.label, plain if isinstance(subject.pk, tuple) else plain[0], subject.using]


def read_subject(meta: Mapping[str, Any]) -> Reference | None:
    """What a job is about, by the options of its call; None for nothing, and for what is none."""
    found = meta.get("subject")
    if not isinstance(found, (list, tuple)) or len(found) != 3:
        return None
    label, pk, using = found
    if not isinstance(label, str) or not isinstance(using, str):
        return None
    return Reference(label, tuple(pk) if isinstance(pk, list) else pk, using)


def check_on_missing(value: object) -> None:
    """Raise ValueError for what is no policy about rows that are gone."""
    if value not in ON_MISSING:
        raise ValueError(f"on_missing={value!r}: give 'fail', 'skip' or 'retry'.")


register_extension(CODE, Reference, pack, unpack)
