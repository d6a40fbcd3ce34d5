"""Values to signed bytes and back: data only, with limits; one place where bad bytes become BadPayload.

A blob is a 16-byte keyed BLAKE2b MAC and a body (see ``extensions`` for its format); without keys
it is the body alone. The MAC covers version, kind, queue, subject and body, so that bytes cannot be
moved to another job, or a result passed off as a call. It does not stop who can write to Redis
from deleting, repeating or reordering whole jobs.

This is format 1, which does not spell its number, so that it costs nothing. A blob of any later format begins
with NEWER and a byte with its number, whatever follows: whoever cannot read it knows at least that it is no
corruption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

import msgpack

from ardiq.core.errors import ArdiqError, BadPayload, BadSignature, EncodeError, NewerPayload
from ardiq.core.extensions import UnknownExtension, new_packer, pack, register_extension, unpack
from ardiq.core.paths import Root, explain, spelt

__all__ = ["Codec", "register_extension"]

MAC = 16
VERSION = b"v1"
FORMAT = 1  # the newest that is understood here
NEWER = b"\xc1ardiq"  # msgpack never writes this byte; a signature that begins like this is one in 2**48
_PERSON = b"ardiq.sign.v1"
_BAD = (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException)


def _part(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


class Codec:
    """Encodes and decodes for one queue. Safe to share between threads.

    ``keys`` are secrets of any length: the first signs, each is tried when verifying; none switches
    signing off. ``serializer`` and ``deserializer`` replace the body format, never the signature.
    ``largest`` says for a kind how many bytes are decoded at most: a megabyte of msgpack can become
    seventy of objects, and whoever can write to Redis must not choose how many.
    """

    def __init__(
        self,
        queue: str,
        keys: Sequence[bytes] = (),
        serializer: Callable[[Any], bytes] | None = None,
        deserializer: Callable[[bytes], Any] | None = None,
        largest: Mapping[str, int] | None = None,
    ) -> None:
        if any(not key for key in keys):
            raise ValueError("A signing key is empty; leave it out, or give it at least one byte.")
        self.queue = queue
        self._keys = tuple(blake2b(key, digest_size=64, person=_PERSON).digest() for key in keys)
        self._states: dict[str, tuple[blake2b, ...]] = {}
        self._serializer = serializer
        self._deserializer = deserializer
        self._largest = dict(largest or {})

    def __repr__(self) -> str:
        return f"Codec({self.queue!r}, {'signing' if self._keys else 'not signing'})"

    def encode(self, kind: str, subject: bytes, value: object, root: Root = "value") -> bytes:
        """The value as a blob, bound to ``kind`` (call, result...) and ``subject`` (whose it is).

        Raises EncodeError with the path of the value at fault. ``root`` is how paths begin; a tuple
        names the items of a list, as in ``("args", "kwargs")``: ``args[0]['user']``.
        """
        try:
            body = pack(value) if self._serializer is None else self._serialize(value)
        except Exception as problem:
            raise self._refusal(value, root, problem) from problem
        if not self._keys:
            return body
        mac = (self._states.get(kind) or self._prepare(kind))[0].copy()
        mac.update(len(subject).to_bytes(4, "big") + subject + body)
        return mac.digest() + body

    def encoder(self, kind: str, head_size: int, tail: bytes, root: Root) -> Callable[[bytes, object], bytes]:
        """``encode`` for many subjects that are of one size and end alike: what is the same is done once.

        The function takes the first ``head_size`` bytes of the subject, and the value.
        """
        seal = self.sealer(kind, head_size, tail)
        write = pack if self._serializer is None else self._serialize

        def encode(head: bytes, value: object) -> bytes:
            try:
                body = write(value)
            except Exception as problem:
                raise self._refusal(value, root, problem) from problem
            return seal(head, body)

        return encode

    def packer(self, root: Root) -> Callable[[object], bytes]:
        """The first half of ``encoder``, which can fail: values as bodies. For one thread, and no longer once
        it has raised."""
        if self._serializer is not None:
            return partial(self._serialized, root)
        alone = new_packer().pack

        def packed(value: object) -> bytes:
            try:
                body: bytes = alone([value])[1:]  # as extensions.pack does it, for very many values
                return body
            except Exception as problem:
                raise self._refusal(value, root, problem) from problem

        return packed

    def _serialized(self, root: Root, value: object) -> bytes:
        try:
            return self._serialize(value)
        except Exception as problem:
            raise self._refusal(value, root, problem) from problem

    def sealer(self, kind: str, head_size: int, tail: bytes) -> Callable[[bytes, bytes], bytes]:
        """The second half, which cannot: body to blob."""
        if not self._keys:
            return lambda head, body: body
        state = (self._states.get(kind) or self._prepare(kind))[0].copy()
        state.update((head_size + len(tail)).to_bytes(4, "big"))
        copy = state.copy

        def seal(head: bytes, body: bytes) -> bytes:
            mac = copy()
            mac.update(head + tail + body)
            return mac.digest() + body

        return seal

    @property
    def overhead(self) -> int:
        """Bytes that a blob has beside its body."""
        return MAC if self._keys else 0

    def decode(self, kind: str, subject: bytes, blob: bytes) -> object:
        """The value of a blob. Raises BadSignature before anything is decoded, BadPayload, or NewerPayload
        for what another release, or a process with more extensions, can read.

        Errors that a registered extension raises on purpose (a row that is gone) pass through.
        """
        most = self._largest.get(kind)
        if most is not None and len(blob) > most:
            raise BadPayload(f"this {kind} takes {len(blob):,} bytes; at most {most:,} are decoded here.")
        if self._keys:
            body = blob[MAC:]
            self._verify(kind, subject, blob, body)
        else:
            body = blob
        if self._deserializer is not None:
            return self._deserialize(kind, body)
        try:
            return unpack(body)
        except ArdiqError:
            raise
        except UnknownExtension as problem:
            # Signed bytes are what their writer wrote; without keys this may be any garbage.
            refusal = NewerPayload if self._keys else BadPayload
            raise refusal(
                f"cannot decode this {kind}: {problem}; register it here, or upgrade this release"
            ) from problem
        except _BAD as problem:
            self._refuse_newer(kind, body)
            reason = str(problem) or type(problem).__name__
            raise BadPayload(f"cannot decode this {kind}: {reason}; was it written by ardiq?") from problem

    def _verify(self, kind: str, subject: bytes, blob: bytes, body: bytes) -> None:
        message = len(subject).to_bytes(4, "big") + subject + body
        for state in self._states.get(kind) or self._prepare(kind):
            mac = state.copy()
            mac.update(message)
            if compare_digest(mac.digest(), blob[:MAC]):
                return
        self._refuse_newer(kind, blob)
        raise BadSignature(
            f"the signature of this {kind} does not match: its bytes were changed, or its writer has another "
            "key (keep the old one in SECRET_KEY_FALLBACKS or the list of SIGNING_KEY) or SIGNING turned off."
        )

    def _refuse_newer(self, kind: str, blob: bytes) -> None:
        """Raise NewerPayload for what says that it is of a later format. It cannot be verified, and need not
        be: what follows is a job that waits for another worker, never one that runs."""
        number = blob[len(NEWER) : len(NEWER) + 1]
        if blob.startswith(NEWER) and number > bytes([FORMAT]):
            raise NewerPayload(
                f"this {kind} is of format {number[0]}, and this release reads format {FORMAT}."
            )

    def _prepare(self, kind: str) -> tuple[blake2b, ...]:
        """Hash states that have read the key and all that is the same for every blob of this kind."""
        prefix = VERSION + _part(kind.encode()) + _part(self.queue.encode())
        states = tuple(blake2b(prefix, digest_size=MAC, key=key) for key in self._keys)
        self._states[kind] = states
        return states

    def _serialize(self, value: object) -> bytes:
        assert self._serializer is not None
        body: object = self._serializer(value)
        if isinstance(body, (bytes, bytearray, memoryview)):
            return bytes(body)
        raise TypeError(f"it returned {type(body).__name__}, not bytes")

    def _deserialize(self, kind: str, body: bytes) -> object:
        assert self._deserializer is not None
        try:
            return self._deserializer(body)
        except ArdiqError:
            raise
        except Exception as problem:
            self._refuse_newer(kind, body)
            reason = f"{type(problem).__name__}: {problem}"
            raise BadPayload(f"cannot decode this {kind}: the deserializer failed with {reason}") from problem

    def _refusal(self, value: object, root: Root, problem: Exception) -> Exception:
        if isinstance(problem, MemoryError):
            return problem
        if self._serializer is None:
            return explain(value, root, problem)
        reason = f"{type(problem).__name__}: {problem}"
        return EncodeError(f"cannot encode {spelt(root)}: the serializer failed with {reason}")
