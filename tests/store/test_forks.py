"""Forks that Python is not told of, as those of uWSGI: none of its hooks runs in the child."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

BEGIN = """
import ctypes, json, os, sys, types
sys.modules["uwsgi"] = types.ModuleType("uwsgi")
"""
# PyDLL keeps the interpreter locked, as uWSGI does; what os.fork adds to it is the hooks.
FORK = """
mine = make()
reader, writer = os.pipe()
if ctypes.PyDLL(None).fork() == 0:
    os.write(writer, json.dumps([make() for _ in range(3)]).encode())
    os._exit(0)
os.wait()
print(json.dumps([mine, *(make() for _ in range(3))]), os.read(reader, 1_000).decode(), sep="\\n")
"""
IDS = "from ardiq.connection import new_id as make"
LISTENERS = """
from ardiq.store.sentinels import Sentinels
from ardiq.store.switches import switches
sentinels = Sentinels([("localhost", 1)], "mymaster", {})
make = lambda: id(switches(sentinels))
"""


def made(how: str) -> tuple[list[object], list[object]]:
    """What a process makes before and after a fork, and what its child makes."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + how + FORK], capture_output=True, text=True, timeout=60, check=True
    )
    parent, child = map(json.loads, done.stdout.splitlines())
    return parent, child


@pytest.mark.fault("61", "a fork without hooks, as of uWSGI")
def test_ids_are_those_of_one_process() -> None:
    """C13: a child does not give the ids that its parent gives."""
    parent, child = made(IDS)
    assert len({*parent, *child}) == 7


@pytest.mark.fault("61", "a fork without hooks, as of uWSGI: sentinels are listened to")
def test_a_child_listens_to_the_sentinels_itself() -> None:
    """C13: the thread that listens in the parent is not there in the child."""
    parent, child = made(LISTENERS)
    assert len(set(parent)) == len(set(child)) == 1
    assert parent[0] != child[0]
