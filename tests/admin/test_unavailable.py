"""Without Redis every page of the queue is a 503 in the frame of the admin, and nothing else is affected."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from ardiq import Ardiq
from ardiq.adminui.base import RedisAdmin
from tests.admin.conftest import LIST
from tests.server import admin, own_server

PASSWORD, GUEST = "sesame", "visitor99"


@pytest.fixture
def down(settings: Settings, boss: Client) -> Client:
    """Nobody listens on port 1."""
    settings.ARDIQ = {"lost": {"REDIS_URL": f"redis://operator7:{PASSWORD}@127.0.0.1:1/0"}}
    app = Ardiq("lost")  # kept for the test: schedules are read only where somebody has code of them
    app.cron(every=3600, name="shop.hourly")(lambda: None)
    boss.app = app  # type: ignore[attr-defined]
    return boss


@pytest.mark.parametrize(
    "address",
    [
        LIST,
        f"{LIST}?state=failed",
        f"{LIST}?q=x",
        f"{LIST}x/change/",
        f"{LIST}x/history/",
        f"{LIST}x/abort/",
        f"{LIST}x/retry/",
        f"{LIST}x/delete/",
        "/admin/ardiq/queue/",
        "/admin/ardiq/queue/lost/change/",
        "/admin/ardiq/queue/_do/pause/?id=lost",
        "/admin/ardiq/worker/",
        "/admin/ardiq/worker/x/change/",
        "/admin/ardiq/worker/_do/stop/?id=x",
        "/admin/ardiq/schedule/",
        "/admin/ardiq/schedule/lost:shop.hourly/change/",
        "/admin/ardiq/schedule/_do/run/?id=lost:shop.hourly",
    ],
)
def test_a_page_that_says_what_happened(down: Client, address: str) -> None:
    """A4, C13: soon, with the place but no password, and a way to try again."""
    start = time.monotonic()
    response = down.get(address)
    text = response.content.decode()
    assert response.status_code == 503 and time.monotonic() - start < 3
    assert "127.0.0.1:1" in text and "refused" in text and "safe in Redis" in text
    assert PASSWORD not in text and "operator7" not in text
    assert f'href="{address}"' in text and "Try again" in text
    # What live.js asks for, on every page, whatever its own parts are that keep themselves up to date.
    assert 'data-ardiq-live="' in text and f'data-ardiq-again="{address}"' in text
    asked = down.get(address, {"_live": "1"}) if "?" not in address else down.get(f"{address}&_live=1")
    assert asked.status_code == 503 and f'again="{address}"' in unquote(asked.content.decode())
    assert "Django administration" in text and response.headers["Retry-After"]


def test_since_when(
    boss: Client, settings: Settings, redis_url: str, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As this process knows it: since the first call that found no server, until a connect succeeds."""
    settings.ARDIQ = {queue_name: {"REDIS_URL": redis_url}}
    own = Ardiq(queue_name).broker
    assert boss.get(LIST).status_code == 200 and not own.endpoint.away_since

    def refuse(parse: Any) -> Any:
        raise ConnectionError("refused")

    def told() -> str:
        response = boss.get(LIST)
        assert response.status_code == 503
        return str(response.context["since"])

    with monkeypatch.context() as patch:
        patch.setattr(own.endpoint, "_kwargs", refuse)
        own.store.close()
        assert re.search(r"\(\d s ago\)", told())
        first = own.endpoint.away_since
        for fraction in range(20):
            own.endpoint.away_since = time.time() - fraction / 10_000
            assert " ago)" in told(), "a moment that has been rounded up lies in the future"
        own.endpoint.away_since = first - 90_000
        assert "(25 h ago)" in told() and own.endpoint.away_since == first - 90_000
        assert "as far as this process of the site has seen" in boss.get(LIST).content.decode()
    assert boss.get(LIST).status_code == 200 and not own.endpoint.away_since


def test_where_a_hidden_queue_is(down: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7: nor does somebody who may not see anything of it learn where it lies."""
    settings.ARDIQ = {**settings.ARDIQ, "other": {"REDIS_URL": "redis://127.0.0.1:2/0"}}
    monkeypatch.setattr(RedisAdmin, "has_queue_permission", lambda admin, request, queue: queue == "lost")
    text = down.get(LIST).content.decode()
    assert "127.0.0.1:1" in text and "127.0.0.1:2" not in text


def test_actions(down: Client) -> None:
    """A POST is answered likewise, and its way back is the list."""
    for response in (
        down.post(LIST, {"action": "abort_selected", "_selected_action": "x"}),
        down.post(f"{LIST}_do/abort/", {"jobs": json.dumps([["lost", "x"]])}),
    ):
        assert response.status_code == 503
        text = response.content.decode()
        assert f'href="{LIST}"' in text and f'data-ardiq-again="{LIST}"' in text


def test_the_rest_of_the_admin(down: Client) -> None:
    """Its index and other apps never ask Redis."""
    assert down.get("/admin/").status_code == 200
    assert down.get("/admin/ardiq/").status_code == 200
    assert down.get("/admin/auth/user/").status_code == 200


def test_permissions_come_first(settings: Settings, sign_in: object) -> None:
    """Whoever may not see jobs does not learn where Redis is, either."""
    settings.ARDIQ = {"lost": {"REDIS_URL": "redis://127.0.0.1:1/0"}}
    clerk: Client = sign_in()  # type: ignore[operator]
    assert clerk.get(LIST).status_code == 403
    assert clerk.get(f"{LIST}x/abort/").status_code == 403


# -- of a server that does not take the password -----------------------------------------------------------


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The place of a server that wants a password. Its user "guest" may do next to nothing."""
    with own_server(tmp_path_factory.mktemp("locked")) as url:
        with admin(url) as client:
            client.execute_command("ACL", "SETUSER", "guest", "on", f">{GUEST}", "+ping")
            client.config_set("requirepass", "another")
        yield url.removeprefix("redis://")


@pytest.mark.parametrize(
    ("user", "options", "way_out"),
    [
        (f"operator7:{PASSWORD}@", {}, "Correct the user and the password in REDIS_URL or REDIS_OPTIONS"),
        (f":{PASSWORD}@", {}, "Correct the user and the password in REDIS_URL or REDIS_OPTIONS"),
        ("", {}, "Correct the user and the password in REDIS_URL or REDIS_OPTIONS"),
        ("", {"password": PASSWORD}, "Correct the user and the password in REDIS_URL or REDIS_OPTIONS"),
        (f"guest:{GUEST}@", {}, "manage.py ardiq_check tells which rights the user of the settings lacks"),
    ],
    ids=["user", "password", "none", "options", "rights"],
)
def test_a_wrong_password(
    boss: Client, settings: Settings, locked: str, user: str, options: dict[str, str], way_out: str
) -> None:
    """ADMIN 6.7: the page says what is wrong and what to do about it, and no password; nor does what
    asks for the page again and again."""
    settings.ARDIQ = {"lost": {"REDIS_URL": f"redis://{user}{locked}", "REDIS_OPTIONS": options}}
    for address in (
        LIST,
        "/admin/ardiq/dashboard/",
        "/admin/ardiq/queue/_do/pause/?id=lost",
        f"{LIST}?_live=1",
    ):
        response = boss.get(address)
        text = response.content.decode()
        assert response.status_code == 503 and locked.partition("/")[0] in text
        if not user and not options and "Connection closed by server" in text:
            pytest.skip("Redis 7.0 hangs up on a long command of who has not signed in, and says no more")
        assert "what to do" in text and way_out in text
        assert not any(word in text for word in (PASSWORD, GUEST, "operator7", "guest"))


def test_nothing_to_do(down: Client) -> None:
    """Where a server is away, waiting helps, and nobody is told otherwise."""
    assert "what to do" not in down.get(LIST).content.decode()
