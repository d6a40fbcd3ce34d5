"""What a list is asked for beyond the fields of its model: when, by which worker, with what argument."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from ardiq.adminui.reading import Reading
from ardiq.store.browsing import Keep

WITHIN = {"15m": 900_000, "1h": 3_600_000, "1d": 86_400_000, "7d": 604_800_000}  # ms before now
WORKER = re.compile(r"[0-9a-f]{8}\Z")
NOW = -1  # what is still to come is not of the last hour
PATH = re.compile(r"(args\.\d+|kwargs)((?:\.[^.=\s]+)*)\s*=\s*(.*)\Z", re.DOTALL)
NAMES = ("when", "since", "until", "worker", "tries", "from")  # of the parameters in the address of a list


@dataclass(frozen=True, slots=True)
class Sought:
    """``start``: how many of the newest jobs of each queue a search leaves out, because it has seen them."""

    since: int | None = None
    until: int | None = None
    worker: str = ""
    tried: bool = False
    start: int = 0

    @property
    def timed(self) -> bool:
        return self.since is not None or self.until is not None

    @property
    def residual(self) -> bool:
        """Whether jobs have to be looked at one by one."""
        return bool(self.worker or self.tried)

    def keep(self, task: str = "", text: str = "") -> Keep:
        return Keep(self.since, self.until, task, text, self.worker, self.tried)


NOTHING = Sought()


def sought_in(given: Mapping[str, str]) -> Sought:
    """What the address of a list asks for. Raises ValueError for what cannot be understood."""
    when, worker, start = given.get("when", ""), given.get("worker", ""), given.get("from", "")
    if when and when not in WITHIN:
        raise ValueError(f"when={when[:40]!r}")
    if worker and not WORKER.match(worker):
        raise ValueError(f"worker={worker[:40]!r}")
    if start and not (start.isascii() and start.isdigit() and len(start) < 10):
        raise ValueError(f"from={start[:40]!r}")
    since, until = moment(given.get("since", "")), moment(given.get("until", ""))
    if when:
        since, until = -WITHIN[when], NOW
    return Sought(since, until, worker, given.get("tries") == "more", int(start or 0))


def moment(text: str) -> int | None:
    """Epoch ms of what a field for date and time gives, in the time zone of the user; None for ''."""
    if not text:
        return None
    value = parse_datetime(text)
    if value is None:
        raise ValueError(f"{text[:40]!r} is no date and time")
    return epoch_ms(value)


def epoch_ms(value: datetime) -> int:
    aware = value if timezone.is_aware(value) else timezone.make_aware(value)
    return int(aware.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Path:
    """A place in the arguments of a call and what has to stand there: ``kwargs.user=42``, ``args.0.id=x``."""

    position: int | None
    keys: tuple[str, ...]
    value: str

    def fits(self, reading: Reading) -> bool:
        """Whether a call has that value there, as people see it: what is masked is not found by its value."""
        arguments = reading.arguments
        if self.position is not None:
            given = arguments[: reading.positional]
            found = [value for _name, value in given[self.position : self.position + 1]]
            keys = self.keys
        else:
            found = [value for name, value in arguments if name == self.keys[0]]
            keys = self.keys[1:]
        return any(self._is(_at(value, keys)) for value in found)

    def _is(self, value: Any) -> bool:
        if isinstance(value, bool) or value is None:
            return self.value == json.dumps(value) or self.value == str(value)
        return self.value == str(value)


def path_in(text: str) -> Path | None:
    """A search for an argument; None for any other text."""
    found = PATH.match(text.strip())
    if found is None:
        return None
    where, keys = found[1], tuple(found[2].split(".")[1:])
    value = found[3].strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if where == "kwargs":
        return Path(None, keys, value) if keys else None
    return Path(int(where.removeprefix("args.")), keys, value)


_NOTHING = object()


def _at(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, _NOTHING)
        elif isinstance(value, (list, tuple)) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _NOTHING
    return value
