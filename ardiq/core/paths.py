"""Where in a structure the value sits that cannot be encoded: a slow walk, done only after a failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ardiq.core.errors import EncodeError
from ardiq.core.extensions import pack
from ardiq.core.redact import shown

Root = str | tuple[str, ...]
MAX_DEPTH = 1_000  # msgpack's own limit is a little above


def spelt(root: Root) -> str:
    """The root as words: ``args and kwargs``."""
    return root if isinstance(root, str) else " and ".join(root)


def explain(value: object, root: Root, problem: Exception) -> EncodeError:
    """The EncodeError for a value that ``pack`` refused with ``problem``."""
    tops: list[tuple[str, object]] = []
    if isinstance(root, str):
        tops = [(root, value)]
    elif isinstance(value, (list, tuple)) and len(value) == len(root):
        tops = list(zip(root, value, strict=True))
    for path, item in tops:
        found = _search(path, item)
        if found is not None:
            path, problem = found
            return EncodeError(f"cannot encode {path}: {_reason(problem)}.")
    return EncodeError(f"cannot encode {spelt(root)}: {_reason(problem)}.")


def _reason(problem: Exception) -> str:
    if isinstance(problem, UnicodeEncodeError):
        return "text with a lone surrogate is not valid Unicode; pass bytes, or clean it"
    return str(problem).rstrip(".") or type(problem).__name__


def _search(path: str, top: object) -> tuple[str, Exception] | None:
    """Depth first, without recursion: the structure may be deeper than Python's stack."""
    stack: list[tuple[str, object, Iterator[tuple[str, object]]]] = []
    inside: set[int] = set()
    item = top
    while True:
        found = _fault(path, item, inside, len(stack))
        if found is not None:
            return found
        inside.add(id(item))
        stack.append((path, item, _children(path, item)))
        while stack:
            following = next(stack[-1][2], None)
            if following is not None:
                path, item = following
                break
            inside.discard(id(stack.pop()[1]))
        else:
            return None


def _fault(path: str, item: object, inside: set[int], depth: int) -> tuple[str, Exception] | None:
    container = isinstance(item, (list, tuple, dict, set, frozenset))
    if container and id(item) in inside:
        return path, ValueError("it contains itself; pass plain data without cycles")
    if container and depth > MAX_DEPTH:
        return path, ValueError(f"it is nested more than {MAX_DEPTH:,} levels deep; flatten it")
    if container:
        return None
    try:
        pack(item)
    except Exception as problem:
        return path, problem
    return None


def _children(path: str, item: object) -> Iterator[tuple[str, object]]:
    if isinstance(item, Mapping):
        for key in item:
            yield f"key {shown(key, 40)} of {path}", key
        for key, child in item.items():
            yield f"{path}[{shown(key, 40)}]", child
    elif isinstance(item, tuple) and hasattr(item, "_fields"):
        for name, child in zip(item._fields, item, strict=False):
            yield f"{path}.{name}", child
    elif isinstance(item, (list, tuple)):
        for index, child in enumerate(item):
            yield f"{path}[{index}]", child
    elif isinstance(item, (set, frozenset)):
        for child in item:
            yield f"{path}{{{shown(child, 40)}}}", child
