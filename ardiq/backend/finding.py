"""From the name of a task to the task. No module is imported here because of a name (decision 0003), but
those of installed apps that a signed job names."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.apps import apps

from ardiq.backend.origin import Task

log = logging.getLogger("ardiq")

_met: dict[str, Task] = {}
"""Tasks that were made in this process, by their paths: each as it was made first."""


def meet(task: Task) -> None:
    """Remember a task that was just made."""
    _met.setdefault(task.module_path, task)


def met() -> dict[str, Task]:
    return dict(_met)


def loaded(path: str) -> Task | None:
    """The task that lies at this path in a module that is loaded, or that was made here of the function
    there."""
    module, _, inside = path.rpartition(".")
    while module:
        if module in sys.modules:
            return _at(sys.modules[module], inside) or _met.get(path)
        module, _, name = module.rpartition(".")
        inside = f"{name}.{inside}"
    return None


def _at(found: Any, inside: str) -> Task | None:
    for name in inside.split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, Task) else None


def imported(path: str) -> Task | None:
    """``loaded``, after importing the module if it is one of an installed app.

    Only for a path that was signed with the key of this project: then a process of the project has had a task
    there, and nobody else chooses what is imported.
    """
    module = path.rpartition(".")[0]
    if module in sys.modules or not _of_an_app(module):
        return loaded(path)
    try:
        if find_spec(module) is not None:
            import_module(module)
    except Exception:
        log.exception("The module %s of a task cannot be imported.", module)
    return loaded(path)


def _of_an_app(module: str) -> bool:
    return any(module.startswith(f"{config.name}.") for config in apps.get_app_configs())
