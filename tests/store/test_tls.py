"""rediss://: what is checked, and what is said when it does not hold."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ardiq import BrokerError
from ardiq.store import verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from tests import certificates, topologies

LENGTH = verbs.length(Keys("q"), "default")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server behind TLS, whose authority nobody knows unless told."""
    directory = tmp_path_factory.mktemp("tls")
    with topologies.single(directory, certificates.make(directory)) as made:
        yield made


def ask(url: str, **options: Any) -> set[Any]:
    """The answers of both clients."""

    async def main() -> Any:
        return await AsyncStore(Endpoint(url, options)).run(LENGTH)

    store = Store(Endpoint(url, options))
    try:
        return {store.run(LENGTH), asyncio.run(main())}
    finally:
        store.close()


def test_the_authority_stands_in_the_url_or_in_the_options(url: str) -> None:
    """S5: as redis-py reads it."""
    plain, _, query = url.partition("?")
    assert ask(url) == {0}
    assert ask(plain, ssl_ca_certs=query.partition("=")[2]) == {0}
    assert ask(url.replace("rediss", "valkeys")) == {0}


def test_an_unknown_authority_is_refused(url: str) -> None:
    """S5: checked unless told otherwise; the error says what was wrong."""
    plain = url.partition("?")[0]
    with pytest.raises(BrokerError, match=r"(?i)certificate"):
        ask(plain)
    assert ask(plain, ssl_cert_reqs="none", ssl_check_hostname=False) == {0}


def test_another_host_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S5: a certificate for another name will not do, unless told otherwise."""
    found = socket.getaddrinfo

    def elsewhere(host: Any, *args: Any, **options: Any) -> Any:
        return found("127.0.0.1" if host == "other" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)
    with pytest.raises(BrokerError, match=r"(?i)certificate"):
        ask(url.replace("127.0.0.1", "other"))
    assert ask(url.replace("127.0.0.1", "other") + "&ssl_check_hostname=false") == {0}


def test_a_server_that_speaks_tls_only(url: str) -> None:
    """The wrong scheme is a server that cannot be reached."""
    with pytest.raises(BrokerError, match="cannot be reached"):
        ask(url.partition("?")[0].replace("rediss", "redis"))
