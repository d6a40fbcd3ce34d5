"""What docs/how-to/deploy.md says about the server is tried on one: the ACL user, and a full memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.docs.pages import ROOT
from tests.docs.play import stage
from tests.server import own_server
from tests.topologies import acl_lines

pytestmark = pytest.mark.slow

ENQUEUE = """
from shop.tasks import add
jobs = [add.enqueue_sync(number, 1) for number in range(20)]
print([job.status_sync() for job in jobs].count("queued"), "queued")
"""
REFUSED = """
from shop.tasks import add
try:
    add.enqueue_sync(1, 1)
except Exception as error:
    print(type(error).__name__, error)
"""
TASKS = "from ardiq import task\n\n@task\ndef add(a, b):\n    return a + b\n"


@pytest.fixture
def server(directory: Path) -> Iterator[str]:
    with own_server(directory) as url:
        yield url


def manage(project: Path, url: str, *arguments: str) -> str:
    """Output of a command in the project, with its queue on the server at the url."""
    settings = project / "mysite" / "settings.py"
    if "# the server" not in (text := settings.read_text()):
        settings.write_text(text + '\nARDIQ = {"default": {}}  # the server comes from the environment\n')
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=project,
        env=os.environ
        | {"ARDIQ_REDIS_URL": url, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "mysite.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_acl_user_is_enough(server: str, directory: Path, project: Path) -> None:
    with redis.Redis.from_url(server) as admin:
        admin.execute_command(*acl_lines()["ardiq"].split())
    limited = server.replace("redis://", "redis://ardiq:a-long-password@")
    with stage(directory, project) as play:
        (play.directory / "shop" / "tasks.py").write_text(TASKS)
        assert "20 queued" in manage(play.directory, limited, "shell", "-c", ENQUEUE)
        said = manage(play.directory, limited, "ardiq_worker", "--burst", "-v", "2")
        assert said.count("succeeded") == 20, said
        assert "a-long-password" not in said
    with redis.Redis.from_url(limited) as user, pytest.raises(redis.ResponseError, match="permission"):
        user.get("somebody-elses-key")


def test_workers_drain_a_server_whose_memory_is_full(server: str, directory: Path, project: Path) -> None:
    with stage(directory, project) as play, redis.Redis.from_url(server) as admin:
        (play.directory / "shop" / "tasks.py").write_text(TASKS)
        assert "20 queued" in manage(play.directory, server, "shell", "-c", ENQUEUE)
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("maxmemory", 1)
        refused = manage(play.directory, server, "shell", "-c", REFUSED)
        assert "QueueFull" in refused
        said = manage(play.directory, server, "ardiq_worker", "--burst", "-v", "2")
        assert said.count("succeeded") == 20, said
