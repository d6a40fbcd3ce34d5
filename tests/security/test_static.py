"""What the package may import and call: nothing that turns data into code."""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ardiq

ROOT = Path(ardiq.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
NEVER = {
    "pickle",
    "cPickle",
    "_pickle",
    "marshal",
    "shelve",
    "yaml",
    "dill",
    "cloudpickle",
    "jsonpickle",
    "code",
}
CALLS = {"eval", "exec", "compile", "__import__", "import_module", "import_string", "loads", "get_model"}
# Where one of these is called, and why no data from Redis reaches it.
ALLOWED = {
    ("__init__.py", "import_module"): "the names of the public API, spelt in the same file",
    ("admin.py", "import_string"): "the pages, spelt in the same file",
    ("adminui/base.py", "get_model"): "'job' or 'worker', spelt where it is asked",
    ("isolated.py", "import_module"): "the module of a task that the worker has registered, said by itself",
    ("backend/finding.py", "import_module"): "modules of installed apps, named by their files",
    ("backend/hall.py", "import_string"): "BACKEND, from settings only",
    ("core/dotted.py", "import_module"): "SERIALIZER and DESERIALIZER, from settings only",
    ("core/propagate.py", "import_module"): "PROPAGATE, from settings only",
    ("core/reports.py", "loads"): "json, of what jobs tell; makes nothing but plain data",
    ("references.py", "get_model"): "looks a label up among the installed models; imports nothing",
    ("adminui/doing.py", "loads"): "json, of a form that a signed-in user has sent",
    ("adminui/arguments.py", "loads"): "json, of a form that a signed-in user has sent",
    ("adminui/repeating.py", "loads"): "json, of what the line before has made of a decoded value",
    ("contrib/celery/states.py", "loads"): "json, of what a job has told; makes nothing but plain data",
    ("adminui/words.py", "import_module"): "cron_descriptor, spelt in the same file",
    ("operations.py", "loads"): "json, of where a bulk operation stands; makes nothing but plain data",
    ("store/fake.py", "import_module"): "fakeredis, spelt in the same file",
    ("testing/__init__.py", "import_module"): "the names of the testing kit, spelt in the same file",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                yield function.id, node
            elif isinstance(function, ast.Attribute) and not (
                function.attr == "compile"
                and isinstance(function.value, ast.Name)
                and function.value.id == "re"
            ):
                yield function.attr, node


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_data_never_becomes_code(path: Path) -> None:
    """S1: no module of the package can unpickle, evaluate, or import by a name that is data."""
    tree = ast.parse(path.read_text("utf-8"))
    assert not set(imports(tree)) & NEVER
    found = {called for called, _ in calls(tree) if called in CALLS}
    unexplained = {called for called in found if (name_of(path), called) not in ALLOWED}
    assert not unexplained, f"{name_of(path)}: say in ALLOWED why data from Redis cannot reach {unexplained}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_shell_and_no_server(path: Path) -> None:
    """S10, S12: no command goes through a shell, and nothing but the port that is asked for is a server."""
    tree = ast.parse(path.read_text("utf-8"))
    if name_of(path) != "worker/probe.py":
        assert not set(imports(tree)) & {"socketserver", "http", "wsgiref", "xmlrpc"}
    for called, node in calls(tree):
        where = f"{name_of(path)}:{node.lineno}"
        assert "shell" not in {keyword.arg for keyword in node.keywords}, where
        assert called not in {"start_server", "create_server", "start_unix_server", "mktemp"}, where
        assert ast.unparse(node.func) not in {"os.system", "os.popen", "subprocess.getoutput"}, where


def test_the_table_of_what_is_allowed_is_true() -> None:
    for file, called in ALLOWED:
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        assert called in {name for name, _ in calls(tree)}, f"{file} calls {called} no more"


def test_dependencies_have_floors_and_no_ceilings() -> None:
    """S12: few, and none of them held back from a fix."""
    setup = configparser.ConfigParser()
    setup.read(ROOT.parent / "setup.cfg")
    wanted = setup["options"]["install_requires"].split()
    floors = dict(re.fullmatch(r"([a-z-]+)(?:\[\w+\])?>=([\d.]+)", one).groups() for one in wanted)  # type: ignore[union-attr]
    assert set(floors) == {"django", "redis", "msgpack", "cronsim"}
    assert floors["redis"] == "6.4" and floors["msgpack"] == "1.1" and floors["django"] == "5.2"


def test_the_linter_looks_for_holes() -> None:
    """S12: ruff's rules of bandit are on for the package."""
    text = (ROOT.parent / "pyproject.toml").read_text("utf-8")
    assert re.search(r'select = \[[^\]]*"S"', text)
    assert not re.search(r'"ardiq/[^"]*" = \["S', text), "a part of the package is left out"
