"""Scripts and the calls made of them. One ``.lua`` file is one verb is one round trip.

The loader reads the header of each script (KEYS, ARGV, RETURNS, WHY) and refuses a call whose
number of arguments does not fit it, so that a script and its callers cannot drift apart unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, cast

import hiredis

Part = str | bytes | int | float


def pack(*command: Part) -> bytes:
    # The stub of hiredis asks for a union of its own; what it packs is exactly Part.
    try:
        packed: bytes = hiredis.pack_command(cast("Any", command))
    except UnicodeEncodeError:
        # An id that is no UTF-8, written by somebody else: it goes back as it came (see ``id_text``).
        packed = hiredis.pack_command(cast("Any", tuple(map(_raw, command))))
    return packed


def _raw(part: Part) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape")


def id_text(raw: bytes) -> str:
    """An id from Redis. One that is no UTF-8 must not stop whoever reads it: its bytes are kept as lone
    surrogates, which ``pack`` turns back."""
    return raw.decode("utf-8", "surrogateescape")


_HEADER = re.compile(r"^-- (KEYS|ARGV|RETURNS|WHY)\b(.*)$", re.M)
_COUNT = re.compile(r"^\s*(\d+)(?:\s*\+\s*(\d+)\s*n)?\b")


class Script:
    """One verb in Lua. ``fixed`` arguments, then any number of groups of ``group`` arguments."""

    def __init__(self, name: str, text: str, common: str = "") -> None:
        header = dict(_HEADER.findall(text))
        missing = {"KEYS", "ARGV", "RETURNS", "WHY"} - set(header)
        if missing:
            raise ValueError(f"{name}.lua: its header lacks {', '.join(sorted(missing))}")
        counts = _COUNT.match(header["ARGV"])
        if counts is None:
            raise ValueError(f"{name}.lua: ARGV must start with a count, as in '-- ARGV 2 + 6 n'")
        self.name = name
        self.fixed, self.group = int(counts[1]), int(counts[2] or 0)
        self.text = (common + "\n" + text).encode()
        # SHA-1 names a script, as EVALSHA wants it; nothing relies on it for security.
        self.sha = sha1(self.text, usedforsecurity=False).hexdigest()

    def call(self, prefix: str, argv: Sequence[Part], decode: Callable[[Any], Any]) -> Call:
        extra = len(argv) - self.fixed
        if extra < 0 or (extra % self.group if self.group else extra):
            want = f"{self.fixed} + {self.group} n" if self.group else str(self.fixed)
            raise ValueError(f"{self.name}.lua wants {want} arguments, got {len(argv)}")
        return Call(("EVALSHA", self.sha, 1, prefix, *argv), decode, self)


class Call:
    """A verb as a value: what to send and how to read the reply. Making one does no I/O."""

    __slots__ = ("command", "decode", "script")

    def __init__(
        self, command: tuple[Part, ...], decode: Callable[[Any], Any], script: Script | None = None
    ) -> None:
        self.command = command
        self.decode = decode
        self.script = script

    @property
    def name(self) -> str:
        """What is asked for, in words for people."""
        return f"the script {self.script.name!r}" if self.script else "the command " + str(self.command[0])

    def packed(self) -> bytes:
        """The bytes to send."""
        return pack(*self.command)

    def in_full(self) -> Call:
        """The same call with the text of its script, for a server that has lost it (R13)."""
        assert self.script is not None
        return Call(("EVAL", self.script.text, *self.command[2:]), self.decode)


@cache
def script(name: str) -> Script:
    """The script of ``lua/<name>.lua``, loaded once per process."""
    return Script(name, _WITH.sub(lambda found: _body(found[1]), _text(name)), _shifted(_text("common")))


CLOCK = "return t[1] * 1000 + math.floor(t[2] / 1000)"
_ahead = 0


def ahead() -> int:
    """How far the clock of the scripts is ahead of the server's, ms; 0 but for tests."""
    return _ahead


def shift(ms: int) -> None:
    """Load scripts anew, with a clock so far ahead of the server's (negative: behind). For tests of this
    process: scripts are the only ones that tell the time, so due times and leases move with it."""
    global _ahead
    _ahead = ms
    script.cache_clear()


def _shifted(text: str) -> str:
    if not _ahead:
        return text
    assert CLOCK in text, "common.lua reads the clock in another way now"
    return text.replace(CLOCK, f"{CLOCK} + {_ahead}")


# Not in common.lua: what stands there costs every call of every script.
_WITH = re.compile(r"^-- WITH (\w+)$", re.M)


def _text(name: str) -> str:
    return (files("ardiq.store") / "lua" / f"{name}.lua").read_text("utf-8")


def _body(name: str) -> str:
    """A shared part without its header, which would be taken for that of the script."""
    return re.sub(r"\A(--.*\n)+", "", _text(name))
