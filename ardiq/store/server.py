"""What a server says of itself, and whether live jobs are safe on it (R21)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ardiq.core.errors import UnsafeServer
from ardiq.store.scripts import Call

OLDEST = (6, 2)  # of Redis; Valkey began later
REMEDY = "CONFIG SET maxmemory-policy noeviction, and the same in its configuration"


@dataclass(frozen=True, slots=True)
class Info:
    """The fields of INFO. Those that a managed service hides, or an ACL forbids, are not there."""

    fields: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str) -> int | None:
        text = self.fields.get(name, "")
        return int(text) if text.lstrip("-").isdigit() else None

    @property
    def name(self) -> str:
        return "Valkey" if "valkey_version" in self.fields else "Redis"

    @property
    def version(self) -> str:
        """The version in digits, '' when it is not told."""
        return self.fields.get("valkey_version") or self.fields.get("redis_version", "")

    @property
    def policy(self) -> str:
        """What is thrown away when memory is full; '' when it is not told."""
        return self.fields.get("maxmemory_policy", "")

    @property
    def too_old(self) -> bool:
        digits = [int(part) for part in self.version.split(".")[:2] if part.isdigit()]
        return bool(digits) and tuple(digits) < OLDEST


def info() -> Call:
    """One INFO, parsed. Refused where an ACL or a managed service forbids it."""
    return Call(("INFO",), parsed)


def parsed(reply: Any) -> Info:
    lines = reply.decode("utf-8", "replace").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    return Info({name: value.strip() for name, value in pairs})


def danger(policy: str) -> str:
    """Why live jobs are not safe under this eviction policy; '' when they are, or when it is not known."""
    if not policy.startswith("allkeys"):
        return ""
    return f"maxmemory-policy is {policy}, so the server throws away live jobs when its memory is full"


def doubt(policy: str) -> str:
    """What there is to know about a policy that is not dangerous; '' for noeviction."""
    if policy.startswith("volatile"):
        return (
            f"maxmemory-policy is {policy}: when memory is full the server throws away results before their "
            "time; live jobs have no expiry and stay"
        )
    if policy:
        return ""
    return (
        "maxmemory-policy cannot be seen here; make sure that it is noeviction, because under an allkeys "
        "policy the server throws away live jobs when its memory is full"
    )


def admit(facts: Info) -> str:
    """A warning for the log, or ''. Raises UnsafeServer when live jobs are not safe on this server."""
    if wrong := danger(facts.policy):
        raise UnsafeServer(
            f"This worker does not start: {wrong}. Set it to noeviction ({REMEDY}), or give the queue a "
            "server of its own."
        )
    return doubt(facts.policy)
