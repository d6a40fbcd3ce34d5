"""A site in a process of its own, with a queue that has something of everything; and who looks at it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import apps

from ardiq import Ardiq
from ardiq.connection import new_id
from ardiq.store import bulks, recurring
from ardiq.store.scripts import Call
from tests.server import free_port, missing
from tests.workers import ROOT, Workers, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

USER, PASSWORD = "ann", "ann"
CARD = "4242424242424242"
LANES = {"PRIORITIES": ["low", "default", "high"]}
SUBJECT = 1  # the object that has jobs: a row that every migrated database has


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    missing("no browser: install chromium", "chromium")


@dataclass
class Site:
    """``ids``: what the seeds are called -> id of the job. Addresses may begin with the name of another site
    of the same users, as in 'away:/admin/'."""

    url: str
    app: Ardiq
    workers: Workers
    ids: dict[str, str]
    environment: dict[str, str]
    others: dict[str, tuple[subprocess.Popen[bytes], str]] = field(default_factory=dict)
    sites: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The setting ARDIQ of further sites that a test wants, by the name in their addresses."""

    def full(self, address: str) -> str:
        """With the site, which is started when it is one of the others."""
        if address.startswith("/"):
            return self.url + address
        name, _, path = address.partition(":")
        return self._other(name) + path

    def _other(self, name: str) -> str:
        if name not in self.others:
            queues = {
                "away": {"default": {"REDIS_URL": "redis://user:sesame@127.0.0.1:1/0", **LANES}},
                "empty": {"nothing": {"REDIS_URL": self.workers.url, **LANES}},
                **self.sites,
            }
            (queue,) = queues[name]
            more = {"ARDIQ_TEST_SETTINGS": json.dumps(queues[name]), "ARDIQ_TEST_QUEUE": queue}
            environment = self.environment | more
            self.others[name] = _serve(environment, self.workers.directory / f"{name}.log")
        return self.others[name][1]

    def ask_in_bulk(self, page: Page) -> None:
        """Go to the page that asks about an action on all jobs of a filter: the answer to a POST."""
        page.goto(f"{self.url}/admin/ardiq/job/?state=succeeded")
        page.check("#action-toggle")
        page.click(".actions .question a")
        page.select_option("select[name=action]", "retry_selected")
        page.click(".actions button[name=index]")
        page.wait_for_selector("#ardiq-rate")

    @property
    def pages(self) -> dict[str, str]:
        """Every page of the admin, by name."""
        queue, ids = self.app.queue_name, self.ids
        worker = next(iter(self.workers.registered()), b"").decode()
        jobs, queues = "/admin/ardiq/job/", "/admin/ardiq/queue/"
        of_worker, of_schedule = "/admin/ardiq/worker/_do/", "/admin/ardiq/schedule/_do/"
        timetable = f"{queue}:market.sweep"
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
            "again": f"{jobs}{ids['done']}/again/",
            "run": f"{jobs}{ids['scheduled']}/run/",
            "abort": f"{jobs}{ids['running']}/abort/",
            "history": f"{jobs}{ids['done']}/history/",
            "queues": queues,
            "queue": f"{queues}{queue}/change/",
            "pause": f"{queues}_do/pause/?id={queue}",
            "resume": f"{queues}_do/resume/?id={queue}",
            "move": f"{queues}_do/move/?id={queue}",
            "elsewhere": f"{queues}_do/elsewhere/?id={queue}",
            "purge": f"{queues}_do/purge/?id={queue}",
            "workers": "/admin/ardiq/worker/",
            "worker": f"/admin/ardiq/worker/{worker}/change/",
            "stop": f"{of_worker}stop/?id={worker}",
            "quiet": f"{of_worker}quiet/?id={worker}",
            "schedules": "/admin/ardiq/schedule/",
            "schedule": f"/admin/ardiq/schedule/{timetable}/change/",
            "run schedule": f"{of_schedule}run/?id={timetable}",
            "disable": f"{of_schedule}disable/?id={timetable}",
            "enable": f"{of_schedule}enable/?id={queue}:market.digest",
            "bulk": f"{jobs}_bulk/",
            "enqueue": f"{jobs}add/",
            "enqueue form": f"{jobs}add/?task={queue}/market.letter",
            "duplicate": f"{jobs}add/?from={ids['letter']}&queue={queue}",
            "outbox": "/admin/ardiq/outbox/",
            "jobs of an object": f"/admin/contenttypes/contenttype/{SUBJECT}/change/",
            "empty dashboard": "empty:/admin/ardiq/dashboard/",
            "empty jobs": "empty:/admin/ardiq/job/",
            "unavailable": "away:/admin/ardiq/dashboard/",
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
    # Jobs can be moved to it; no worker serves it.
    settings = json.loads(environment["ARDIQ_TEST_SETTINGS"]) | {"spare": {"REDIS_URL": redis_url}}
    environment["ARDIQ_TEST_SETTINGS"] = json.dumps(settings)
    _manage(environment, "migrate", "--verbosity", "0")
    _manage(environment, "createsuperuser", "--noinput", "--username", USER, "--email", "ann@example.com")
    app = Ardiq(queue, priorities=["low", "default", "high"], redis_url=redis_url)
    found = Site("", app, workers, {}, environment)
    try:
        workers.start(**more)
        found.others[""] = _serve(environment, directory / "site.log")
        found.url, found.ids = found.others[""][1], _seed(app)
        yield found
    finally:
        for server, _url in found.others.values():
            server.kill()
            server.wait()
        workers.close()


def _serve(environment: dict[str, str], log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A site that answers, and its URL."""
    port = free_port()
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "tests/manage.py", "runserver", "--noreload", "--insecure", f"127.0.0.1:{port}"],
            env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(f"{url}/admin/login/"), 60, "a site that answers")
    except BaseException:
        server.kill()
        raise
    return server, url


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

    def send(name: str, *args: Any, copies: int = 0, **options: Any) -> Any:
        return app.ref(name).options(**options).enqueue_sync(*args, **({"copies": copies} if copies else {}))

    made = {
        "done": send("market.add", 2, 3),
        "failed": send("market.charge", 7, CARD, 9.5),
        "report": send("market.report", 3),
        "letter": send("market.letter", "ann@example.com", copies=2),
        "expired": send("market.add", 1, expire_ms=1, delay_ms=50),
        "scheduled": send("market.notify", "ann@example.com", delay_ms=3_600_000, priority="high"),
    }
    for number in range(60):
        send("market.notify", f"user{number}@example.com")
    # As if it was read: this process has no database.
    # Not imported above: scripts/screenshots sets Django up when it has imported this.
    thing = apps.get_model("contenttypes.ContentType").from_db(
        "default", ["id", "app_label", "model"], [SUBJECT, "admin", "logentry"]
    )
    for number in range(2):
        send("market.notify", f"kind{number}@example.com", subject=thing)
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
    _operations(app)
    # Something that waits, in a lane that hands out nothing, and a recurring task that is switched off.
    app.pause_queue_sync("the printer is out of paper", lane="low", by=USER)
    send("market.notify", "printer@example.com", priority="low")
    app.broker.store.run(recurring.pause(app.broker.keys, "market.digest"))
    return {name: job.id for name, job in made.items()}


def _operations(app: Ardiq) -> None:
    """Bulk operations, as they and their workers have noted them: one stands still while it is looked at."""
    for state, looked, done in ((bulks.DONE, 48_210, 48_207), (bulks.RUNNING, 1_200, 1_180)):
        fields = {
            "action": "retry", "by": USER, "state": state, "total": 48_210, "looked": looked, "done": done,
            "per_second": 50, "statuses": "failed",
        }  # fmt: skip
        app.broker.store.run(bulks.begin(app.broker.keys, new_id(), fields))


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
