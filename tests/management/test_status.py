"""``manage.py ardiq_status``: what it knows, how it looks, and what it does when Redis is away (I)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ardiq import Ardiq, overview
from ardiq.core.redact import MASK
from ardiq.core.statistics import BUCKETS
from ardiq.management import tables, terminal
from ardiq.management.tables import Cell, Column, Table, laid_out
from ardiq.store import inspector, recurring
from ardiq.store.client import Store
from tests.faults.servers import HurtServer
from tests.management.terminal import Terminal
from tests.server import admin
from tests.workers import ROOT, Workers, Working, until

Make = Callable[..., Working]
Open = Callable[..., Terminal]


def said(app: Ardiq, *arguments: str) -> str:
    out = StringIO()
    call_command("ardiq_status", "--queue", app.queue_name, *arguments, stdout=out)
    return out.getvalue()


def data(app: Ardiq) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(said(app, "--json"))
    found: dict[str, Any] = told["queues"][app.queue_name]
    return found


def line(text: str, start: str) -> str:
    """The row that starts so, with single spaces."""
    rows = [" ".join(one.split()) for one in text.splitlines()]
    found = [row for row in rows if row.startswith(start)]
    assert len(found) == 1, text
    return found[0]


@pytest.fixture
def opened(workers: Workers) -> Iterator[Open]:
    """Opens terminals whose command sees the queue of this test."""
    made: list[Terminal] = []

    def make(*arguments: str, **options: Any) -> Terminal:
        made.append(Terminal(workers.environment(), *arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


# -- what it knows --------------------------------------------------------------------------------


def test_an_idle_queue(app: Ardiq) -> None:
    """I: nothing waits, nobody works, and nothing needs anybody."""
    text = said(app)
    assert text.splitlines()[0].startswith(f"{app.queue_name} at redis")
    assert "Workers: none" in text and "!" not in text and "\x1b" not in text
    told = data(app)
    assert set(told["jobs"].values()) == {0} and told["next_due"] is None and told["warnings"] == []
    assert [lane["lane"] for lane in told["lanes"]] == ["high", "default", "low"]


def test_the_last_whole_minute(app: Ardiq) -> None:
    """Throughput, failures and times, as workers have counted them; no table where nothing was done."""
    told, text = data(app), said(app)
    assert told["last_minute"]["ended"] == 0 and told["last_minute"]["run_p95"] is None
    assert "last minute" not in text
    own = app.broker
    now: int = own.store.run(recurring.now())

    def count(**waits: int) -> None:
        cell = {"S": 1200, "F": 3, "D": 7, "r5": 1210, "R": 24_000_000, **waits, "W": 150_000_000}
        text_of = " ".join(f"{code} {number}" for code, number in cell.items())
        with admin(app.options.redis_url) as client:
            # The minute may end while this test runs.
            for minute in (now // 60_000 - 1, now // 60_000):
                client.hset(own.keys.stats(minute), "high shop.pay", text_of)
                client.expire(own.keys.stats(minute), 300)

    count(w8=1210)
    told, text = data(app), said(app)
    last = told["last_minute"]
    assert (last["ended"], last["failed"], last["retried"], last["crashed"]) == (1203, 3, 7, 0)
    assert 16 <= last["run_p95"] <= 32 and 128 <= last["wait_p95"] <= 256
    assert told["at"] - 120_000 < last["at"] <= told["at"] - 60_000
    assert "The last minute" in text and "1,203" in text and "250 ms" in text
    count(w16=1210)
    assert "1 min" in said(app)
    count(**{f"w{BUCKETS - 1}": 1210})
    assert "over 34 min" in said(app)


def test_lanes_and_how_long_they_wait(app: Ardiq, redis_url: str) -> None:
    """I: jobs per lane, and since when the first one that still waits there has been ready."""
    jobs = [app.ref("t").options(priority="high").enqueue_sync(n) for n in range(3)]
    app.ref("t").options(delay_ms=65_000).enqueue_sync()
    jobs[0].abort_sync()
    with admin(redis_url) as client:  # what an abort has taken out stands there once more, as in a long lane
        client.lpush(app.broker.keys.lane("high"), jobs[0].id)
    info = jobs[1].info_sync()
    assert info is not None
    told = data(app)
    assert told["lanes"][0] == {"lane": "high", "waiting": 3, "oldest": info.enqueue_time}
    assert told["lanes"][1]["oldest"] is None
    assert 60_000 < told["next_due"] - told["at"] <= 65_000
    text = said(app)
    assert line(text, "high").split()[:3] == ["high", "3", "0"] and "in 1 min" in text
    assert "! 3 jobs wait, and no worker serves this queue" in text
    assert f"manage.py ardiq_worker --queue {app.queue_name}" in text
    with admin(redis_url) as client:
        client.lrem(app.broker.keys.lane("high"), 1, jobs[0].id)


def test_a_lane_of_stale_ids(app: Ardiq, redis_url: str) -> None:
    """I: of a head that cannot be found within a bounded look nothing is said, and nothing is guessed."""
    with admin(redis_url) as client:
        client.rpush(app.broker.keys.lane("low"), *(f"stale-{n}" for n in range(inspector.HEADS + 5)))
        assert data(app)["lanes"][2] == {"lane": "low", "waiting": inspector.HEADS + 5, "oldest": None}
        client.delete(app.broker.keys.lane("low"))


def test_workers_schedules_and_failures(app: Ardiq, working: Make, redis_url: str) -> None:
    """I: who works and on what; recurring tasks with their outcome; dead letters and their groups."""

    @app.task(name="broken", max_retries=0)
    async def broken() -> None:
        raise ConnectionError("a secret")

    @app.cron(every=3_600, name="beat")
    async def beat() -> None: ...

    with admin(redis_url) as client:
        client.hset(
            app.broker.keys.cron, "mark:beat", 1
        )  # the last occurrence was missed, and is made up for

    @app.cron("30 2 * * *", tz="Europe/Paris", name="nightly")
    async def nightly() -> None: ...

    app.pause_sync("nightly")
    with working(concurrency=3):
        failed = broken.enqueue_sync()
        assert not failed.result_sync(timeout=10).success  # type: ignore[union-attr]
        until(lambda: data(app)["schedules"][0]["last_status"] == "succeeded")
        told, text = data(app), said(app)
    [worker] = told["workers"]
    assert (worker["name"], worker["concurrency"], worker["state"]) == ("here", 3, "ok")
    assert worker["lanes"] == ["high", "default", "low"] and len(worker["id"]) == 8
    assert line(text, "here").split()[-1] == worker["version"]
    [beats, nights] = told["schedules"]
    assert (beats["timetable"], beats["late"], beats["paused"]) == ("every 3600s", False, False)
    assert beats["next_at"] > told["at"] >= beats["last_at"] > 0
    assert (nights["zone"], nights["paused"], nights["next_at"]) == ("Europe/Paris", True, None)
    assert line(text, "beat").endswith("succeeded") and "paused" in line(text, "nightly")
    [letter] = told["dead_letters"]
    assert (letter["id"], letter["task"], letter["error"]) == (failed.id, "broken", "ConnectionError")
    [group] = told["failure_groups"]
    assert (group["error"], group["jobs"], group["tasks"]) == ("ConnectionError", 1, ["broken"])
    assert failed.id in text and group["group"] in text and "a secret" not in text + json.dumps(told)
    assert told["warnings"] == []


def pretend(app: Ardiq, redis_url: str, id: str, **about: Any) -> None:
    """A worker, as its renewals would tell of it."""
    keys = app.broker.keys
    with admin(redis_url) as client:
        seconds, _ = client.time()
        now = seconds * 1000
        client.zadd(keys.workers, {id: now + about.pop("lease", 60_000)})
        if about:
            told = {"since": now - 9_000, "seen": now, "lanes": "low,default,high"} | about
            client.hset(keys.worker(id), mapping=told)
            client.pexpire(keys.worker(id), 60_000)


def test_what_needs_somebody(app: Ardiq, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """I: mixed versions, a blocked loop, a mute worker, a lane without one, late schedules, a full server."""

    @app.cron(every=1, name="beat")
    async def beat() -> None: ...

    @app.cron(every=1, name="skipping", misfire="skip")
    async def skipping() -> None: ...

    keys = app.broker.keys
    app.ref("t").options(priority="high").enqueue_sync()
    pretend(app, redis_url, "a" * 32, name="old", version="0.1.0", lanes="low,default")
    pretend(app, redis_url, "b" * 32, name="new", version="0.2.0", lanes="low,default", behind=40_000)
    pretend(app, redis_url, "c" * 32, lease=-1_000)
    pretend(app, redis_url, "d" * 32, name="mute", version="0.2.0", lanes="low,default")
    with admin(redis_url) as client:
        now = client.time()[0] * 1000
        client.hset(keys.worker("d" * 32), "seen", now - 40_000)
        client.hset(keys.cron, mapping={"mark:beat": now - 100_000, "mark:skipping": now - 100_000})
    full = {"redis_version": "7.2", "used_memory": "95", "maxmemory": "100"}
    full["maxmemory_policy"] = "allkeys-lru"
    monkeypatch.setattr(overview, "info", lambda own: overview.Info(full))
    told, text = data(app), said(app)
    assert [one["name"] for one in told["warnings"]] == [
        "eviction", "memory", "lane", "silent", "blocked", "versions", "schedules",
    ]  # fmt: skip
    for words in (
        "uses 95% of its maxmemory", "1 job waits in high, and no worker drains that lane",
        "the event loop of new has not turned for 4", "mute has not been heard of for 4",
        "workers of ardiq 0.1.0 and 0.2.0",
        "beat: more than a minute late", "throws away live jobs",
    ):  # fmt: skip
        assert words in text, text
    assert {one["name"]: one["state"] for one in told["workers"]} == {
        None: "gone",
        "old": "ok",
        "new": "blocked",
        "mute": "silent",
    }
    assert "late" in line(text, "beat every") and line(text, "cccccccc").count("-") >= 5
    assert "skipping" not in str(told["warnings"])
    with admin(redis_url) as client:
        client.delete(keys.workers, keys.cron)


def test_what_is_asked_of_redis(app: Ardiq, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """I, R9: a fixed number of round trips, whatever waits and whoever works."""
    trips: list[int] = []
    run_many = Store.run_many

    def counted(store: Store, calls: Any) -> Any:
        calls = list(calls)
        trips.append(len(calls))
        return run_many(store, calls)

    app.enqueue_many_sync(app.ref("t").prepare(n) for n in range(1_000))
    for n in range(30):
        pretend(app, redis_url, f"{n:032x}", name=f"w{n}", version="0.1.0")
    monkeypatch.setattr(Store, "run_many", counted)
    told, text = data(app), said(app)
    assert len(trips) == 6 and len(told["workers"]) == 30
    assert "Workers: 30; the first 20 of 30 are shown" in text
    with admin(redis_url) as client:
        client.delete(app.broker.keys.workers)


def test_names_that_would_move_the_cursor(app: Ardiq, redis_url: str) -> None:
    """I: whatever a worker calls itself, a terminal shows it and does not obey it."""
    pretend(app, redis_url, "d" * 32, name="\x1b[2Jred\n\u202eevil", version="0.1.0")
    text = said(app)
    assert "\x1b" not in text and "\u202e" not in text
    assert line(text, "\\x1b[2Jred")
    with admin(redis_url) as client:
        client.delete(app.broker.keys.workers)


def test_a_password_and_a_user_with_few_rights(tmp_path: Path, settings: Any) -> None:
    """I, S12: the address without its password; without INFO nothing is said of the server."""
    server = HurtServer(tmp_path).start()
    try:
        server.client.acl_setuser(
            "few", enabled=True, passwords=["+not-to-be-shown"], keys=["ardiq:*"], channels=["ardiq:*"],
            commands=["+@all", "-@admin", "-@dangerous", "-info"],
        )  # fmt: skip
        settings.ARDIQ = {"few": {"REDIS_URL": server.url.replace("://", "://few:not-to-be-shown@")}}
        for arguments in ([], ["--json"]):
            out = StringIO()
            call_command("ardiq_status", "--queue", "few", *arguments, stdout=out)
            assert MASK in out.getvalue() and "not-to-be-shown" not in out.getvalue()
        assert json.loads(out.getvalue())["queues"]["few"]["server"]["version"] is None
        server.stop()
        with pytest.raises(CommandError, match="cannot be reached"):
            call_command("ardiq_status", "--queue", "few", stdout=out)
    finally:
        server.stop()


def test_mistakes(app: Ardiq) -> None:
    with pytest.raises(CommandError, match="give one of them"):
        said(app, "--json", "--watch")
    with pytest.raises(CommandError, match=r"--watch 0: give 0.2 seconds or more"):
        said(app, "--watch", "0")
    with pytest.raises(CommandError, match="There is no queue 'other'"):
        call_command("ardiq_status", "--queue", "other")


# -- how it looks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 200])
def test_colours(app: Ardiq, workers: Workers, opened: Open, columns: int) -> None:
    """I: in a terminal it has colours unless it may not have them, and says the same without; no line is
    longer than the terminal is wide."""
    name = "shop.tasks.synchronise_the_inventory_of_every_supplier_with_the_remote_catalogue"
    app.task(name=name, max_retries=0)(lambda: 1 / 0)
    app.ref(name).enqueue_sync()
    app.run(burst=True)
    colour = opened("ardiq_status", "--queue", workers.queue, columns=columns)
    plain = [
        opened("ardiq_status", "--queue", workers.queue, "--no-color", columns=columns),
        opened("ardiq_status", "--queue", workers.queue, columns=columns, NO_COLOR="1"),
        opened("ardiq_status", "--queue", workers.queue, columns=columns, TERM="dumb"),
    ]
    assert [one.ends() for one in (colour, *plain)] == [0] * 4
    assert "\x1b[1;31m" in colour.raw and "\x1b[1mJobs" in colour.raw
    for one in plain:
        assert "\x1b" not in one.raw and "Jobs" in one.raw
    for one in (colour, *plain[:2]):
        lines = one.shown.splitlines()
        assert max(map(tables.width, lines)) <= columns
        assert ("…" in one.shown) is (columns == 80), one.shown
        assert any("remote_catalogue" in text for text in lines) is (columns == 200)


@pytest.mark.parametrize("arguments", [(), ("--no-color",)], ids=["colours", "none"])
def test_watching(app: Ardiq, workers: Workers, opened: Open, arguments: tuple[str, ...]) -> None:
    """I: it follows what happens on a screen of its own, and Ctrl-C leaves the terminal as it was; exit 0."""
    one = opened("ardiq_status", "--queue", workers.queue, "--watch", "0.2", *arguments, lines=9, columns=200)
    one.read(lambda raw: "Workers: none" in raw)
    assert "\x1b[?1049h" in one.raw and "more lines; a taller terminal shows them" not in one.raw
    job = app.ref("later").options(priority="high").enqueue_sync()
    one.read(lambda raw: "no worker serves this queue" in raw and "more lines" in raw)
    job.abort_sync()
    one.process.send_signal(signal.SIGINT)
    assert one.ends() == 0, one.raw
    assert one.raw.endswith("\x1b[?25h\x1b[?1049l"), repr(one.raw[-80:])
    assert "Traceback" not in one.raw


@pytest.mark.parametrize("columns", [80, 200])
def test_a_terminal_of_24_lines(app: Ardiq, workers: Workers, opened: Open, columns: int) -> None:
    """I: all that there is fits, what went wrong above all, with colours and without: tables come closer, and
    long ones show fewer rows and say so."""
    for number in range(4):
        app.task(name=f"broken.{number}", max_retries=0)(lambda: 1 / 0)
        app.ref(f"broken.{number}").enqueue_sync()
    app.run(burst=True)
    app.ref("later").enqueue_sync()
    environment = ("ardiq_status", "--queue", workers.queue, "--watch", "0.5")
    for arguments in ([], ["--no-color"]):
        one = opened(*environment, *arguments, lines=24, columns=columns)
        one.read(lambda raw: "by what went wrong" in raw and raw.count("Jobs") > 1)
        one.process.send_signal(signal.SIGINT)
        assert one.ends() == 0 and "more lines" not in one.shown
        assert "Dead letters: 4" in one.shown and "ZeroDivisionError" in one.shown
        assert "1 job waits" in one.shown


def test_rows_for_want_of_room() -> None:
    """I: no empty lines first, then fewer rows of each table; at last the page is cut, and says so."""
    rows = [[Cell(f"row {n}")] for n in range(12)]
    page = [Table(f"Things: {n}; some", [Column("thing")], rows) for n in range(2)]
    found = {height: tables.fitting(page, 80, height) for height in (99, 29, 28, 14, 6, 5)}
    assert {height: len(lines) for height, lines in found.items()} == {
        99: 30,
        29: 28,
        28: 28,
        14: 14,
        6: 6,
        5: 5,
    }
    texts = ["".join(cell.text for cell in cells) for cells in found[14]]
    assert texts[0] == "Things: 0; 5 of 12 fit here" and texts[-1] == "  row 4"
    assert "more lines" in found[5][-1][0].text


def test_watching_while_redis_is_away(tmp_path: Path, queue_name: str) -> None:
    """I: it says so, keeps what it saw last, and goes on when Redis is back; SIGTERM ends it like Ctrl-C."""
    server = HurtServer(tmp_path / "server").start()
    workers = Workers(server.url, queue_name, tmp_path)
    one = Terminal(
        workers.environment(), "ardiq_status", "--queue", queue_name, "--watch", "0.2", columns=200
    )
    try:
        one.read(lambda raw: "Workers: none" in raw)
        server.stop()
        one.read(lambda raw: "cannot be reached" in raw and "what follows is what was seen last" in raw)
        server.start()
        Ardiq(queue_name, ["low", "default", "high"], server.url).ref("t").enqueue_sync()
        one.read(lambda raw: "! 1 job waits" in one.shown)
        one.process.send_signal(signal.SIGTERM)
        assert one.ends() == 0 and one.raw.endswith("\x1b[?1049l")
    finally:
        one.close()
        server.stop()


def test_watching_into_a_pipe(app: Ardiq, monkeypatch: pytest.MonkeyPatch) -> None:
    """I: page after page, without a character that paints; and it does not matter whether rich is there."""
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(terminal, "time", SimpleNamespace(sleep=sleep))
    text = said(app, "--watch")
    assert looks == [2.0] * 3 and text.count("Jobs") == 3 and "\x1b" not in text


def test_into_a_pipe_that_is_closed(workers: Workers) -> None:
    """I: ``ardiq_status | head -1`` ends without a complaint, once or again and again."""
    for arguments in ("", "--watch 0.2"):
        command = (
            f"{sys.executable} tests/manage.py ardiq_status --queue {workers.queue} {arguments} | head -1"
        )
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=ROOT,
            env=workers.environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.stdout.startswith(f"{workers.queue} at ") and done.stderr == ""


def test_without_rich(app: Ardiq, workers: Workers, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """I: rich only paints: without it the words are the same."""

    class Tty(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(terminal.screen(Tty()), terminal.Rich)
    monkeypatch.setattr(terminal.importlib.util, "find_spec", lambda name: None)
    assert isinstance(terminal.screen(Tty()), terminal.Plain)
    assert isinstance(terminal.screen(Tty(), force_color=True), terminal.Plain)


# -- the tables -----------------------------------------------------------------------------------


def drawn(table: Table, room: int | None) -> list[str]:
    return ["".join(cell.text for cell in pieces).rstrip() for pieces in laid_out([table], room)][3:]


def test_what_is_left_out_and_cut() -> None:
    """First columns go, then the longest texts share what is missing; numbers are never cut."""
    table = Table(
        "t",
        [Column("a", cut="start"), Column("b", cut="end"), Column("n", right=True), Column("c", drop=1)],
        [[Cell("0123456789" * 3), Cell("abcdefghij" * 2), Cell("1,000"), Cell("extra")]],
    )
    assert drawn(table, None) == ["  " + "0123456789" * 3 + "  " + "abcdefghij" * 2 + "  1,000  extra"]
    assert drawn(table, 61) == ["  " + "0123456789" * 3 + "  " + "abcdefghij" * 2 + "  1,000"]
    assert drawn(table, 51) == ["  …123456789" + "0123456789" + "  " + "abcdefghij" * 2 + "  1,000"]
    [short] = drawn(table, 30)
    assert short.startswith("  …") and short.endswith("1,000") and short.count("…") == 2
    assert tables.width(short) == 30


def test_wide_characters_are_two_cells() -> None:
    assert tables.width("日本") == 4 and tables.width("e\u0301") == 1
    assert tables.shortened("日本語", 5) == "日本…" and tables.shortened("日本語", 5, "start") == "…本語"


@pytest.mark.parametrize(
    ("ms", "told"),
    [(0, "0 s"), (-5, "0 s"), (59_999, "59 s"), (60_000, "1 min"), (3_599_999, "59 min"), (3_600_000, "1 h"),
     (172_799_999, "47 h"), (172_800_000, "2 d"), (10**12, "11,574 d")],
)  # fmt: skip
def test_spans(ms: int, told: str) -> None:
    assert tables.span(ms) == told


def test_long_lines_are_wrapped() -> None:
    [first, second] = laid_out([[Cell("  ! ", "bad"), Cell("one two three four", "warn")]], 16)
    assert [cell.text for cell in first] == ["  ! ", "one two"] and second[0].text == "    three four"
