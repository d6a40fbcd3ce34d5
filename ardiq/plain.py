"""Plain calls, as almost all are: no options, and nothing that the task asks for. What those of one share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ardiq import following
from ardiq.connection import ID_SIZE, Broker
from ardiq.core.following import followers
from ardiq.core.job import tail_start
from ardiq.core.outcome import CALL

CALL_ROOT = ("args", "kwargs", "options")
PLAIN_ROOT = CALL_ROOT[:2]


@dataclass(frozen=True, slots=True)
class Start:
    """Reckoned once for as long as options hold."""

    broker: Broker
    lane: str
    texts: bytes
    """The start of its records (job.tail_start)."""
    most: int
    """Bytes that a call takes at most."""
    encode: Callable[[bytes, object], bytes]
    """Id and call as a blob."""
    seal: Callable[[bytes, bytes], bytes] | None
    """Id and packed call as a blob; None where followers or PROPAGATE look at each call."""


def start_of(broker: Broker, name: str, lane: str, sealed: bytes) -> Start:
    """``sealed``: what a signature covers beside the id."""
    codec = broker.codec
    encode, full = (codec.encoder(CALL, ID_SIZE, sealed, root) for root in (PLAIN_ROOT, CALL_ROOT))
    seal = None
    if followers or broker.carrier is not None:
        encode = following.around(broker, name, lane, encode, full)
    else:
        seal = codec.sealer(CALL, ID_SIZE, sealed)
    return Start(broker, lane, tail_start(lane, name), broker.options.max_payload_bytes, encode, seal)
