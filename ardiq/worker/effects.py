"""Tasks whose effects in a database happen once. Transactions are the affair of who knows the database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ardiq.core.codec import Codec
from ardiq.core.errors import ArdiqError, EncodeError, TooLarge
from ardiq.core.life import Life
from ardiq.core.outcome import kept_value
from ardiq.worker.held import Held
from ardiq.worker.judge import Judge


class Effects(Protocol):
    """What runs a body once in a life."""

    def once(
        self, life: Life, body: Callable[[], Any], pack: Callable[[Any], bytes]
    ) -> tuple[Any, bytes | None]:
        """(What the body returned, None), or (None, what ``pack`` made of that) when it has run before. Its
        effects are there if and only if this returns."""


class _Unfit(Exception):
    """A result that cannot be stored."""


def run_once(
    effects: Effects | None, judge: Judge, codec: Codec, held: Held, queue: str, args: Any, kwargs: Any
) -> Any:
    """What the task returns, or has returned when it ran before in this life of its job."""
    record, definition = held.record, held.definition
    assert definition is not None
    if effects is None:
        raise ArdiqError(f"{definition.name} has once={definition.once!r}, which needs a Django project.")
    values: list[Any] = []

    def pack(value: Any) -> bytes:
        values.append(value)
        try:
            return judge.packed(held, value)
        except (EncodeError, TooLarge) as error:
            raise _Unfit from error

    life = Life(definition.once, queue, record.id, record.enqueued)
    try:
        value, kept = effects.once(life, partial(definition.fn, *args, **kwargs), pack)
    except _Unfit:
        # Rolled back. The judge meets the same error, and lets the job fail for good.
        return values[0]
    return value if kept is None else kept_value(codec, record, kept)
