"""The Django tasks of a queue as a registry."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Protocol

from ardiq.backend import finding
from ardiq.core.errors import UnknownTask
from ardiq.core.registry import Definition, Registry


class Having(Protocol):
    """Whose tasks these are."""

    queue_name: str

    @property
    def backends(self) -> Container[str]: ...
    def known(self, name: str) -> Definition | None: ...


class Shelf(Registry):
    """The tasks of a hall as a registry: whatever tasks lie in loaded modules, looked up when asked for."""

    def __init__(self, hall: Having) -> None:
        super().__init__()
        self._hall = hall

    def check_free(self, definition: Definition, again: bool = False) -> None:
        """A path leads to one function, and that is a task of one door."""

    def get(self, name: str) -> Definition | None:
        return self._hall.known(name)

    def __getitem__(self, name: str) -> Definition:
        found = self.get(name)
        if found is None:
            raise UnknownTask(f"No Django task lies at {name!r}.")
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and finding.loaded(name) is not None

    def __iter__(self) -> Iterator[str]:
        hall = self._hall
        return iter(
            [
                name
                for name, task in finding.met().items()
                if task.queue_name == hall.queue_name and task.backend in hall.backends and self.get(name)
            ]
        )

    def __len__(self) -> int:
        return len(list(iter(self)))
