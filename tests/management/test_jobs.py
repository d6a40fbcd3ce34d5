"""``manage.py ardiq_jobs``: what it prints, what it does, and that it asks before it destroys anything."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from ardiq import Ardiq, Job, JobStatus, current_job, deadletters
from ardiq.management import asking
from ardiq.store.scripts import Call
from tests.keyspace import orderly
from tests.workers import ROOT, Workers, Working, until

__all__ = ["orderly"]

FORGED = "declined\n\x1b[2Jroot: all is well\u202e"
Said = Callable[..., tuple[int, str]]


@pytest.fixture
def app(queue_name: str, redis_url: str) -> Ardiq:
    app = Ardiq(queue_name, ["low", "default", "high"], redis_url, max_retries=0)

    @app.task(name="shop.charge", keep_logs=True)
    def charge(number: int, password: str = "") -> None:
        current_job().progress(number, 10, f"asking\x1b[31m {password}")  # type: ignore[union-attr]
        logging.getLogger("shop").warning("with %s\nforged", password)
        raise ValueError(f"{password} {FORGED}")

    @app.task(name="shop.refund", sensitive=("card",))
    async def refund(card: str) -> None:
        raise LookupError(f"no payment of {card}")

    @app.task(name="shop.add")
    async def add(a: int, b: int) -> dict[str, Any]:
        return {"sum": a + b, "token": "of-the-result"}

    return app


@pytest.fixture
def said(app: Ardiq, queue_name: str) -> Said:
    """Exit code and output of the command, on the queue of the test."""

    def run(verb: str, *arguments: str) -> tuple[int, str]:
        out, code = StringIO(), 0
        try:
            call_command("ardiq_jobs", verb, "--queue", queue_name, *arguments, stdout=out)
        except SystemExit as end:
            code = int(end.code or 0)
        return code, out.getvalue()

    return run


@pytest.fixture
def failed(app: Ardiq) -> list[Job[Any]]:
    """Two charges and a refund."""
    charge, refund = app.tasks["shop.charge"], app.tasks["shop.refund"]
    jobs = [charge.enqueue_sync(n, password="hunter2") for n in (1, 2)] + [refund.enqueue_sync("4111-22")]
    app.run(burst=True)
    return jobs


def letters(app: Ardiq) -> set[str]:
    return {letter.id for letter in app.dead_letters_sync()}


# -- looking --------------------------------------------------------------------------------------


def test_a_list(app: Ardiq, failed: list[Job[Any]], said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """I: one line for each job, what it failed of in another, within 80 columns, in plain text; exit 0."""
    monkeypatch.setenv("COLUMNS", "80")
    long = (
        app.ref("shop." + "very_" * 20 + "long").options(task_id="id-" * 20, delay_ms=60_000).enqueue_sync()
    )
    code, text = said("list")
    lines = text.splitlines()
    assert code == 0 and all(job.id in text for job in [*failed, long])
    assert max(map(len, lines)) <= 80
    assert sum(one.startswith(failed[0].id) and " failed " in one for one in lines) == 1
    assert [one for one in lines if one.startswith("  ValueError: ")]
    assert [one for one in lines if one.endswith("very_very_long") and " in 1 min" in one]
    assert "\x1b" not in text and "\nroot" not in text and "\u202e" not in text and "hunter2" not in text
    assert r"******** declined\n\x1b[2Jroot" in text and "4111-22" not in text


@pytest.mark.parametrize("columns", ["", "wide"])
def test_a_list_into_a_pipe(app: Ardiq, said: Said, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """Whoever reads a pipe wants whole names."""
    monkeypatch.setenv("COLUMNS", columns)
    name = "shop." + "very_" * 20 + "long"
    app.ref(name).options(delay_ms=60_000).enqueue_sync()
    code, text = said("list")
    assert code == 0 and f" {name}\n" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--status", "failed"], "abc"),
        (["--status", "failed", "--status", "queued"], "abcq"),
        (["--task", "shop.charge"], "ab"),
        (["--lane", "high"], "q"),
        (["--search", "REFUND"], "c"),
        (["--status", "failed", "--search", "no payment"], "c"),
        (["--status", "failed", "--search", "lookuperror"], "c"),
        (["--status", "scheduled"], "d"),
        (["--status", "running"], ""),
        (["--group", "GROUP"], "ab"),
        (["--group", "GROUP", "--search", "charge", "--task", "shop.charge"], "ab"),
        (["--group", "none"], ""),
    ],
)
def test_filters(app: Ardiq, failed: list[Job[Any]], said: Said, arguments: list[str], expected: str) -> None:
    """I: by state, task, lane, group, or text; exit 1 when nothing is found."""
    jobs = dict(zip("abc", failed, strict=True))
    jobs["q"] = app.ref("shop.add").options(priority="high").enqueue_sync(1, 2)
    jobs["d"] = app.ref("shop.add").options(delay_ms=60_000).enqueue_sync(1, 2)
    group = next(one.fingerprint for one in app.failure_groups_sync() if one.type == "ValueError")
    given = [group if one == "GROUP" else one for one in arguments]
    code, text = said("list", *given)
    assert {name for name, job in jobs.items() if job.id in text} == set(expected)
    assert code == (0 if expected else 1) and (expected or "No such jobs." in text)
    told = json.loads(said("list", "--json", *given)[1])
    assert {job["id"] for job in told["jobs"]} == {jobs[name].id for name in expected} and told["complete"]


def test_a_list_says_where_it_stopped(
    app: Ardiq, failed: list[Job[Any]], said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I: whoever sees a part is told that it is one; also when the search gave up."""
    code, text = said("list", "--limit", "2")
    assert code == 0 and text.splitlines()[-1].startswith("2 shown, ") and "there may be more" in text
    assert not json.loads(said("list", "--limit", "2", "--json")[1])["complete"]
    monkeypatch.setattr(deadletters, "SEARCHED", 1)
    monkeypatch.setattr(deadletters, "READ", 1)
    code, text = said("list", "--status", "failed", "--search", "nowhere")
    assert (code, text) == (1, "None among the 1 that were looked at.\n")


def test_groups(app: Ardiq, failed: list[Job[Any]], said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """I, F1: what the dead letters failed of, with secrets masked in the message."""
    monkeypatch.setenv("COLUMNS", "80")
    code, text = said("list", "--groups")
    assert code == 0 and max(map(len, text.splitlines())) <= 80
    assert re.search(r"^[0-9a-f]{12}  2  ValueError at .*test_jobs.py:charge$", text, re.M)
    assert "hunter2" not in text and "4111-22" not in text and "\x1b" not in text
    assert r"  ******** declined\n" in text and "  shop.refund" in text
    told = json.loads(said("list", "--groups", "--json")[1])["groups"]
    assert {(one["type"], one["count"], tuple(one["tasks"])) for one in told} == {
        ("ValueError", 2, ("shop.charge",)), ("LookupError", 1, ("shop.refund",)),
    }  # fmt: skip
    app.delete_many_sync(everything=True)
    assert said("list", "--groups") == (1, "No failures are grouped.\n")


def test_one_job(app: Ardiq, failed: list[Job[Any]], said: Said) -> None:
    """I, S9: call, error with its traceback, progress, log; secrets masked, nothing steers a terminal."""
    code, text = said("show", failed[1].id)
    assert code == 0
    for wanted in (
        "shop.charge\n", f"  id        {failed[1].id}\n", "  status    failed\n", "  attempts  1\n",
        "  number    2\n", "  password  ********\n", "  ValueError: ******** declined", "in charge\n",
        r"2 of 10, 20 %: asking\x1b[31m ********", r"WARNING shop: with ********\nforged",
    ):  # fmt: skip
        assert wanted in text, text
    assert "hunter2" not in text and not re.search(r"^root", text, re.M)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    told = json.loads(said("show", "--json", failed[1].id)[1])
    assert (told["task"], told["error"], told["status"]) == ("shop.charge", "ValueError", "failed")
    assert told["arguments"] == [["number", 2], ["password", "********"]] and "in charge" in told["traceback"]
    assert told["group"] in {one.fingerprint for one in app.failure_groups_sync()}
    assert "hunter2" not in json.dumps(told) and len(told["logs"]) == 1 == len(told["runs"])


def test_other_jobs_are_shown(app: Ardiq, said: Said) -> None:
    """I: one that succeeded has a result, one that waits a time; unknown ones end with exit 1."""
    done = app.tasks["shop.add"].enqueue_sync(2, 3)
    app.run(burst=True)
    assert "of-the-result" not in said("show", "--json", done.id)[1]
    text = said("show", done.id)[1]
    assert '"sum": 5' in text and "of-the-result" not in text and "***" in text
    later = app.ref("shop.add").options(delay_ms=60_000, headers={"request": "7"}).enqueue_sync(1, 2)
    text = said("show", later.id)[1]
    assert "  to run at  20" in text and "  request  7" in text
    assert said("show", "nobody") == (1, "There is no job nobody.\n")
    app.broker.store.run(Call(("SET", app.broker.keys.job("broken"), "Zz"), str))
    code, text = said("show", "broken")
    assert (
        code == 0
        and "cannot be read" in text
        and "unreadable" in said("list", "--status", "failed")[1] + text
    )
    app.broker.store.run(Call(("DEL", app.broker.keys.job("broken")), int))


# -- acting ---------------------------------------------------------------------------------------


def test_retrying_one(app: Ardiq, failed: list[Job[Any]], said: Said) -> None:
    """I, F1: one job is run again without a question; what has not ended is refused, with why."""
    assert said("retry", failed[0].id) == (0, "1 queued again.\n")
    assert failed[0].status_sync() is JobStatus.QUEUED
    code, text = said("retry", failed[0].id, "nobody", "--yes")
    assert code == 1
    assert text == f"nobody: there is no such job\n{failed[0].id}: is queued\n0 queued again, 2 not.\n"
    app.run(burst=True)
    done = app.tasks["shop.add"].enqueue_sync(2, 3)
    app.run(burst=True)
    assert said("retry", done.id)[0] == 1, "it has done its work"


def test_retrying_many(app: Ardiq, failed: list[Job[Any]], said: Said) -> None:
    """I, F1: all of a task, of a group, all; spread over time."""
    assert said("retry", "--task", "shop.refund", "--yes") == (0, "1 queued again.\n")
    group = app.failure_groups_sync()[0].fingerprint
    code, text = said("retry", "--group", group, "--limit", "1", "--yes")
    assert (code, text) == (0, "1 queued again.\n") and len(letters(app)) == 1
    app.run(burst=True)
    assert said("retry", "--all", "--per-second", "0.5", "--yes") == (0, "3 queued again.\n")
    due = sorted(job.info_sync().scheduled_at or 0 for job in failed)  # type: ignore[union-attr]
    assert due[0] == 0 and due[2] - due[1] == 2_000
    assert said("retry", "--all", "--yes") == (1, "There are no such dead letters.\n")


def test_aborting(app: Ardiq, failed: list[Job[Any]], said: Said) -> None:
    """I, E5: what waits ends; what has ended is refused."""
    waiting = app.ref("shop.add").enqueue_sync(1, 2)
    code, text = said("abort", waiting.id, failed[0].id, "--noinput")
    assert code == 1 and "1 aborted, 1 not." in text and f"{failed[0].id}: is failed" in text
    assert waiting.status_sync() is JobStatus.ABORTED


def test_aborting_one_that_runs(app: Ardiq, working: Callable[..., Working], said: Said) -> None:
    """I, E5: it has not ended when the command says what it did, and is not said to have."""

    @app.task(name="shop.long")
    async def long() -> None:
        await asyncio.sleep(60)

    with working():
        running, waiting = (
            long.enqueue_sync(),
            app.ref("shop.add").options(delay_ms=60_000).enqueue_sync(1, 2),
        )
        until(lambda: running.status_sync() is JobStatus.RUNNING)
        code, text = said("abort", running.id, waiting.id, "--noinput")
        assert code == 0 and "1 aborted, 1 told to stop." in text
        assert running.result_sync(timeout=10).aborted  # type: ignore[union-attr]
        second = long.enqueue_sync()
        until(lambda: second.status_sync() is JobStatus.RUNNING)
        assert said("abort", second.id, "--noinput") == (0, "1 told to stop.\n")


def test_deleting(app: Ardiq, failed: list[Job[Any]], said: Said) -> None:
    """I, F1: any job that does not run by its id; dead letters by task, group or all of them."""
    waiting = app.ref("shop.add").enqueue_sync(1, 2)
    assert said("delete", waiting.id, failed[0].id, "--yes") == (0, "2 deleted.\n")
    assert said("delete", "--task", "shop.refund", "--yes") == (0, "1 deleted.\n")
    assert letters(app) == {failed[1].id}
    assert said("delete", "--all", "--yes") == (0, "1 deleted.\n")
    assert app.failure_groups_sync() == []


@pytest.mark.parametrize(
    ("place", "status"),
    [
        (["--lane", "high"], "high"),
        (["--scheduled"], "scheduled"),
        (["--status", "scheduled"], "scheduled"),
        (["--status", "failed"], "failed"),
        (["--status", "queued"], "queued"),
    ],
)
def test_a_purge(
    app: Ardiq, failed: list[Job[Any]], said: Said, place: list[str], status: str, monkeypatch: Any
) -> None:
    """I: deletes all of a lane, of what is scheduled, or of a state, nothing else; tells how far it is."""
    monkeypatch.setattr(asking, "EVERY", 0)
    add = app.tasks["shop.add"]
    jobs = {"failed": failed, "scheduled": [add.options(delay_ms=60_000).enqueue_sync(1, 2)]}
    jobs["high"] = app.enqueue_many_sync(add.options(priority="high").prepare(n, n) for n in range(600))
    jobs["low"] = [add.options(priority="low").enqueue_sync(1, 2)]
    gone = jobs["high"] + jobs["low"] if status == "queued" else jobs[status]
    code, text = said("purge", *place, "--yes")
    assert code == 0 and text.endswith(f"{len(gone):,} deleted.\n")
    if status == "high":
        assert text.startswith("  200 so far, 400 left to look at\n")
    for these in jobs.values():
        for job in (these[0], these[-1]):
            assert (job.status_sync() is JobStatus.NOT_FOUND) == (job in gone)
    assert said("purge", *place, "--yes") == (1, "There is nothing to delete.\n")


# -- asking ---------------------------------------------------------------------------------------

DESTRUCTIVE = [
    ["delete", "ID"], ["delete", "--all"], ["abort", "ID"], ["purge", "--status", "failed"],
    ["retry", "--all"], ["retry", "ID", "ID2"], ["retry", "--task", "shop.charge", "--per-second", "2"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", DESTRUCTIVE, ids=" ".join)
def test_without_a_terminal_it_refuses(
    app: Ardiq, failed: list[Job[Any]], said: Said, arguments: list[str]
) -> None:
    """I: nobody can be asked, so nothing is done unless --yes is said."""
    ids = {"ID": failed[0].id, "ID2": failed[1].id}
    with pytest.raises(CommandError, match=r"There is no terminal to ask at; say --yes\.$"):
        said(*(ids.get(one, one) for one in arguments))
    assert letters(app) == {job.id for job in failed}


class Keyboard(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["\n", "n\n", "maybe\n", "", "yes!\n"])
def test_anything_but_yes_is_no(
    app: Ardiq, failed: list[Job[Any]], said: Said, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """I: the end of the input, too; exit 1."""
    monkeypatch.setattr(sys, "stdin", Keyboard(answer))
    code, text = said("delete", "--all")
    assert code == 1 and text.endswith("Nothing was done.\n") and len(letters(app)) == 3
    assert "Delete 3 dead letters of queue " in text


def test_at_a_real_terminal(workers: Workers, app: Ardiq, failed: list[Job[Any]], queue_name: str) -> None:
    """I: it says what it would do, takes the answer, and has colours there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "tests" / "manage.py"), "ardiq_jobs"]
    environment = workers.environment() | {"COLUMNS": "80", "TERM": "xterm"}

    def run(*arguments: str, answer: bytes = b"") -> tuple[int, str]:
        os.write(ours, answer)
        process = subprocess.Popen(
            [*command, *arguments], env=environment, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs
        )
        return process.wait(60), os.read(ours, 65_536).decode()

    code, text = run("list", "--queue", queue_name)
    assert code == 0 and "\x1b[" in text and "\x1b[2J" not in text
    code, text = run("delete", failed[0].id, answer=b"y\n")
    assert code == 0 and "Go on? [y/N]" in text and "1 deleted." in text
    assert len(letters(app)) == 2
    os.close(ours)
    os.close(theirs)


# -- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retry"], "Name jobs by their ids, or dead letters by --task, --group or --all"),
        (["retry", "x", "--all"], "one of these"),
        (["delete", "--all", "--task", "t"], "one of these"),
        (["abort"], "Name jobs by their ids"),
        (["delete", "x", "--limit", "3"], "--limit goes with --task, --group and --all"),
        (["retry", "--all", "--per-second", "0"], "--per-second 0: give a number above 0"),
        (["list", "--limit", "0"], "--limit 0: give a whole number above 0"),
        (["list", "--lane", "high", "--status", "failed"], "--lane is about jobs that wait"),
        (["list", "--group", "x", "--status", "queued"], "--group is about dead letters"),
        (["show", "two\nlines"], r"ID 'two\\nlines': give 1 to 200 bytes"),
        (["purge", "--lane", "hihg", "--yes"], "There is no lane 'hihg'; there are low, default, high"),
        (["purge", "--status", "running", "--yes"], "invalid choice: 'running'"),
        (["purge", "--yes"], "one of the arguments --lane --scheduled --status is required"),
        (["purge", "--lane", "high", "--scheduled", "--yes"], "not allowed with argument"),
        (["list", "--status", "lost"], "invalid choice: 'lost'"),
    ],
)
def test_mistakes(app: Ardiq, said: Said, arguments: list[str], words: str) -> None:
    """I: bad input is a CommandError that says what would be right."""
    with pytest.raises(CommandError, match=words):
        said(*arguments)


def test_several_queues(app: Ardiq, failed: list[Job[Any]], redis_url: str, queue_name: str) -> None:
    """I: an id is looked for in all queues; what is done to many needs one."""
    other = Ardiq(queue_name + "-b", redis_url=redis_url)
    out = StringIO()
    queues = ("--queue", queue_name, "--queue", other.queue_name)
    call_command("ardiq_jobs", "show", failed[0].id, *queues, stdout=out)
    assert queue_name in out.getvalue()
    with pytest.raises(CommandError, match="Say which queue with --queue: "):
        call_command("ardiq_jobs", "retry", "--all", "--yes", *queues, stdout=out)
    twin = other.ref("t").options(task_id=failed[0].id).enqueue_sync()
    with pytest.raises(CommandError, match="is in several queues"):
        call_command("ardiq_jobs", "delete", failed[0].id, "--yes", *queues, stdout=out)
    out = StringIO()
    call_command("ardiq_jobs", "list", *queues, stdout=out)
    assert {queue_name, other.queue_name} < set(out.getvalue().splitlines()), "a heading for each"
    assert twin.delete_sync()


def test_djangos_own_options_behind_the_verb(app: Ardiq, failed: list[Job[Any]], queue_name: str) -> None:
    """I: --no-color and the like are taken where people write them."""
    out = StringIO()
    call_command("ardiq_jobs", "list", "--no-color", "-v", "1", "--queue", queue_name, stdout=out)
    assert failed[0].id in out.getvalue()


@pytest.mark.django_db
def test_show_tells_what_a_job_is_about(app: Ardiq, said: Said) -> None:
    user = User.objects.create(username="ines")
    job = app.ref("shop.note").options(subject=user).enqueue_sync()
    assert f"auth.user {user.pk}" in said("show", job.id)[1]
    assert json.loads(said("show", "--json", job.id)[1])["subject"] == ["auth.user", user.pk, "default"]
