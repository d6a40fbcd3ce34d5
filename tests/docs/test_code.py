"""The code in README.md and docs/ is real: it compiles, what it imports exists, and sequences are played."""

from __future__ import annotations

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import Block, blocks, sequences
from tests.docs.play import stage

PYTHON = [block for block in blocks() if block.language == "python" and not block.skipped]
SHELL = {"sh", "text", "python", "ini", "html", "yaml"}


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.where)
def test_python_compiles_and_its_imports_exist(block: Block) -> None:
    tree = compile(block.text, block.where, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ardiq":
            module = importlib.import_module(node.module or "")
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not missing, f"{block.where}: {node.module} has no {', '.join(missing)}"


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.where)
def test_every_block_names_its_language(block: Block) -> None:
    assert block.language in SHELL, f"{block.where}: write one of {', '.join(sorted(SHELL))} behind the fence"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(sequences()))
def test_sequence(name: str, directory: Path, project: Path) -> None:
    steps = sequences()[name]
    if any("django.tasks" in block.text for block in steps) and not find_spec("django.tasks"):
        pytest.skip("django.tasks is part of Django 6.0")
    starts_a_project = any("startproject" in block.text for block in steps if block.language == "sh")
    with stage(directory, None if starts_a_project else project) as play:
        for block in steps:
            play.play(block)
