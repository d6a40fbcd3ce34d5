"""From the name of a task to the task.

A name that comes from Redis is looked up, and never imported (decision 0003). A name that is not known makes
the process import, once, every module of the installed apps that defines Django tasks: which ones those are
is read from their files, and the name has no say in it.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from django.apps import AppConfig, apps

from ardiq.backend.origin import Task
from ardiq.core.shortage import is_short

AGAIN = 5.0  # seconds until the next search, after one that the process was short of files for

log = logging.getLogger("ardiq")

# Not of an app as it runs.
SKIPPED = {"migrations", "tests", "test", "static", "templates", "node_modules", "__pycache__"}
_IMPORTS = re.compile(
    rb"^[ \t]*(from[ \t]+(django\.tasks|django_tasks)\b|import[ \t]+(django\.tasks|django_tasks)\b"
    rb"|from[ \t]+django[ \t]+import[^\n]*\btasks\b)",
    re.M,
)

_met: dict[str, Task] = {}
"""Tasks that were made in this process, by their paths: each as it was made first."""
_searched: list[bool] = []
_again: dict[str, float] = {}
_searching = threading.RLock()


def meet(task: Task) -> None:
    """Remember a task that was just made."""
    _met.setdefault(task.module_path, task)


def met() -> dict[str, Task]:
    return dict(_met)


def loaded(path: str) -> Task | None:
    """The task that lies at this path in a module that is loaded, or that was made of the function there."""
    found = lying_at(path)
    return found if isinstance(found, Task) else _met.get(path) if found is not None else None


def lying_at(path: str) -> Any:
    """What lies at a dotted path in a module that is loaded; None for nothing. Runs no code: modules and
    classes may import, or do anything else, when they are asked for a name that they do not have."""
    module, _, inside = path.rpartition(".")
    while module and module not in sys.modules:
        module, _, name = module.rpartition(".")
        inside = f"{name}.{inside}"
    found: Any = sys.modules.get(module)
    for name in inside.split("."):
        found = _inside(found).get(name)
    return found


def _inside(thing: Any) -> Mapping[str, Any]:
    return vars(thing) if isinstance(thing, (ModuleType, type)) else {}


def sought(path: str) -> Task | None:
    """``loaded``, and if that does not know it, once more when every module with tasks is imported."""
    found = loaded(path)
    if found is None and not _searched:
        with _searching:
            if not _searched and time.monotonic() >= _again.get("at", 0.0):
                _search_all()
        found = loaded(path)
    return found


def _search_all() -> None:
    """Search once and for all, unless this process is short of files: then again in a while."""
    try:
        _any_file()
        _search()
        _any_file()
    except Exception as error:  # of any kind: whoever ran short may have worded it
        _again["at"] = time.monotonic() + AGAIN
        log.warning("Modules with tasks cannot be looked for just now: %s", error)
    else:
        _searched.append(True)


def _any_file() -> None:
    """OSError when no file can be opened, of which a walk through a folder says nothing."""
    with open(__file__, "rb"):
        pass


def _search() -> None:
    """Import all of them. Raises what this process was short of for one, when the others are there."""
    short: list[Exception] = []
    for config in apps.get_app_configs():
        if not f"{config.name}.".startswith(("django.", "ardiq.")):
            for module in _defining(config):
                if module not in sys.modules and (error := _import(module)) is not None:
                    short.append(error)
    if short:
        raise short[0]


def _defining(config: AppConfig) -> Iterator[str]:
    """The modules of an app whose files import django.tasks."""
    top = Path(config.path)
    for file in sorted(top.rglob("*.py")):
        parts = file.relative_to(top).with_suffix("").parts
        if SKIPPED.isdisjoint(parts) and all(part.isidentifier() for part in parts) and _tells(file):
            yield ".".join([config.name, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def _tells(file: Path) -> bool:
    try:
        return _IMPORTS.search(file.read_bytes()) is not None
    except OSError as error:
        if is_short(error):
            raise
        return False


def _import(module: str) -> Exception | None:
    """Answers what this process was short of; any other error is the project's, and is told."""
    try:
        import_module(module)
    except Exception as error:
        if is_short(error):
            return error
        log.exception("The module %s, which seems to define tasks, cannot be imported.", module)
    return None
