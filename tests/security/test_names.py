"""Names and ids that somebody else chooses cannot become another key, another slot or another line."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus
from ardiq.connection import new_id
from ardiq.core.job import check_id, id_for
from ardiq.core.names import check_name
from tests.security.conftest import Intruder

W = "f" * 32
IDS = [
    "a:b", "lane:default", "job:other", f"held:{W}", f"worker:{W}", "unique:u", ":", "::", "scheduled",
    "wake", "*", "?", "[a-z]", "../../etc/passwd", "a b", "a|b", "|", "%00", "\\", "'; FLUSHALL", "é" * 100,
    "x" * 200,
]  # fmt: skip
BAD_IDS = [
    "", "x" * 201, "é" * 101, "a{b", "a}b", "{}", "a\nb", "a\rb", "a\x00b", "a\x1bb", "a\x7fb", "a\x85b",
    "a\u202eb", "a\u200bb", "a\u2028b", "\ud800", 7, None, b"a",
]  # fmt: skip
BAD_NAMES = ["", "a:b", "a{b", "a}b", "a*", "a?", "a[b", "a\nb", "a\x00b", "a b", "ä", "a/b", "a|b", "a\n"]


@pytest.mark.parametrize("id", IDS)
def test_an_id_is_one_key(app: Ardiq, intruder: Intruder, id: str) -> None:
    """S4: whatever it looks like, it is the end of one key that begins as all of jobs do."""
    other = app.ref("add").options(task_id="other").enqueue_sync(1)
    before = {*intruder.redis.scan_iter(match=intruder.keys.prefix + "*")}
    job = app.ref("add").options(task_id=id).enqueue_sync(2)
    new = {*intruder.redis.scan_iter(match=intruder.keys.prefix + "*")} - before
    assert new == {f"{intruder.keys.prefix}job:{id}".encode()}
    info: Any = app.info_sync(id)
    assert (info.args, app.info_sync("other").args) == ([2], [1])  # type: ignore[union-attr]
    assert job.abort_sync() and job.status_sync() is JobStatus.ABORTED
    assert job.delete_sync() and other.status_sync() is JobStatus.QUEUED
    assert {*intruder.redis.scan_iter(match=intruder.keys.prefix + "*")} >= before


@pytest.mark.parametrize("id", BAD_IDS)
def test_what_is_no_id(app: Ardiq, id: Any) -> None:
    """S4: refused before anything is sent, with the rule."""
    with pytest.raises((TypeError, ValueError)):
        check_id(id)
    if id is not None:
        with pytest.raises((TypeError, ValueError)):
            app.ref("add").options(task_id=id)


@pytest.mark.parametrize("kind", ["queue", "lane", "task"])
@pytest.mark.parametrize("name", [*BAD_NAMES, "x" * 201])
def test_what_is_no_name(kind: str, name: str) -> None:
    """S4: no colon, brace, glob, space or control character."""
    with pytest.raises(ValueError, match=f"no valid {kind} name"):
        check_name(kind, name)


def test_ids_of_anything() -> None:
    """S4: what is no id, or nobody's business, is hashed; parts cannot run into one another."""
    made = [id_for("a{b"), id_for("a", "{b"), id_for("a{", "b"), id_for(["a{b"]), id_for(1), id_for("1")]
    assert len(set(made)) == len(made) and all(check_id(id) and len(id) == 32 for id in made)
    assert id_for("x", {1, 2, 3}) == id_for("x", {3, 2, 1})
    with pytest.raises(TypeError, match=r"id_for\(\)\[1\]"):
        id_for("x", object())


def test_ids_cannot_be_guessed() -> None:
    """S11: 122 random bits, and no two alike."""
    made = [new_id() for _ in range(2_000)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", id) for id in made)
