"""``manage.py ardiq_schedules``: recurring tasks listed, paused, resumed and run by command (G6)."""

from __future__ import annotations

import itertools
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ardiq import Ardiq
from tests.server import admin
from tests.workers import Workers, Working, until


def said(app: Ardiq, verb: str, *arguments: str) -> str:
    out = StringIO()
    call_command("ardiq_schedules", verb, *arguments, "--queue", app.queue_name, stdout=out)
    return out.getvalue()


def listed(app: Ardiq, *names: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(said(app, "list", *names, "--json"))["queues"][app.queue_name]
    return told


@pytest.fixture
def crons(app: Ardiq) -> Ardiq:
    @app.cron("30 2 * * MON-FRI", tz="Europe/Paris", misfire="skip", name="nightly")
    async def nightly() -> None: ...

    @app.cron(every=3600, overlap="queue", name="beat")
    async def beat() -> None: ...

    return app


def test_what_is_listed(crons: Ardiq) -> None:
    """G6: the expression, its zone, the next five runs in that zone, the policies; the same as data."""
    text = said(crons, "list")
    assert "timetable  30 2 * * MON-FRI in Europe/Paris; misfire skip, overlap skip" in text
    assert "timetable  every 3600s; misfire latest, overlap queue" in text
    assert text.count(" 02:30:00 CE") == 5 and text.count(":00:00 UTC  in ") == 5
    assert text.count("last run   -") == 2
    beat, nightly = listed(crons)
    assert (beat["task"], beat["zone"], beat["overlap"]) == ("beat", None, "queue")
    assert (nightly["task"], nightly["zone"], nightly["misfire"]) == ("nightly", "Europe/Paris", "skip")
    assert len(nightly["next"]) == 5 and nightly["next"][0] == nightly["next_at"]
    assert {later - earlier for earlier, later in itertools.pairwise(beat["next"])} == {3_600_000}
    assert [one["task"] for one in listed(crons, "nightly")] == ["nightly"]


def test_paused_and_resumed(crons: Ardiq) -> None:
    """G6: pause and resume, told apart from what was so already; nothing is due while it is paused."""
    assert said(crons, "pause", "nightly", "beat") == "nightly: paused\nbeat: paused\n"
    assert said(crons, "pause", "beat") == "beat: was paused already\n"
    assert [(one["paused"], one["next_at"], one["next"]) for one in listed(crons)] == [(True, None, [])] * 2
    text = said(crons, "list")
    assert "nightly (paused)" in text and text.count("none while it is paused") == 2
    assert said(crons, "resume", "nightly").startswith("nightly: resumed; next run 20")
    assert said(crons, "resume", "nightly").startswith("nightly: was not paused; next run 20")
    [told] = json.loads(said(crons, "resume", "beat", "--json"))["tasks"]
    assert told["changed"] is True and told["next_at"] == listed(crons, "beat")[0]["next_at"]
    assert [one.paused for one in crons.schedules_sync()] == [False, False]


def test_run_now_by_a_worker_process(app: Ardiq, workers: Workers) -> None:
    """G6: run now by command, paused or not; last run and outcome are seen when a worker has done it."""
    app.cron(every=3600, name="nap")(lambda seconds=0: None)  # the worker has a task of that name
    said(app, "pause", "nap")
    [told] = json.loads(said(app, "run", "nap", "--json"))["tasks"]
    job = app.job(told["job"])
    assert told["changed"] is True and job.status_sync() == "queued"
    assert workers.spawn("--burst").ends(30) == 0
    assert job.status_sync().finished
    again = said(app, "run", "nap")
    assert again.startswith("nap: enqueued as ") and again.split()[-1] != job.id
    app.abort_sync(again.split()[-1])


def test_last_run_and_outcome(app: Ardiq, redis_url: str) -> None:
    """G6: when it last fired, the job of that, and how it ended."""

    @app.cron(every=3_600, name="beat", max_retries=0)
    async def beat() -> None:
        raise ValueError("no")

    with admin(redis_url) as client:
        client.hset(
            app.broker.keys.cron, "mark:beat", 1
        )  # the last occurrence was missed, and is made up for
    with Working(app):
        until(lambda: listed(app)[0]["last_status"] == "failed")
    [one] = listed(app)
    assert one["last_at"] % 1000 == 0 and one["last_ended_at"] > 0
    text = said(app, "list")
    assert f"its job    {one['last_job']}" in text and " ago  failed\n" in text
    app.job(one["last_job"]).replay_sync()
    with admin(redis_url) as client:
        client.hset(app.broker.keys.cron, "last:beat", "another")
    assert " ago  not ended yet\n" in said(app, "list") and listed(app)[0]["last_status"] is None


def test_mistakes(crons: Ardiq) -> None:
    """G6: an unknown name, with the one that was meant; a name that several queues have."""
    with pytest.raises(CommandError, match=r"No recurring task is named 'nigthly'\. Did you mean nightly\?"):
        said(crons, "pause", "beat", "nigthly")
    assert not listed(crons, "beat")[0]["paused"], "nothing is done when one of the names is wrong"
    other = Ardiq(f"{crons.queue_name}-2", redis_url=crons.options.redis_url)
    with pytest.raises(CommandError, match=r"No recurring task is named 'beat'\. There are none\."):
        said(other, "run", "beat")
    other.cron(every=60, name="beat")(lambda: None)
    with pytest.raises(CommandError, match="beat is in several queues: name one with --queue"):
        call_command(
            "ardiq_schedules", "run", "beat", "--queue", crons.queue_name, "--queue", other.queue_name
        )
    assert said(other, "list", "beat").startswith(other.queue_name)


def test_an_object_of_a_queue_beside_another(crons: Ardiq) -> None:
    """G6: a task that two objects of one queue know is one recurring task."""
    second = Ardiq(crons.queue_name, crons.options.priorities, crons.options.redis_url)
    # As after a reload of its module: the same function once more.
    second.cron(every=3600, overlap="queue", name="beat")(crons.tasks["beat"].definition.fn)
    assert [one["task"] for one in listed(crons)] == ["beat", "nightly"]
    assert said(crons, "pause", "beat") == "beat: paused\n"
    said(crons, "resume", "beat")


def test_none(app: Ardiq) -> None:
    assert said(app, "list") == "There are no recurring tasks.\n"
    assert json.loads(said(app, "list", "--json")) == {"queues": {}}
