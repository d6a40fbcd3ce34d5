"""Which failures are the same: the type, and the place in the project."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

import pytest

import ardiq
from ardiq.core.errors import TaskError
from ardiq.core.fingerprint import Fingerprint, fingerprint, frames_of, mark

LIBRARY = os.path.join(os.path.dirname(os.__file__), "json", "decoder.py")
GUEST = os.path.join(os.path.dirname(os.__file__), "site-packages", "httpx", "_client.py")
OURS = os.path.join(os.path.dirname(ardiq.__file__), "worker", "runner.py")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules of a project are imported from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def of(*frames: tuple[str, str], ran: bool = True) -> Fingerprint:
    return fingerprint("ValueError", frames, "shop.charge", ran=ran)


def test_the_innermost_frame_of_the_project(root: Path) -> None:
    """F1: not that of a library, of Python or of ardiq, on whichever side they stand."""
    shop = str(root / "shop" / "tasks.py")
    found = of((OURS, "_run"), (shop, "charge"), (shop, "card"), (GUEST, "send"), (LIBRARY, "raw_decode"))
    assert (found.type, found.where) == ("ValueError", "shop/tasks.py:card")
    assert found.hash == of((shop, "other"), (shop, "card")).hash
    assert found.hash != of((shop, "charge")).hash
    assert len(found.hash) == 12 and int(found.hash, 16)


def test_without_a_frame_of_the_project() -> None:
    """F1: the innermost of a library when the task is one; the task itself where none of its code was met."""
    assert of((OURS, "_run"), (GUEST, "send"), (LIBRARY, "raw_decode")).where == "json/decoder.py:raw_decode"
    assert of((OURS, "_run")).where == of().where == "shop.charge"
    assert of((OURS, "admit"), (LIBRARY, "bind"), ran=False).where == "shop.charge"
    assert of(("<frozen importlib>", "_load"), ran=False).where == "shop.charge"


def test_another_folder_is_the_same_place(root: Path) -> None:
    """F1: a deploy beside the last one splits no group."""
    inside, outside = str(root / "shop" / "tasks.py"), "/releases/41/shop/tasks.py"
    assert of((inside, "charge")) == of((outside, "charge"))


def module(root: Path, text: str, name: str) -> ModuleType:
    path = root / "shop" / "tasks.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    made = ModuleType(name)
    exec(compile(text, str(path), "exec"), vars(made))  # noqa: S102 - a module whose file is changed
    return made


def raised(made: ModuleType) -> BaseException:
    try:
        made.charge()
    except BaseException as error:
        return error
    raise AssertionError("it did not raise")


TASK = "import json\ndef charge():\n    json.loads('no json')\n"


def test_an_edit_elsewhere_splits_no_group(root: Path) -> None:
    """F1: there is no line number in it. A real traceback, through a library."""
    before = raised(module(root, TASK, "before"))
    after = raised(module(root, "\n\n\n" + TASK, "after"))
    assert isinstance(before, json.JSONDecodeError)
    assert of(*frames_of(before)) == of(*frames_of(after))
    assert of(*frames_of(before)).where == "shop/tasks.py:charge"


def test_a_traceback_in_text(root: Path) -> None:
    """F1: what another process raised arrives as text, and belongs to the same group."""
    chained = (
        "import json\ndef charge():\n    try:\n        json.loads('')\n    except ValueError as e:\n        "
    )
    error = raised(module(root, chained + "raise KeyError('x') from e\n", "chained"))
    text = "".join(traceback.format_exception(error))
    assert "direct cause" in text
    told = TaskError("KeyError", "x", text)
    assert of(*frames_of(told)) == of(*frames_of(error))
    assert of(*frames_of(told)).where == "shop/tasks.py:charge"
    assert frames_of(TaskError("KeyError", "x")) == []
    # A task that raises what another one failed of has failed at its own place.
    told = "from ardiq import TaskError\ndef charge():\n    collect()\ndef collect():\n    "
    again = raised(module(root, told + f"raise TaskError('E', '', {text!r})\n", "again"))
    assert of(*frames_of(again)).where == "shop/tasks.py:collect"


def test_what_cannot_be_stored_is_made_to_fit() -> None:
    """F1, S9: newlines would be taken for the next field, lone surrogates are no UTF-8."""
    found = fingerprint("a\nb\udc80" + "x" * 999, [("/p/q\n.py", "f")], "t")
    text = mark(found, "two\nlines\n" + "m" * 999)
    assert text.startswith("\n") and len(text.split("\n")) == 5
    assert len(text) < 1_000 and text.encode()


def test_the_ways_to_a_module_do_not_matter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F1: the longest entry of sys.path is the one that an import went through."""
    monkeypatch.setattr(sys, "path", [str(root.parent), str(root), "", *sys.path])
    assert of((str(root / "shop" / "tasks.py"), "charge")).where == "shop/tasks.py:charge"
