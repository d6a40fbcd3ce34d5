"""The users of docs/how-to/deploy.md: what each may do, what none may, and passwords that change."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from ardiq import Ardiq, BrokerError, overview
from ardiq.core.errors import NotDurable
from ardiq.core.job import JobStatus
from ardiq.store import fsck, inspector, verbs
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from ardiq.store.refusals import Denied, Refused
from ardiq.store.scripts import Call
from ardiq.worker import outage
from tests import topologies
from tests.admin_client import TESTER, TESTER_PASSWORD, admin
from tests.workers import Working, until

QUEUE = "acl"
LANES = ["low", "default", "high"]
RIGHTS = topologies.acl_lines()["ardiq"].split()[5:]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with all users of the page; the URL is that of the first."""
    with topologies.single(tmp_path_factory.mktemp("acl"), acl=True) as made:
        yield made


@pytest.fixture(autouse=True)
def empty(url: str) -> None:
    with admin(url) as client:
        client.flushall()


def of(user: str, password: str, url: str) -> str:
    return f"redis://{user}:{password}@{url.rpartition('@')[2]}"


@pytest.fixture
def boss(url: str) -> Ardiq:
    """An app with all rights."""
    return Ardiq(QUEUE, LANES, of(TESTER, TESTER_PASSWORD, url))


def granted(user: str) -> set[str]:
    return {word[1:] for word in topologies.acl_lines()[user].split() if word.startswith("+")}


def used() -> set[str]:
    """Every command that a script or a client sends."""
    found = {"select", "eval", "evalsha"}  # the first by redis-py, the others in front of each script
    for path in (files("ardiq.store") / "lua").iterdir():
        text = path.read_text("utf-8")
        found |= {name.lower() for name in re.findall(r"redis\.p?call\('([A-Z]+)'", text)}
        found |= {name.lower() for name in re.findall(r"'(Z(?:REV)?RANGE)'", text)}
    for path in Path(str(files("ardiq"))).rglob("*.py"):
        calls = re.findall(r"""(?:Call\(\(|pack\(|send_command\()"([A-Z]+)""", path.read_text("utf-8"))
        calls += re.findall(r'"([ZHS]SCAN)"', path.read_text("utf-8"))
        found |= {name.lower() for name in calls}
    # For sentinels; asked by ardiq_check, which may be refused; for calls that ask for ``durability``.
    return found - {"sentinel", "config", "acl", "wait", "waitaof"}


def test_what_is_granted_is_what_is_used() -> None:
    """S5: no command too many in the line of the page, and none too few."""
    assert granted("ardiq") == used()


def test_the_lesser_users_are_lesser() -> None:
    """S5: nobody but the first may claim, settle or subscribe."""
    for user in ("ardiq-producer", "ardiq-viewer"):
        assert granted(user) < granted("ardiq")
        assert not granted(user) & {"blpop", "subscribe", "hset", "hdel", "lpop", "scan", "info"}


def test_nobody_reaches_beyond_the_queues(url: str) -> None:
    """S5: neither by a command nor by a script, nor with what administrators do."""
    with admin(url) as client:
        client.execute_command("ACL", "SETUSER", "twin", "on", ">same", *RIGHTS)
    store = Store(Endpoint(of("twin", "same", url)))
    for command in (
        ("GET", "somebody-elses-key"),
        ("EVAL", "return redis.call('GET', 'somebody-elses-key')", 0),
        ("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("ACL", "WHOAMI"), ("MONITOR",),
        ("PUBLISH", "somebody-elses-channel", "x"), ("SUBSCRIBE", "somebody-elses-channel"),
    ):  # fmt: skip
        with pytest.raises(BrokerError, match=r"(?i)perm|acl|does not allow"):
            store.run(Call(command, str))
    store.close()


def test_the_producer(url: str, boss: Ardiq) -> None:
    """It enqueues, in every way, and looks; it can take nobody's work and pretend nothing."""
    app = Ardiq(QUEUE, LANES, of("ardiq-producer", "another-long-password", url))
    ref = app.ref("t")
    jobs = [
        app.send_sync("t", 1),
        ref.options(delay_ms=60_000).enqueue_sync(2),
        ref.options(unique=True).enqueue_sync(3),
        ref.options(task_id="mine", replace=True).enqueue_sync(4),
        *app.enqueue_many_sync([ref.prepare(n) for n in range(20)]),
    ]
    assert [job.status_sync() for job in jobs].count(JobStatus.QUEUED) == len(jobs) - 1
    assert app.queue_size_sync() == boss.queue_size_sync() == len(jobs) - 1
    keys = Keys(QUEUE)
    store = Store(Endpoint(of("ardiq-producer", "another-long-password", url)))
    for call in (
        verbs.register(keys, "0" * 32, 60_000, {"name": "thief"}),
        verbs.claim(keys, "0" * 32, 1, 60_000, 5, [("default", 5)]),
        verbs.listen(keys, 0.1),
    ):
        with pytest.raises(Refused):
            store.run(call)
    store.close()
    with pytest.raises(Refused):
        jobs[0].result_sync(timeout=1)
    assert boss.queue_size_sync() == len(jobs) - 1, "what was refused has changed nothing"


def test_what_waiting_for_a_second_place_needs(url: str) -> None:
    """S5, B1: without the right nothing is stored; with those of the page it is asked for."""
    app = Ardiq(QUEUE, LANES, of("ardiq-producer", "another-long-password", url))
    task = app.ref("t").options(durability="replica")
    with pytest.raises(Denied, match="WAIT"):
        task.enqueue_sync()
    assert app.queue_size_sync() == 0
    with admin(url) as client:
        client.execute_command("ACL", "SETUSER", "ardiq-producer", "+wait", f"~{app.broker.keys.confirmed}")
        try:
            with pytest.raises(NotDurable):  # there is no replica here
                task.enqueue_sync()
        finally:
            client.execute_command("ACL", "SETUSER", "ardiq-producer", "-wait")
    assert app.queue_size_sync() == 1


def test_groups_for_users_who_may_do_less(url: str, boss: Ardiq) -> None:
    """F1, S5: a producer that replaces a dead letter, a viewer that looks at groups: none fails or tidies,
    and whoever may does so later."""

    @boss.task(name="charge", max_retries=0)
    def charge() -> None:
        raise ValueError("declined")

    with Working(boss):
        for id in ("a", "b"):
            charge.options(task_id=id).enqueue_sync().result_sync(timeout=20)
    producer = Ardiq(QUEUE, LANES, of("ardiq-producer", "another-long-password", url))
    assert producer.ref("refund").options(task_id="b", replace=True).enqueue_sync().created
    viewer = Ardiq(QUEUE, LANES, of("ardiq-viewer", "yet-another-password", url))
    for _ in range(2):
        assert [(one.type, one.count) for one in viewer.failure_groups_sync()] == [("ValueError", 2)]
    assert [letter.id for letter in viewer.dead_letters_sync(text="declined")] == ["a"]
    assert [(one.job, one.count) for one in boss.failure_groups_sync()] == [("a", 1)]
    assert fsck.check(boss.broker.store, Keys(QUEUE)).findings == []


def test_the_viewer(url: str, boss: Ardiq) -> None:
    """It sees what the admin shows, and changes nothing."""
    job = boss.send_sync("t", 1)
    app = Ardiq(QUEUE, LANES, of("ardiq-viewer", "yet-another-password", url))
    keys, store = Keys(QUEUE), Store(Endpoint(of("ardiq-viewer", "yet-another-password", url)))
    tidied, counts = store.run_many((inspector.tidy(keys), inspector.counts(keys, LANES)))
    assert tidied == 0 and counts.statuses[JobStatus.QUEUED] == 1
    large = boss.send_sync("t", "x" * 100_000)
    assert [one.id for one in store.run(inspector.rows(keys, [large.id]))] == [large.id]
    assert large.delete_sync()
    info = app.info_sync(job.id)
    assert info is not None and info.status is JobStatus.QUEUED
    for change in (lambda: app.send_sync("t", 2), lambda: app.abort_sync(job.id)):
        with pytest.raises(Refused):
            change()
    store.close()
    assert boss.queue_size_sync() == 1
    app.cron(every=60, name="beat")(lambda: None)
    seen = overview.read(app.options)
    assert seen.counts.statuses[JobStatus.QUEUED] == 1 and len(seen.schedules) == 1
    assert seen.heads.lanes["default"] and not seen.info.version, "INFO is not allowed, and not needed"


def test_a_password_that_changes_heals(url: str) -> None:
    """R14: while the password is wrong a caller hears so, and a worker waits; right again, both go on."""
    app = Ardiq("rotating", LANES, of("rotating", "first", url))
    double = app.task(name="double")(lambda n: 2 * n)

    with admin(url) as client:

        def rotate(password: str) -> None:
            client.execute_command("ACL", "SETUSER", "rotating", "on", "resetpass", f">{password}", *RIGHTS)
            client.execute_command("CLIENT", "KILL", "USER", "rotating")

        def letter(id: str) -> bytes:
            found: bytes = client.getrange(Keys("rotating").job(id), 0, 0)
            return found

        rotate("first")
        with Working(app):
            assert double.enqueue_sync(1).result_sync(timeout=10).value == 2  # type: ignore[union-attr]
            waiting = double.options(delay_ms=500).enqueue_sync(3)
            rotate("second")
            begin = time.monotonic()
            with pytest.raises(BrokerError, match=r"(?i)password|auth") as caught:
                double.enqueue_sync(2)
            assert time.monotonic() - begin < 3.5 and "first" not in str(caught.value)
            time.sleep(1)
            assert letter(waiting.id) == b"D", "nobody could claim it"
            rotate("first")
            begin = time.monotonic()
            until(lambda: letter(waiting.id) == b"S", 10)
            assert time.monotonic() - begin < 5.5
            assert double.enqueue_sync(4).result_sync(timeout=10).value == 8  # type: ignore[union-attr]


def _wrong(url: str) -> Ardiq:
    return Ardiq(QUEUE, LANES, of("nobody", "wrong-password", url))


@pytest.mark.parametrize("door", ["sync", "async"])
def test_a_wrong_password(url: str, door: str) -> None:
    """A4, C13: told at once, with the way out, and not as a server that cannot be reached."""
    begin = time.monotonic()
    with pytest.raises(
        BrokerError, match=r"does not take the user or the password: .*Correct them"
    ) as caught:
        _wrong(url).send_sync("t", 1) if door == "sync" else asyncio.run(_send(_wrong(url)))
    assert time.monotonic() - begin < 1 and "wrong-password" not in str(caught.value)


async def _send(app: Ardiq) -> None:
    await app.send("t", 1)


@pytest.mark.parametrize(
    ("denied", "words"),
    [
        ("evalsha", r"does not allow the script 'enqueue': .*evalsha"),
        ("rpush", r"does not allow the script 'enqueue': .*(rpush|this command)"),  # not named by Redis 7.0
        ("select", "does not allow a connection to be set up: .*select"),
    ],
)
def test_a_right_that_is_missing(url: str, denied: str, words: str) -> None:
    """S5, C13: told at once, with what was asked for, and where the line with all rights is."""
    with admin(url) as client:
        client.execute_command("ACL", "SETUSER", f"no-{denied}", "reset", "on", ">few", *RIGHTS, f"-{denied}")
    for send in (lambda app: app.send_sync("t", 1), lambda app: asyncio.run(_send(app))):
        begin = time.monotonic()
        with pytest.raises(Denied, match=f"(?i){words}.*docs/how-to/deploy.md.*ardiq_check"):
            send(Ardiq(QUEUE, LANES, of(f"no-{denied}", "few", url).replace("/0", "/1")))
        assert time.monotonic() - begin < 1


@pytest.mark.parametrize("fault", ["password", "right"])
def test_a_worker_that_is_not_let_in(
    url: str, boss: Ardiq, fault: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H5: it says what is wrong, again and again but not all the time, and works once that is put right."""
    monkeypatch.setattr(outage, "REMIND", 0.4)
    app = Ardiq("outside", LANES, of("outside", "right", url))
    app.task(name="t")(lambda: 5)

    def let(password: str, *more: str) -> None:
        with admin(url) as client:
            client.execute_command("ACL", "SETUSER", "outside", "reset", "on", f">{password}", *RIGHTS, *more)

    let("other") if fault == "password" else let("right", "-lpop")
    words = "does not take the user" if fault == "password" else "does not allow the script 'claim': "
    with Working(app):
        until(lambda: caplog.text.count(words) >= 3)
        assert caplog.text.count("Still waiting for Redis") >= 2
        lines, begin = caplog.text.count(words), time.monotonic()
        time.sleep(1)
        assert caplog.text.count(words) - lines <= (time.monotonic() - begin) / 0.4 + 1
        let("right")
        job = app.send_sync("t")
        assert job.result_sync(timeout=10).value == 5  # type: ignore[union-attr]


class Vault:
    """A credential provider of the project. It raises as long as it is sealed."""

    sealed = False

    def get_credentials(self) -> tuple[str, str]:
        if self.sealed:
            raise LookupError("the vault is sealed")
        return "ardiq", "a-long-password"

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()


def test_a_credential_provider_that_fails_heals(url: str) -> None:
    """R14: no loop of a worker ends with what code of the project raises inside a connect."""
    vault = Vault()
    options = {"credential_provider": vault}
    app = Ardiq("vault", LANES, f"redis://{url.rpartition('@')[2]}", redis_options=options, lease_ms=1_500)
    double = app.task(name="double")(lambda n: 2 * n)
    with admin(url) as client, Working(app) as here:
        assert double.enqueue_sync(1).result_sync(timeout=10).value == 2  # type: ignore[union-attr]
        vault.sealed = True
        client.execute_command("CLIENT", "KILL", "USER", "ardiq")
        with pytest.raises(BrokerError, match="the vault is sealed"):
            double.enqueue_sync(2)
        time.sleep(2)
        assert here._thread.is_alive(), "the worker has ended"
        vault.sealed = False
        assert double.enqueue_sync(3).result_sync(timeout=10).value == 6  # type: ignore[union-attr]
