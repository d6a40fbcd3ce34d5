"""What the URL of a server says: one server, a primary that Sentinel knows, or the nodes of a Cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlencode

SINGLE = ("redis", "rediss", "valkey", "valkeys")
GROUPS = tuple(f"{scheme}+{kind}" for kind in ("sentinel", "cluster") for scheme in SINGLE)
# A server of this project on this machine, and one inside of this process.
EMBEDDED, FAKE = "embedded://", "fake://"
SCHEMES = (*SINGLE, "unix", "embedded", "fake", *GROUPS)

_SENTINEL_PORT, _NODE_PORT = 26379, 6379
_SENTINEL = "sentinel_"  # what begins so in a query is for the connections to the sentinels

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """``url`` is one that redis-py reads; of a group it names the first member only.

    ``places`` are the sentinels, or the nodes of a Cluster that are asked first; empty for one server.
    """

    url: str
    places: tuple[Place, ...] = ()
    service: str = ""
    sentinel: dict[str, str] = field(default_factory=dict)
    cluster: bool = False

    @property
    def tls(self) -> bool:
        return self.url.startswith("rediss:")


def parse(url: str) -> Address:
    """Read a URL. Raises ValueError with what to write instead; its text holds nothing secret."""
    scheme, _, rest = url.partition("://")
    scheme, _, kind = scheme.partition("+")
    scheme = scheme.replace("valkey", "redis", 1)
    if not kind:
        return Address(f"{scheme}://{rest}")
    before, _, query = rest.partition("?")
    # The last @ before the first slash: one in the password must be written %40.
    authority, _, path = before.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    if "@" in userinfo or "#" in rest:
        # A # would end the URL for redis-py, in the middle of a password that its message then quotes.
        raise ValueError(
            "user and password stand once, in front of the first host; write an @ of the password as %40, "
            "and a # as %23"
        )
    default = _SENTINEL_PORT if kind == "sentinel" else _NODE_PORT
    places = tuple(_place(text, default) for text in hosts.split(","))
    options = parse_qsl(query, keep_blank_values=True)
    host, port = places[0]
    shown = f"[{host}]" if ":" in host else host
    start = f"{scheme}://{userinfo}{at}{shown}:{port}"
    if kind == "cluster":
        if path not in ("", "0"):
            raise ValueError("a Cluster has no databases; leave out what follows the hosts")
        return Address(f"{start}/0{'?' if query else ''}{query}", places, cluster=True)
    service, _, db = path.partition("/")
    if not service or not (db or "0").isdigit():
        raise ValueError(
            f"with Sentinel it is {scheme}+sentinel://user:password@host:port,host:port/<primary>/<db>, "
            "where <primary> is the name that the sentinels have for it"
        )
    query = urlencode([(key, value) for key, value in options if not key.startswith(_SENTINEL)])
    theirs = {key.removeprefix(_SENTINEL): value for key, value in options if key.startswith(_SENTINEL)}
    return Address(f"{start}/{db or 0}{'?' if query else ''}{query}", places, unquote(service), theirs)


def _place(text: str, default: int) -> Place:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default)
    host = host.removeprefix("[").removesuffix("]")
    if not host or set(host) & set(" \t,/") or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError("its hosts are host:port,host:port with no spaces between them")
    return host, int(port)
