"""Calls are checked by mypy against the signature of the task."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RIGHT = """
    from __future__ import annotations

    from ardiq import Ardiq, Job, task

    app = Ardiq("q", priorities=["low", "high"])

    @app.task
    async def add(a: int, b: int = 1) -> int:
        return a + b

    @task(priority="high", max_retries=5)
    def greet(name: str, *, loud: bool = False) -> str:
        return name

    @app.task()
    async def later(name: str) -> str:
        return name

    async def use() -> None:
        job: Job[int] = await add.enqueue(2, b=3)
        await add.options(priority="high", delay_ms=5).enqueue(2)
        result = await job.result(timeout=5)
        if result is not None:
            print(result.value, result.raise_for_error().tries)
        total: int = await add(2, 3)
        word: str = greet("x", loud=True)
        other: str = await later("x")
        add.enqueue_sync(2, 3)
        greet.options(task_id="x").enqueue_sync("x", loud=True)
        await app.enqueue_many(add.prepare(n) for n in range(3))
        await app.send("other.task", 1, anything=True)
        print(total, word, other)
"""

WRONG = [
    ('add.enqueue_sync("2", 3)', "arg-type"),
    ("add.enqueue_sync()", "call-arg"),
    ("add.options(delay_ms=5).enqueue_sync(1, 2, 3)", "call-arg"),
    ("add.prepare(1, c=2)", "call-arg"),
    ("greet.enqueue_sync(5)", "arg-type"),
    ('greet.options(priority="high").enqueue_sync("x", lord=True)', "call-arg"),
    ('greet("x", True)', "call-arg"),
    ("add(1).upper()", "attr-defined"),
    ('later.enqueue_sync("x", 1)', "call-arg"),
]


def checked(tmp_path: Path, source: str) -> list[str]:
    """The errors of mypy --strict for a module, one a line."""
    pytest.importorskip("mypy", reason="types are checked with mypy: pip install mypy")
    module = tmp_path / "calls.py"
    module.write_text(textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", str(module)],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if ": error:" in line]


@pytest.mark.slow
def test_types_of_calls(tmp_path: Path) -> None:
    """B10: right calls pass mypy --strict, each wrong one is an error on its own line."""
    wrong = "\ndef wrong() -> None:\n" + "\n".join(f"    {call}" for call, _ in WRONG)
    source = textwrap.dedent(RIGHT)
    errors = checked(tmp_path, source + wrong)
    first = len(source.splitlines()) + 2
    found: dict[int, str] = {}
    for line in errors:
        match = re.search(r"calls\.py:(\d+): error: .*\[([\w-]+)\]$", line)
        assert match, line
        found[int(match[1]) - first - 1] = match[2]
    assert found == {n: kind for n, (_, kind) in enumerate(WRONG)}, "\n".join(errors)
