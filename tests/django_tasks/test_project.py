"""A project that has never heard of ardiq but in two settings, with the wheel installed as users get it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.server import missing, own_server
from tests.workers import ROOT

SETTINGS = """
INSTALLED_APPS += ["ardiq", "shop"]
TASKS = {"default": {"BACKEND": "ardiq.backend.ArdiqBackend"}}
"""

TASKS = """
from django.tasks import task


@task
def add(a, b):
    return a + b


@task(takes_context=True)
async def who(context):
    return context.task_result.id
"""

ENQUEUE = """
from shop.tasks import add, who
print(add.enqueue(2, 3).id, who.using(priority=10).enqueue().id)
"""

LOOK = """
import json, sys, ardiq
from django.tasks import default_task_backend as backend
results = [backend.get_result(id) for id in sys.argv[1:]]
print(json.dumps([[str(one.status), one.return_value, one.attempts] for one in results]))
print(ardiq.__file__)
"""


def wheel(directory: Path) -> Path:
    """The wheel of this tree, unpacked where a process can import it."""
    if not find_spec("build"):
        pytest.skip("no package 'build' here, which makes wheels")
    # From a copy: building writes into the tree, and others read it at the same time.
    copy = directory / "tree"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(copy)], check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(directory), str(copy)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        missing(f"a wheel cannot be built here: {done.stdout[-500:]}{done.stderr[-500:]}")
    site = directory / "site"
    with zipfile.ZipFile(next(directory.glob("*.whl"))) as archive:
        archive.extractall(site)
    return site


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("django.tasks"), reason="django.tasks is part of Django 6.0")
def test_a_new_project_needs_two_settings(tmp_path: Path) -> None:
    """J7, J8: TASKS and INSTALLED_APPS, and its tasks run on the wheel of this package."""
    site = wheel(tmp_path)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ARDIQ", "DJANGO", "PYTHON"))
    } | {"PYTHONPATH": str(site)}
    project = tmp_path / "mysite"
    project.mkdir()

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "django", "startproject", "mysite", ".")
    run("manage.py", "startapp", "shop")
    (project / "shop" / "tasks.py").write_text(TASKS)
    with (project / "mysite" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    script = "import django; django.setup()\n"
    with own_server(tmp_path) as url:
        environment |= {"ARDIQ_REDIS_URL": url, "DJANGO_SETTINGS_MODULE": "mysite.settings"}
        assert "no issues" in run("manage.py", "check")
        ids = run("-c", script + ENQUEUE).split()
        run("manage.py", "ardiq_worker", "--burst")
        results, where = run("-c", script + LOOK, *ids).splitlines()
    assert json.loads(results) == [["SUCCESSFUL", 5, 1], ["SUCCESSFUL", ids[1], 1]]
    assert where.startswith(str(site))
