"""System checks that ask the servers of the queues: only under ``check --deploy``, and for a moment.

====  ==========================================================================
W020  the server cannot be reached from here
E021  it is too old (W021: its version cannot be seen)
E022  it throws away live jobs when its memory is full (W022: it might)
E023  what it is to write to disk cannot be written (W023: a restart loses jobs)
E024  it is a replica
E025  its user may not run what ardiq needs
W026  its clock and that of this host disagree
W027  its memory is nearly full
====  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning, register

from ardiq import conf
from ardiq.core.errors import BrokerError
from ardiq.core.options import Options
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys

if TYPE_CHECKING:
    from ardiq.store.checkup import Remark

SECONDS = 1.0  # for a reply; a connection has those of every caller
LOCAL = ("embedded:", "fake:")  # servers that are no deployment
NUMBERS = {
    "server": 21, "eviction": 22, "persistence": 23, "replicas": 24, "rights": 25, "clock": 26, "memory": 27,
}  # fmt: skip
MUST_BE_SEEN = ("server", "eviction")
"""What is warned of also where the server does not say; the rest is left alone then."""


@register("ardiq", deploy=True)
def check_servers(app_configs: Sequence[AppConfig] | None = None, **kwargs: object) -> list[CheckMessage]:
    """What is wrong with the server of each queue; what several queues share is said once."""
    if conf.complaints():
        return []
    found: list[tuple[CheckMessage, list[str]]] = []
    for alias in conf.aliases():
        options = conf.options(alias)
        for message in () if options.redis_url.startswith(LOCAL) else _look(options):
            aliases = next((others for one, others in found if one == message), [])
            if not aliases:
                found.append((message, aliases))
            aliases.append(alias)
    for message, aliases in found:
        message.msg = f"The server of {_named(aliases)}{message.msg}"
    return [message for message, _ in found]


def _look(options: Options) -> Iterator[CheckMessage]:
    from ardiq.store.checkup import checkup  # which every process of a project would load, and few need

    store = Store(Endpoint(options.redis_url, options.redis_options), SECONDS)
    try:
        remarks = checkup(store, Keys(options.queue))
    except BrokerError as error:
        yield Warning(
            f", {options.safe_url}, cannot be checked: {error}",
            hint="Run check --deploy where the server can be reached, or silence ardiq.W020.",
            id="ardiq.W020",
        )
        return
    finally:
        store.close()
    for remark in remarks:
        if remark.name in NUMBERS and _matters(remark):
            yield _message(remark, options)


def _matters(remark: Remark) -> bool:
    return remark.state in ("wrong", "look") or (remark.state == "unknown" and remark.name in MUST_BE_SEEN)


def _message(remark: Remark, options: Options) -> CheckMessage:
    kind, letter = (Error, "E") if remark.state == "wrong" else (Warning, "W")
    text = f", {options.safe_url}: {remark.name}: {remark.text}."
    hint = f"{remark.way_out[:1].upper()}{remark.way_out[1:]}." if remark.way_out else None
    return kind(text, hint=hint, id=f"ardiq.{letter}0{NUMBERS[remark.name]}")


def _named(aliases: list[str]) -> str:
    return f"the queue {aliases[0]!r}" if len(aliases) == 1 else f"the queues {', '.join(map(repr, aliases))}"
