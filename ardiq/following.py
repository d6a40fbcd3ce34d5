"""Followers of jobs (core/following.py), where jobs are enqueued: they are told, and give headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ardiq import owners
from ardiq.connection import Broker
from ardiq.core import following
from ardiq.core.following import Follower, Sending, Sent
from ardiq.core.headers import checked_headers

Encode = Callable[[bytes, object], bytes]


def follow(follower: Follower) -> None:
    """Tell this one from now on of all jobs that are enqueued, or run, in this process."""
    if follower not in following.followers:
        following.followers.append(follower)
        _reckon_anew()


def unfollow(follower: Follower) -> None:
    """Tell it no more."""
    if follower in following.followers:
        following.followers.remove(follower)
        _reckon_anew()


def _reckon_anew() -> None:
    for owner in owners.every():
        for target in owner.targets():
            target.start = None


def _nobody(size: int) -> None:
    """Is told nothing."""


def add(meta: dict[str, Any], broker: Broker, id: str, name: str, lane: str, delayed: bool) -> Sent:
    """Put the headers of all followers among the options of a call; those of the caller come first. Answers
    whom to tell when it is encoded."""
    if not following.followers:
        return _nobody
    headers, sent = following.send(Sending(id, name, broker.options.queue, lane, delayed))
    given = dict(meta.get("headers") or {})
    for name, value in headers.items():
        try:
            given = checked_headers({name: value, **given})
        except (TypeError, ValueError):
            continue  # there are as many already as a job may carry
    if given:
        meta["headers"] = given
    return sent


def around(broker: Broker, name: str, lane: str, plain: Encode, full: Encode) -> Encode:
    """An encoder of plain calls that tells followers, if there are any, and adds what there is to carry."""
    carrier = broker.carrier
    if carrier is not None and not following.followers:
        return carrier.around(plain, full)

    def encode(head: bytes, call: Any) -> bytes:
        meta = {"context": taken} if carrier is not None and (taken := carrier.take()) else {}
        sent = add(meta, broker, head.decode(), name, lane, False)
        encoded = full(head, [*call, meta]) if meta else plain(head, call)
        sent(len(encoded))
        return encoded

    return encode
