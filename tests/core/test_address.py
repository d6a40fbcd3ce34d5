"""URLs of one server, of a primary behind Sentinel, and of a Cluster."""

from __future__ import annotations

import pytest

from ardiq.core.address import Address, parse
from ardiq.core.options import Options
from ardiq.core.redact import safe_url
from ardiq.store.endpoint import Endpoint

GOOD: dict[str, Address] = {
    "redis://u:p@h:1/2?x=y": Address("redis://u:p@h:1/2?x=y"),
    "valkeys://h": Address("rediss://h"),
    "unix:///run/a+b.sock?db=1": Address("unix:///run/a+b.sock?db=1"),
    "redis+cluster://u:p@a:7000,b:7001": Address(
        "redis://u:p@a:7000/0", (("a", 7000), ("b", 7001)), cluster=True
    ),
    "rediss+cluster://a,[::1]:7001,[::2]/0?ssl_ca_certs=/ca": Address(
        "rediss://a:6379/0?ssl_ca_certs=/ca", (("a", 6379), ("::1", 7001), ("::2", 6379)), cluster=True
    ),
    "redis+sentinel://u:p%40@a,b:2/main%20one/3": Address(
        "redis://u:p%40@a:26379/3", (("a", 26379), ("b", 2)), "main one"
    ),
    "valkey+sentinel://a:1/main?sentinel_username=w&sentinel_password=x&client_name=n": Address(
        "redis://a:1/0?client_name=n", (("a", 1),), "main", {"username": "w", "password": "x"}
    ),
}


@pytest.mark.parametrize("url", GOOD)
def test_a_url_is_read(url: str) -> None:
    """What redis-py reads is left to redis-py; the rest names a group."""
    assert parse(url) == GOOD[url]
    assert Options.build("q", {"redis_url": url}).redis_url == url
    Endpoint(url)


BAD = {
    "redis+sentinel://a:1,b:2": "name of it|sentinels have",
    "redis+sentinel://a:1,b:2/main/first": "<primary>/<db>",
    "redis+cluster://a:1,b:2/1": "no databases",
    "redis+cluster://a:1, b:2": "no spaces",
    "redis+cluster://a:1,b:x": "host:port",
    "redis+cluster://": "host:port",
    "redis+cluster://a:0": "host:port",
    "redis+cluster://u:s3cret@a:1,u:s3cret@b:2": "once, in front of the first host",
    "redis+cluster://u:s3cret#more@a:1": "# as %23",
    "redis+sentinel://u:s3cret#more@a:1,b:2/main": "# as %23",
    "unix+sentinel://a/main": "starts with one of",
    "redis+http://a": r"redis\+cluster://",
}


@pytest.mark.parametrize("url", BAD)
def test_a_wrong_url_says_what_to_write(url: str) -> None:
    """E010: in the check and in the error, and never with a password in it."""
    with pytest.raises(ValueError, match=BAD[url]) as caught:
        Options.build("q", {"redis_url": url})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://u:s3cret@a:1,b:2/main/0?sentinel_password=s3cret",
        "redis+cluster://u:s3cret@a:1,b:2",
        "redis+cluster://:s3cret@a:1,:s3cret@b:2",
        "rediss+sentinel://u:s3cret@a:1/main?ssl_password=s3cret",
    ],
)
def test_passwords_are_masked(url: str) -> None:
    """In whatever form the URL is shown."""
    assert "s3cret" not in safe_url(url) and "b:2" in safe_url(url.replace("a:1/", "a:1,b:2/"))
    if url.count("@") == 1:
        endpoint = Endpoint(url)
        assert "s3cret" not in str(endpoint.unreachable(OSError("no")))
        assert "s3cret" not in repr(Options.build("q", {"redis_url": url}))


def test_options_name_a_group_too() -> None:
    """REDIS_OPTIONS may name the sentinels, or that it is a Cluster, and not both."""
    with pytest.raises(ValueError, match="not both"):
        Options.build("q", {"redis_options": {"sentinels": [("a", 1)], "service_name": "m", "cluster": True}})
    assert "'m'" in str(
        Endpoint("redis://", {"sentinels": [("a", 1)], "service_name": "m"}).unreachable(OSError())
    )
    assert Endpoint("redis://a", {"cluster": True}).patience().pause() == 0.0


def test_an_option_that_redis_py_does_not_know() -> None:
    """A misspelt option is told at once; it is not a server that cannot be reached."""
    with pytest.raises(ValueError, match="soket_timeout"):
        Endpoint("redis://h", {"soket_timeout": 1}).connection()
