"""What the jobs of a cell have told: starts and ends, as they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Note:
    """``at`` is in monotonic seconds."""

    word: str
    number: int
    worker: str
    pid: int
    at: float


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._notes: list[Note] = []

    def notes(self, word: str, after: float = 0) -> Iterator[Note]:
        self._refresh()
        return (note for note in self._notes if note.word == word and note.at > after)

    def _refresh(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            word, number, worker, pid, at = line.split()
            self._notes.append(Note(word, int(number), worker, int(pid), float(at)))

    def count(self, word: str) -> Counter[int]:
        """How often each job has told this."""
        return Counter(note.number for note in self.notes(word))

    def open(self) -> set[int]:
        """Jobs that have started and not ended since."""
        self._refresh()
        running: set[int] = set()
        for note in self._notes:
            if note.word == "start":
                running.add(note.number)
            else:
                running.discard(note.number)
        return running
