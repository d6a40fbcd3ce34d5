"""The loader: a script and its callers cannot drift apart unseen."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest

from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, Script, script
from tests.keyspace import table

HEAD = (
    "-- Does something.\n-- KEYS 1: prefix\n-- ARGV 2 + 3 n: a, b\n-- RETURNS 1\n-- WHY one script: because\n"
)
NAMES = sorted(
    {one.name.removesuffix(".lua") for one in (files("ardiq.store") / "lua").iterdir()} - {"common"}
)


def same(reply: Any) -> Any:
    return reply


@pytest.mark.parametrize("line", ["KEYS", "ARGV", "RETURNS", "WHY"])
def test_a_header_that_lacks_a_line(line: str) -> None:
    """R9: named with its file, at load."""
    text = re.sub(f"-- {line}.*\n", "", HEAD)
    with pytest.raises(ValueError, match=rf"claim\.lua: its header lacks {line}"):
        Script("claim", text)


def test_a_script_without_a_header() -> None:
    """R9: all that is missing is named at once."""
    with pytest.raises(ValueError, match="lacks ARGV, KEYS, RETURNS, WHY"):
        Script("claim", "return 1")


@pytest.mark.parametrize("argv", ["a, b", "n + 1", ": a"])
def test_arguments_that_are_not_counted(argv: str) -> None:
    """R9: the count stands first."""
    with pytest.raises(ValueError, match="must start with a count"):
        Script("claim", HEAD.replace("2 + 3 n: a, b", argv))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6])
def test_a_call_with_a_wrong_count_is_refused(count: int) -> None:
    """R9: before anything is sent."""
    with pytest.raises(ValueError, match=rf"claim\.lua wants 2 \+ 3 n arguments, got {count}"):
        Script("claim", HEAD).call("p", ["x"] * count, same)


@pytest.mark.parametrize("count", [2, 5, 8])
def test_a_call_with_a_right_count(count: int) -> None:
    """R9: the fixed arguments, then whole groups."""
    call = Script("claim", HEAD).call("p", ["x"] * count, same)
    assert call.command[0] == "EVALSHA" and call.command[2:] == (1, "p", *["x"] * count)


def test_a_script_without_groups() -> None:
    """R9: exactly so many."""
    one = Script("claim", HEAD.replace("2 + 3 n", "2"))
    one.call("p", ["x", "y"], same)
    for count in (1, 3):
        with pytest.raises(ValueError, match=f"wants 2 arguments, got {count}"):
            one.call("p", ["x"] * count, same)


def test_the_same_call_in_full() -> None:
    """R13: EVAL with the same arguments, for a server that has lost the script."""
    one = Script("claim", HEAD + "return ARGV[1]")
    call = one.call("p", ["x", "y"], same)
    assert call.in_full().command == ("EVAL", one.text, 1, "p", "x", "y")


def test_a_plain_command_has_no_script() -> None:
    """R13: there is nothing to send in full."""
    with pytest.raises(AssertionError):
        Call(("GET", "x"), same).in_full()


@pytest.mark.parametrize("name", NAMES)
def test_every_script_has_its_contract(name: str) -> None:
    """R1, R9: loads, reads the clock in one place only, and spells no key beyond the table of keys.py."""
    text = (files("ardiq.store") / "lua" / f"{name}.lua").read_text("utf-8")
    loaded = script(name)
    assert loaded is script(name) and loaded.name == name
    assert "ardiq:" not in text and "KEYS[2]" not in text
    assert "'TIME'" not in text
    known = {row.pattern.partition(":")[0] for row, _ in table()} | {"control", "done"}
    assert {key.partition(":")[0] for key in re.findall(r"prefix \.\. '([a-z:]+)", text)} <= known


def test_keys_of_a_queue_share_one_slot() -> None:
    """R9: one hash tag, so that a script may touch any of them on a Cluster."""
    keys = Keys("mail.out")
    made = [
        keys.scheduled, keys.workers, keys.wake, keys.waiters, keys.aborts, keys.control,
        keys.job("x"), keys.lane("x"), keys.held("x"), keys.worker("x"), keys.unique("x"), keys.done("x"),
    ]  # fmt: skip
    assert all(key.startswith("ardiq:{mail.out}:") for key in made) and len(set(made)) == len(made)
