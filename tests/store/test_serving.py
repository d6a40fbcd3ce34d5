"""A server that is there and cannot serve, or that serves in the wrong place: what becomes of a call."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import hiredis
import pytest

from ardiq import BrokerError
from ardiq.store import listener, refusals, switches, verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from ardiq.store.listener import Listener
from ardiq.store.refusals import Denied, Refused, Unavailable, refused
from ardiq.store.waiting import AsyncWaiter, Subscription, Waiter
from tests.workers import until

KEYS = Keys("q")
LENGTH = verbs.length(KEYS, "default")
BOUND = 3.5  # seconds (C13), and what a busy machine adds


class Actor:
    """A server that says what the test tells it to. ``says(command) -> bytes`` or None for silence."""

    def __init__(self, says: Callable[[list[bytes]], bytes | None]) -> None:
        self.says = says
        self.heard: list[list[bytes]] = []
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.url = f"redis://{self.place}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        reader = hiredis.Reader()
        with contextlib.suppress(OSError), peer:
            while data := peer.recv(65_536):
                reader.feed(data)
                while (command := reader.gets()) is not False:
                    answer = self._answer(command)
                    if answer is not None:
                        peer.sendall(answer)

    def _answer(self, command: list[bytes]) -> bytes | None:
        if command[0] in (b"CLIENT", b"SELECT", b"AUTH"):
            return b"+OK\r\n"
        self.heard.append(command)
        return self.says(command)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


Act = Callable[..., Actor]


@pytest.fixture
def act() -> Iterator[Act]:
    """``act(b"-LOADING ...", b":5")``: these answers in turn, the last one for ever."""
    made: list[Actor] = []

    def make(*answers: bytes | None) -> Actor:
        left = list(answers)
        made.append(Actor(lambda command: left.pop(0) if len(left) > 1 else left[0]))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ask_sync(url: str, **options: Any) -> Any:
    store = Store(Endpoint(url, options))
    try:
        return store.run(LENGTH)
    finally:
        store.close()


def ask_async(url: str, **options: Any) -> Any:
    async def main() -> Any:
        return await AsyncStore(Endpoint(url, options)).run(LENGTH)

    return asyncio.run(main())


Ask = Callable[..., Any]
both = pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])

PASSING = [
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-READONLY You can't write against a read only replica.\r\n",
    b"-MASTERDOWN Link with MASTER is down\r\n",
    b"-CLUSTERDOWN The cluster is down\r\n",
    b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
    b"-ASK 1 127.0.0.1:1\r\n",
    b"-BUSY Redis is busy running a script.\r\n",
    b"-NOREPLICAS Not enough good replicas to write.\r\n",
    b"-UNBLOCKED force unblock from blocking operation\r\n",
    b"-NOAUTH Authentication required.\r\n",
    b"-ERR Error running script (call to f_0): @user_script:1: -READONLY You can't write\r\n",
]


@both
@pytest.mark.parametrize("answer", PASSING, ids=lambda answer: answer.split()[0].decode())
def test_what_passes_is_tried_again(act: Act, ask: Ask, answer: bytes) -> None:
    """R14, fault 28: dropped, looked up and asked again, on a new connection, within the bound."""
    actor = act(answer, answer, b":5\r\n")
    begin = time.monotonic()
    assert ask(actor.url) == 5
    assert len(actor.heard) == 3 and actor.connections == 3
    assert time.monotonic() - begin < BOUND


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for in all is the same for every call; a quarter of it will do."""
    monkeypatch.setattr(refusals, "PATIENCE", refusals.PATIENCE / 4)


@both
@pytest.mark.parametrize("answer", [PASSING[0], PASSING[1], PASSING[5]])
def test_what_does_not_pass_is_told(act: Act, ask: Ask, answer: bytes, hasty: None) -> None:
    """C13: after a bounded time, and with the words of the server."""
    begin = time.monotonic()
    with pytest.raises(BrokerError, match="cannot serve just now"):
        ask(act(answer).url)
    assert refusals.PATIENCE < time.monotonic() - begin < BOUND


@both
def test_other_refusals_are_told_at_once(act: Act, ask: Ask) -> None:
    """Nothing is gained by asking again."""
    actor = act(b"-NOPERM this user has no permissions to run the 'llen' command\r\n")
    words = r"does not allow the command LLEN: .*no permissions.*docs/how-to/deploy\.md"
    with pytest.raises(Denied, match=words):
        ask(actor.url)
    assert len(actor.heard) == 1


@both
def test_a_password_that_is_missing(act: Act, ask: Ask, hasty: None) -> None:
    """A4, C13: what to do is said, and no credential is."""
    with pytest.raises(Unavailable, match=r"Authentication required\. Name user and password in REDIS_URL"):
        ask(act(b"-NOAUTH Authentication required.\r\n").url)


@both
def test_a_redirect_is_followed(act: Act, ask: Ask) -> None:
    """Fault 30: also one that leaves the host out, as a node does that does not know its own address."""
    there = act(b":7\r\n")
    assert ask(act(f"-MOVED 1 {there.place}\r\n".encode()).url) == 7
    port = there.place.rpartition(":")[2]
    assert ask(act(f"-MOVED 1 :{port}\r\n".encode()).url.replace("/0", "")) == 7


@both
def test_redirects_in_a_circle_end(act: Act, ask: Ask, hasty: None) -> None:
    """Fault 30: nodes that disagree about a slot cost a bounded time and no recursion."""
    here, there = act(b""), act(b"")
    here.says = lambda command: f"-MOVED 1 {there.place}\r\n".encode()
    there.says = lambda command: f"-MOVED 1 {here.place}\r\n".encode()
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="cannot serve"):
        ask(here.url)
    assert time.monotonic() - begin < BOUND
    assert len(here.heard) + len(there.heard) < 40


@both
def test_a_cluster_has_more_than_one_door(act: Act, ask: Ask) -> None:
    """Fault 30: nodes that are down are passed over; a slot that is elsewhere is found."""
    there = act(b":7\r\n")
    door = act(f"-MOVED 1 {there.place}\r\n".encode())
    for _ in range(4):
        assert ask(f"redis+cluster://127.0.0.1:1,{door.place},127.0.0.1:2") == 7


def test_a_batch_that_was_sent_to_the_wrong_node(act: Act) -> None:
    """Fault 30: each of its calls was redirected, which is one redirect and not many."""
    there = act(b":7\r\n")
    door = act(f"-MOVED 1 {there.place}\r\n".encode())
    store = Store(Endpoint(f"redis+cluster://{door.place}"))
    begin = time.monotonic()
    assert store.run_many([LENGTH] * 12) == [7] * 12
    assert time.monotonic() - begin < 1 and len(door.heard) == 12
    assert there.connections == 1
    store.close()


def test_the_server_of_the_url_is_a_node_as_well(act: Act) -> None:
    """Fault 30: what it redirected to has died; it is asked again, for it knows who took over."""
    there = act(b":7\r\n")
    door = act(f"-MOVED 1 {there.place}\r\n".encode(), b":8\r\n")
    store = Store(Endpoint(door.url, {"cluster": True}))
    assert store.run(LENGTH) == 7
    there.close()
    store.close()
    assert store.run(LENGTH) == 8
    store.close()


SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
PONG = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"

# -- Sentinel -------------------------------------------------------------------------------------


def names(actor: Actor | None) -> bytes:
    """What a sentinel says of where the primary is."""
    if actor is None:
        return b"*-1\r\n"
    host, _, port = actor.place.partition(":")
    return f"*2\r\n${len(host)}\r\n{host}\r\n${len(port)}\r\n{port}\r\n".encode()


@both
def test_sentinel_is_asked_at_every_connect(act: Act, ask: Ask) -> None:
    """Fault 29: a demoted primary is left, a sentinel that is down or knows nothing is passed over."""
    old, new = act(PASSING[1]), act(b":9\r\n")
    knows, ignorant = act(names(old), names(new)), act(names(None))
    url = f"redis+sentinel://127.0.0.1:1,{ignorant.place},{knows.place}/main"
    assert ask(url) == 9
    assert knows.heard.count([b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"main"]) >= 2
    host, _, port = knows.place.partition(":")
    assert ask("redis://", sentinels=[(host, int(port))], service_name="main") == 9


@pytest.mark.parametrize("told", [True, False], ids=["told", "missed"])
def test_a_primary_of_the_past_is_left(act: Act, monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    """Fault 29: an old primary that lives on would acknowledge what nobody else is ever told."""
    monkeypatch.setattr(switches, "QUIET", 0.1)
    old, new, watcher = act(b":1\r\n"), act(b":2\r\n"), act(b"")
    now, subscribed = [old], threading.Event()
    text = f"main {old.place} {new.place}".replace(":", " ")
    message = f"*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n${len(text)}\r\n{text}\r\n".encode()

    def says(command: list[bytes]) -> bytes | None:
        if command[0] == b"SUBSCRIBE":
            subscribed.set()
            until(lambda: told or now[0] is new)
            return SUBSCRIBED
        if command[0] == b"PING":
            return (message if told and now[0] is new else b"") + PONG
        return names(now[0])

    watcher.says = says
    endpoint = Endpoint(f"redis+sentinel://{watcher.place}/main")
    store, other = Store(endpoint), AsyncStore(endpoint, retry=False)

    async def main() -> None:
        assert (store.run(LENGTH), await other.run(LENGTH)) == (1, 1)
        link = await other.open()
        await asyncio.to_thread(subscribed.wait, 10)
        now[0] = new
        async with asyncio.timeout(10):
            while not link.closed or store.run(LENGTH) != 2:
                await asyncio.sleep(0.02)
        assert await other.run(LENGTH) == 2

    asyncio.run(main())
    store.close()


def test_no_thread_to_listen_to_sentinel(act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 46: the connection works without; a later one has its thread."""
    old, watcher = act(b":1\r\n"), act(b"")
    watcher.says = lambda command: SUBSCRIBED if command[0] == b"SUBSCRIBE" else names(old)
    endpoint = Endpoint(f"redis+sentinel://{watcher.place}/main")

    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "ardiq-sentinel":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", refuse)
        store = Store(endpoint)
        assert store.run(LENGTH) == 1
        store.close()
    other = Store(endpoint)
    assert other.run(LENGTH) == 1
    until(lambda: [b"SUBSCRIBE", b"+switch-master"] in watcher.heard)
    other.close()


@both
def test_no_sentinel_knows_the_primary(act: Act, ask: Ask, hasty: None) -> None:
    """The error names it."""
    begin = time.monotonic()
    with pytest.raises(BrokerError, match=r"primary 'main' .*no sentinel names a primary.*Check REDIS_URL"):
        ask(f"redis+sentinel://u:s3cret@127.0.0.1:1,{act(names(None)).place}/main/0")
    assert time.monotonic() - begin < BOUND


@both
def test_sentinels_that_are_silent(act: Act, ask: Ask) -> None:
    """C13: three of them are asked once, not again and again."""
    places = ",".join(act(None).place for _ in range(3))
    begin = time.monotonic()
    with pytest.raises(BrokerError, match=r"no sentinel names a primary.*Check REDIS_URL"):
        ask(f"redis+sentinel://{places}/main")
    assert time.monotonic() - begin < BOUND


# -- code of the project inside a connect ---------------------------------------------------------


class Provider:
    """Fails as long as ``broken``."""

    broken = True

    def get_credentials(self) -> tuple[str, str]:
        if self.broken:
            raise KeyError("the vault is sealed")
        return "user", "password"

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()


@both
def test_a_credential_provider_that_raises(act: Act, ask: Ask) -> None:
    """R14: it is a server that cannot be reached, not an exception that ends a loop; and it heals."""
    actor, provider = act(b":5\r\n"), Provider()
    with pytest.raises(BrokerError, match="the vault is sealed"):
        ask(actor.url, credential_provider=provider)
    provider.broken = False
    assert ask(actor.url, credential_provider=provider) == 5


# -- listeners ------------------------------------------------------------------------------------

NOPERM = b"-NOPERM this user has no permissions to access one of the channels\r\n"


def test_a_refused_subscription_is_told(act: Act) -> None:
    """R14: whoever waits for a result, or listens for aborts, hears that he may not."""
    endpoint = Endpoint(act(NOPERM).url)
    with pytest.raises(Refused, match="no permissions"):
        Waiter(endpoint, Store(endpoint), KEYS).wait("a", 1)

    async def main() -> None:
        with pytest.raises(Refused, match="no permissions"):
            await Subscription(endpoint, "c").open()
        with pytest.raises(Refused, match="no permissions"):
            await AsyncWaiter(endpoint, AsyncStore(endpoint), KEYS).wait("a", 1)

    asyncio.run(main())


def test_a_listener_notices_that_nobody_is_there(act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    """R14: a peer that is gone without a word is found out by a ping, not by TCP after two hours."""
    monkeypatch.setattr(listener, "SILENCE", 0.2)
    message = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"
    actor = act(SUBSCRIBED, PONG, message + PONG, None)

    async def main() -> list[str | None]:
        told: list[str | None] = []
        link = Listener(Endpoint(actor.url), told.append)
        link._limit = 0.8
        await link.listen("c")
        async with asyncio.timeout(10):
            while None not in told:
                await asyncio.sleep(0.02)
        assert link.closed and not link.open
        return told

    assert asyncio.run(main()) == ["x", None]
    assert [command[0] for command in actor.heard] == [b"SUBSCRIBE", b"PING", b"PING", b"PING"]


def test_a_waiter_notices_that_nobody_is_there(act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for sync callers: the dead connection is left for a new one."""
    monkeypatch.setattr("ardiq.store.waiting.SILENCE", 0.0)
    actor = act(b"")
    actor.says = lambda command: {b"SUBSCRIBE": SUBSCRIBED, b"PING": None}.get(command[0], b"$0\r\n\r\n")
    endpoint = Endpoint(actor.url)
    with pytest.raises(TimeoutError):
        Waiter(endpoint, Store(endpoint), KEYS).wait("a", 4)
    asked = [command[0] for command in actor.heard]
    assert asked.count(b"SUBSCRIBE") == 2 and asked.count(b"PING") == 1


def test_the_code_before_redis_7_is_found() -> None:
    """There it stands inside another error."""
    assert isinstance(
        refused("ERR Error running script (call to f_12ab): @user_script:7: -READONLY You can't"), Unavailable
    )
    assert isinstance(refused("ERR Error running script (call to f_1): @user_script:7: WRONGTYPE x"), Refused)
