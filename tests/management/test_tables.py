"""Django's own commands over models that have no table: ours do not break them, and none asks Redis
(ADMIN 6.11)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ardiq import Ardiq
from tests.server import admin, own_server
from tests.workers import ROOT, Workers

# As manage.py runs them, with all their checks, but in one process: each start of Django costs a second.
COMMANDS = """
import json, sys
from django.core.management import execute_from_command_line

def manage(*words):
    execute_from_command_line(["manage.py", *words])

manage("migrate", "--verbosity", "0")
manage("makemigrations", "--check", "--dry-run")
manage("migrate", "--check")
for name in ("0001", "0002", "0003"):
    manage("sqlmigrate", "ardiq", name)
manage("sqlflush")

from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType

def ours():
    types = ContentType.objects.filter(app_label="ardiq")
    rights = Permission.objects.filter(content_type__app_label="ardiq")
    return sorted(one.model for one in types), sorted(one.codename for one in rights)

before = ours()
User.objects.create_superuser("ann", "ann@example.com", "ann")
manage("dumpdata", "--output", sys.argv[1])
# As Django says how to, for content types are made anew.
without = "--natural-primary", "--natural-foreign", "-e", "contenttypes", "-e", "auth.permission"
manage("dumpdata", *without, "--output", sys.argv[2])
manage("flush", "--no-input", "--verbosity", "0")
assert not User.objects.exists() and ours() == before, ours()
ghost = ContentType.objects.create(app_label="ardiq", model="ghost")
manage("remove_stale_contenttypes", "--no-input", "--include-stale-apps")
assert ours() == before, ours()
manage("loaddata", sys.argv[2], "--verbosity", "0")
assert User.objects.get().username == "ann" and ours() == before, ours()
print(json.dumps(before))
"""
PAGES = """
import sys
import django
django.setup()
from django.contrib.auth.models import User
from django.test import Client

client = Client()
client.force_login(User.objects.get())
for address in sys.argv[1:]:
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
print(response.content.decode())
"""


def test_commands_for_tables(tmp_path: Path) -> None:
    """Migrations, dumps, flush and the removal of stale content types leave content types, permissions and
    jobs as they were; the dump knows no job; and the pages work afterwards."""
    with own_server(tmp_path) as url, admin(url) as client:
        environment = Workers(url, "default", tmp_path).environment(ardiq_test_apps="tests.market")
        job = Ardiq("default", redis_url=url).ref("market.add").enqueue_sync(2, 3)

        def stored() -> dict[bytes, bytes]:
            return {key: client.dump(key) for key in client.scan_iter(count=1000)}

        def python(code: str, *arguments: str) -> str:
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments],
                env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        before, callers = stored(), client.info("stats")["total_connections_received"]
        dump = tmp_path / "dump.json"
        types, rights = json.loads(python(COMMANDS, str(dump), str(tmp_path / "kept.json")).splitlines()[-1])
        assert stored() == before and client.info("stats")["total_connections_received"] == callers
        assert {"dashboard", "job", "queue", "schedule", "worker", "outbox"} <= set(types)
        assert {"view_job_payload", "purge_queue", "run_schedule", "control_worker"} <= set(rights)
        dumped = {one["model"] for one in json.loads(dump.read_text())}
        assert "auth.user" in dumped and not {one for one in dumped if one.startswith("ardiq.")}
        names = ("dashboard/", "job/", "queue/", "worker/", "schedule/", "outbox/", f"job/{job.id}/change/")
        assert job.id in python(PAGES, *(f"/admin/ardiq/{name}" for name in names))
