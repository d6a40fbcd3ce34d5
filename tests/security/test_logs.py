"""What a job brings along cannot forge a line of the log, and secrets do not get there."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator

import pytest

from ardiq import Ardiq
from ardiq.core.registry import Definition
from tests.security.conftest import Intruder
from tests.workers import Working, until

Make = Callable[..., Working]
EVIL = "x\n2026-11-24 ERROR forged\r\x1b[31mred\u202egnp\x00\x85\u2028end"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a plain handler writes of all that ardiq logs, down to DEBUG."""
    stream, log = io.StringIO(), logging.getLogger("ardiq")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("> %(levelname)s %(message)s [%(name)s]"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield stream
    log.removeHandler(handler)
    log.setLevel(level)


def check(text: str) -> None:
    assert not set(text) & set("\r\x1b\u202e\x00\x85\u2028")
    for line in text.split("\n"):
        assert not line or line.startswith(("> ", "  ")), f"a line that nobody has begun: {line!r}"


def test_no_forged_lines(app: Ardiq, working: Make, intruder: Intruder, written: io.StringIO) -> None:
    """S9: in messages, tracebacks, notes, names of types, tasks and ids."""

    @app.task(name="fail", max_retries=1)
    def fail() -> None:
        error = type("E" + EVIL.replace("\x00", ""), (ValueError,), {})(EVIL)
        error.add_note(EVIL)
        raise error from ExceptionGroup(EVIL, [ValueError(EVIL)])

    job = fail.enqueue_sync()
    intruder.plant(f"id{EVIL}", f"task\x1b[31m{EVIL[24:]}".replace("\n", " "), b"x")
    intruder.push(f"broken{EVIL}", b"Q" + b"?" * 36 + b"default\n")
    with working():
        until(lambda: job.status_sync().finished, 20)
        until(lambda: "UnknownTask" in written.getvalue() and "cannot be read" in written.getvalue(), 20)
    text = written.getvalue()
    check(text)
    assert text.count("forged") > 5, "all of it is there, as text"
    # It waits for a worker that knows its task.
    intruder.redis.zrem(intruder.keys.scheduled, f"id{EVIL}")
    intruder.redis.delete(intruder.keys.job(f"id{EVIL}"))


def test_arguments_and_results_are_not_logged(app: Ardiq, working: Make, written: io.StringIO) -> None:
    """S8: at no level, whatever becomes of the job."""

    @app.task(name="give", max_retries=0)
    def give(what: str, fails: bool = False) -> str:
        if fails:
            raise ValueError("no")
        return what + " returned"

    with working():
        for job in (give.enqueue_sync("sesame"), give.enqueue_sync("sesame", fails=True)):
            job.result_sync(timeout=20)
    assert "ValueError" in written.getvalue() and "sesame" not in written.getvalue()


def test_errors_of_a_task_that_takes_secrets(
    app: Ardiq, working: Make, written: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    """S8: their messages are kept for the admin; the log says what type they are and where they came from."""

    @app.task(name="charge", max_retries=1, sensitive=["pin"])
    def charge(pin: str) -> None:
        raise ValueError(f"pin {pin} is wrong") from KeyError(pin)

    with working():
        result = charge.enqueue_sync("97531").result_sync(timeout=20)
    assert result is not None and result.error is not None and "97531" in result.error.message
    text = written.getvalue()
    assert "97531" not in text and "ValueError: not shown" in text and "in charge" in text
    assert not any(record.exc_info for record in caplog.records if record.name == "ardiq")


@pytest.mark.parametrize("wrong", ["pin", ("card",), (1,), {"pin": 1}])
def test_what_is_not_sensitive(app: Ardiq, wrong: object) -> None:
    """A misspelt name would leave a secret in plain sight, so that it is refused."""
    with pytest.raises((TypeError, ValueError), match="sensitive="):
        app.task(name="wrong", sensitive=wrong)(lambda pin: None)


def test_any_name_where_the_task_takes_any(app: Ardiq) -> None:
    made = app.task(name="any", sensitive=("whatever",))(lambda **names: None)
    definition: Definition = made.definition
    assert definition.sensitive == ("whatever",)


def test_no_values_of_local_variables(app: Ardiq, working: Make, written: io.StringIO) -> None:
    """S9: neither the log nor the stored traceback tells what the variables of a failed task held."""

    @app.task(max_retries=0)
    def fail(given: str) -> None:
        made = "made-" + given
        raise ValueError(len(made))

    with working():
        result = fail.enqueue_sync("hush-hush").result_sync(timeout=20)
    assert result is not None and result.error is not None
    assert "raise ValueError(len(made))" in result.error.traceback
    assert "hush" not in result.error.traceback + written.getvalue()
