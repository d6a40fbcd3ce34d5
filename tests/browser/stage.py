"""A site in a process of its own, with a queue that has something of everything; and who looks at it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ardiq import Ardiq
from ardiq.store.scripts import Call
from tests.server import free_port, missing
from tests.workers import ROOT, Workers, until

USER, PASSWORD = "ann", "ann"
CARD = "4242424242424242"


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    missing("no browser: install chromium", "chromium")


@dataclass
class Site:
    """``ids``: what the seeds are called -> id of the job."""

    url: str
    app: Ardiq
    workers: Workers
    ids: dict[str, str]

    @property
    def pages(self) -> dict[str, str]:
        """Every page of the admin, by name."""
        queue, ids = self.app.queue_name, self.ids
        worker = next(iter(self.workers.registered()), b"").decode()
        jobs, queues = "/admin/ardiq/job/", "/admin/ardiq/queue/"
        return {
            "index": "/admin/ardiq/",
            "dashboard": "/admin/ardiq/dashboard/",
            "jobs": jobs,
            "failed jobs": f"{jobs}?state=failed",
            "search": f"{jobs}?q=market",
            "no jobs": f"{jobs}?q=nothing-like-this",
            "failed job": f"{jobs}{ids['failed']}/change/",
            "running job": f"{jobs}{ids['running']}/change/",
            "scheduled job": f"{jobs}{ids['scheduled']}/change/",
            "job with logs": f"{jobs}{ids['report']}/change/",
            "delete": f"{jobs}{ids['done']}/delete/",
            "retry": f"{jobs}{ids['failed']}/retry/",
            "history": f"{jobs}{ids['done']}/history/",
            "queues": queues,
            "queue": f"{queues}{queue}/change/",
            "pause": f"{queues}_do/pause/?id={queue}",
            "purge": f"{queues}_do/purge/?id={queue}",
            "workers": "/admin/ardiq/worker/",
            "worker": f"/admin/ardiq/worker/{worker}/change/",
            "stop": f"/admin/ardiq/worker/_do/stop/?id={worker}",
            "schedules": "/admin/ardiq/schedule/",
            "schedule": f"/admin/ardiq/schedule/{queue}:market.sweep/change/",
            "bulk": f"{jobs}_bulk/",
            "enqueue": f"{jobs}add/",
            "outbox": "/admin/ardiq/outbox/",
        }


@contextmanager
def site(redis_url: str, directory: Path, theme: str = "") -> Iterator[Site]:
    """A site with its worker, and jobs of every kind made through the public door. The server is its own."""
    queue = "default"
    workers = Workers(redis_url, queue, directory)
    more = {"ardiq_test_apps": "tests.market", "ardiq_test_theme": theme,
            "django_settings_module": "tests.browser.site"}  # fmt: skip
    environment = workers.environment(**more)
    environment |= {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    _manage(environment, "migrate", "--verbosity", "0")
    _manage(environment, "createsuperuser", "--noinput", "--username", USER, "--email", "ann@example.com")
    port = free_port()
    with (directory / "site.log").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "tests/manage.py", "runserver", "--noreload", "--insecure", f"127.0.0.1:{port}"],
            env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(f"{url}/admin/login/"), 60, "a site that answers")
        app = Ardiq(queue, priorities=["low", "default", "high"], redis_url=redis_url)
        workers.start(**more)
        yield Site(url, app, workers, _seed(app))
    finally:
        server.kill()
        server.wait()
        workers.close()


def _manage(environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "tests/manage.py", *arguments],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - of our own
            return bool(response.status == 200)
    except OSError:
        return False


def _seed(app: Ardiq) -> dict[str, str]:
    """Jobs in every state."""

    def send(name: str, *args: Any, **options: Any) -> Any:
        return app.ref(name).options(**options).enqueue_sync(*args)

    made = {
        "done": send("market.add", 2, 3),
        "failed": send("market.charge", 7, CARD, 9.5),
        "report": send("market.report", 3),
        "expired": send("market.add", 1, expire_ms=1, delay_ms=50),
        "scheduled": send("market.notify", "ann@example.com", delay_ms=3_600_000, priority="high"),
    }
    for number in range(30):
        send("market.notify", f"user{number}@example.com")
    made["aborted"] = send("market.add", 9, delay_ms=60_000)
    made["aborted"].abort_sync()
    until(
        lambda: all(made[name].status_sync().finished for name in ("done", "failed", "report", "expired")), 30
    )
    made["running"] = send("market.hold")
    until(lambda: made["running"].status_sync() == "running", 30)
    # Figures of the dashboard come about once a second.
    until(lambda: app.statistics_sync(minutes=60).total.failed, 15, "figures")
    _occurrences(app, made["done"].id)
    return {name: job.id for name, job in made.items()}


def _occurrences(app: Ardiq, job: str) -> None:
    """Runs of a recurring task, as workers have noted them: by its timetable they would take a day."""
    own, hour = app.broker, 3_600_000
    now = app.statistics_sync(minutes=1).now
    ends = [
        "failed" if back in (3, 9, 10) else "aborted" if back == 6 else "succeeded"
        for back in range(20, 0, -1)
    ]
    lines = [
        f"{now - back * hour} {job if back == 1 else f'{back:032x}'} {end} {now - back * hour + 1_234}\n"
        for back, end in zip(range(20, 0, -1), ends, strict=True)
    ]
    fields = {
        "runs": "".join(lines),
        "last": job,
        "fired": str(now - hour),
        "ended": f"succeeded {now} {job}",
    }
    parts = [part for name, text in fields.items() for part in (f"{name}:market.sweep", text)]
    own.store.run(Call(("HSET", own.keys.cron, *parts), int))
