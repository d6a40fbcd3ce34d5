"""The pytest plugin, and Django's own runner, each in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """
SECRET_KEY = "only-for-tests"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "ardiq", "desk"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
ARDIQ = {"default": {"REDIS_URL": "redis://127.0.0.1:1/0"}}
"""

TASKS = """
import os
from ardiq import task
from django.contrib.auth.models import User

@task
def sign_up(name):
    return User.objects.create(username=name).pk

@task
def pid():
    return os.getpid()
"""

FIXTURES = """
import os
import pytest
from django.contrib.auth.models import User
from ardiq.testing import assert_enqueued, run_jobs
from desk.tasks import pid, sign_up

@pytest.mark.django_db
def test_immediate(ardiq_immediate):
    assert sign_up.enqueue_sync("ines").result_sync().success
    assert User.objects.count() == 1
    ardiq_immediate.assert_enqueued(sign_up, args=["ines"])

@pytest.mark.django_db
def test_captured(ardiq_captured):
    sign_up.enqueue_sync("ines")
    assert_enqueued(sign_up, args=["ines"], count=1)
    assert User.objects.count() == 0
    assert run_jobs().succeeded == 1
    assert User.objects.count() == 1

@pytest.mark.parametrize("number", range(4))
def test_fake(ardiq_fake, number):
    job = pid.options(task_id="one").enqueue_sync()
    assert job.created
    run_jobs()
    assert job.result_sync().value == os.getpid()

def test_worker(ardiq_worker):
    assert pid.enqueue_sync().result_sync(timeout=20).value == os.getpid()
"""

CASES = """
from django.contrib.auth.models import User
from django.test import TestCase, TransactionTestCase
from ardiq.testing import capture, immediate, run_jobs
from desk.tasks import sign_up

@immediate()
class Immediate(TestCase):
    def test_it(self):
        sign_up.options(task_id="one").enqueue_sync("ines")
        self.assertEqual(User.objects.count(), 1)

class Drained(TransactionTestCase):
    @capture()
    def test_it(self):
        sign_up.options(task_id="one").enqueue_sync("ines")
        self.assertEqual(run_jobs().raise_errors().succeeded, 1)
        self.assertEqual(User.objects.count(), 1)

class Async(TestCase):
    @immediate()
    async def test_it(self):
        await sign_up.options(task_id="one").enqueue("ines")
        self.assertEqual(await User.objects.acount(), 1)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "desk").mkdir()
    files = {
        "site_settings.py": SETTINGS,
        "desk/__init__.py": "",
        "desk/tasks.py": TASKS,
        "test_fixtures.py": FIXTURES,
        "desk/tests.py": CASES,
        "pytest.ini": "[pytest]\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(project: Path, *words: str, **environ: str) -> str:
    """Run Python there. The plugin is named, because ardiq need not be installed with its entry points."""
    here = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env={**here, "PYTHONPATH": f"{ROOT}:{project}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


DJANGO = ("-p", "pytest_django.plugin", "-p", "ardiq.testing.plugin", "--ds=site_settings")


def test_fixtures(project: Path) -> None:
    """K5: each of them, in a project whose settings name a server that is not there."""
    assert "7 passed" in run(project, "-m", "pytest", "-q", *DJANGO, "test_fixtures.py")


@pytest.mark.slow
def test_in_parallel(project: Path) -> None:
    """K5: processes that run at once do not meet, although they use the same ids."""
    if find_spec("xdist") is None:
        pytest.skip("pytest-xdist is not installed")
    out = run(project, "-m", "pytest", "-q", *DJANGO, "-p", "xdist.plugin", "-n", "3", "test_fixtures.py")
    assert "7 passed" in out


def test_a_real_server_for_the_worker(project: Path) -> None:
    """K5: named in the settings of pytest."""
    from ardiq.store import embedded

    if embedded.binary() is None:
        pytest.skip("no server that embedded:// would find")
    (project / "pytest.ini").write_text("[pytest]\nardiq_worker_url = embedded://\n")
    out = run(project, "-m", "pytest", "-q", *DJANGO, "test_fixtures.py", "-k", "test_worker")
    assert "1 passed" in out


@pytest.mark.slow
def test_djangos_runner(project: Path) -> None:
    """K1, K2, K3: unittest, in one process and in several."""
    words = ("-m", "django", "test", "--settings", "site_settings")
    assert "Ran 3 tests" in run(project, *words)
    assert "Ran 3 tests" in run(project, *words, "--parallel", "3")


def test_pytest_without_django(tmp_path: Path) -> None:
    """K5: in a project that has nothing to do with it the plugin does nothing, and imports nothing."""
    (tmp_path / "test_plain.py").write_text(
        "import sys\n\ndef test_it(request):\n"
        "    assert request.config.pluginmanager.hasplugin('ardiq.testing.plugin')\n"
        "    loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "    assert not loaded & {'django', 'redis', 'asgiref', 'msgpack', 'fakeredis'}\n"
        "    ours = {name for name in sys.modules if name.partition('.')[0] == 'ardiq'}\n"
        "    assert ours == {'ardiq', 'ardiq.version', 'ardiq.testing', 'ardiq.testing.plugin'}\n"
    )
    assert "1 passed" in run(tmp_path, "-m", "pytest", "-q", "-p", "ardiq.testing.plugin")


def test_the_entry_point_names_the_plugin() -> None:
    """K5: pytest finds it by itself once ardiq is installed."""
    told = ConfigParser()
    told.read(ROOT / "setup.cfg")
    assert told["options.entry_points"]["pytest11"].split() == ["ardiq", "=", "ardiq.testing.plugin"]
    from ardiq.testing import plugin

    assert {"ardiq_immediate", "ardiq_captured", "ardiq_fake", "ardiq_worker"} <= set(vars(plugin))
