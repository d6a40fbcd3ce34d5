"""One virtual environment per side, and every version that is pinned.

ardiq of PyPI and this project import as ``ardiq``, and the others want different versions of the same
libraries, so no two sides share an environment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
PROJECT = BENCHMARKS.parent
ENVS = BENCHMARKS / ".envs"
WANTED = (3, 13)

_FACTS = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps({"python": platform.python_implementation() + " " + platform.python_version(), **found}))
"""


@dataclass(frozen=True)
class Environment:
    """A side's interpreter with what it needs installed. ``shown`` are the packages the report names."""

    side: str
    requirements: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def python(self) -> Path:
        given = os.environ.get(f"ARDIQ_BENCH_{self.side.upper()}_PYTHON")
        return Path(given) if given else ENVS / self.side / "bin" / "python"

    def ensure(self, fresh: bool = False) -> Path:
        """Make the environment unless it is there already. Raises CalledProcessError when pip fails."""
        if os.environ.get(f"ARDIQ_BENCH_{self.side.upper()}_PYTHON"):
            return self.python
        base = base_python()
        stamp = json.dumps([base, self.requirements])
        mark = ENVS / self.side / "complete"
        if not fresh and mark.exists() and mark.read_text() == stamp:
            return self.python
        folder = ENVS / self.side
        print(f"making {folder.relative_to(PROJECT)} with {', '.join(self.requirements)}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([base, "-m", "venv", str(folder)], check=True)
        pip = [str(self.python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, *self.requirements], check=True)
        mark.write_text(stamp)
        return self.python

    def versions(self) -> dict[str, str]:
        done = subprocess.run(
            [str(self.python), "-c", _FACTS, *self.shown], check=True, capture_output=True, text=True
        )
        return dict(json.loads(done.stdout))


REDIS = "redis==8.1.0"

OURS = Environment(
    "ours",
    (
        "-e",
        str(PROJECT),
        "django==6.1.3; python_version >= '3.12'",
        "django~=5.2.0; python_version < '3.12'",
        REDIS,
        "hiredis==3.5.0",
        "msgpack==1.2.4",
    ),
    ("django-ardiq", "django", "redis", "hiredis", "msgpack"),
)
PEER = Environment("ardiq", ("ardiq==1.2.0", "msgpack==1.2.4"), ("ardiq", "msgpack"))
VTASKS = Environment(
    "vtasks",
    ("django-vtasks[valkey]==3.2.0", "django==6.1.3"),
    ("django-vtasks", "django-vcache", "django", "redis"),
)
STREAQ = Environment("streaq", ("streaq==7.2.0", "coredis==6.9.0"), ("streaq", "coredis", "anyio"))
TASKIQ = Environment(
    "taskiq", ("taskiq==0.13.0", "taskiq-redis==1.2.4", REDIS), ("taskiq", "taskiq-redis", "redis")
)
ARQ = Environment("arq", ("arq==0.28.0", "redis==5.3.1"), ("arq", "redis", "hiredis"))
RQ = Environment("rq", ("rq==3.0.0", REDIS), ("rq", "redis"))
CELERY = Environment(
    "celery", ("celery[redis]==5.7.0", "kombu==5.7.0", REDIS), ("celery", "kombu", "billiard", "redis")
)
DRAMATIQ = Environment("dramatiq", ("dramatiq[redis]==2.2.1", REDIS), ("dramatiq", "redis"))
HUEY = Environment("huey", ("huey==3.5.4", REDIS), ("huey", "redis"))
CHARTS = Environment("charts", ("matplotlib==3.11.2",), ("matplotlib",))


def base_python() -> str:
    """The interpreter to measure on: $PYTHON, else a CPython 3.13, else the one that runs this."""
    given = os.environ.get("PYTHON")
    if given:
        return shutil.which(given) or given
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    name = "python{}.{}".format(*WANTED)
    candidates = [sys.executable, shutil.which(name), *sorted(pyenv.glob(f"*/bin/{name}"), reverse=True)]
    for candidate in candidates:
        # A shim of pyenv is on the PATH for versions that it then refuses to start, hence the try-out.
        if candidate and _version_of(str(candidate)) == WANTED:
            return str(candidate)
    print(
        f"no CPython 3.13 found (set PYTHON to name one): measuring on {sys.version.split()[0]}, so the "
        "figures are not comparable with docs/explanation/speed.md",
        file=sys.stderr,
    )
    return sys.executable


def _version_of(python: str) -> tuple[int, ...] | None:
    try:
        done = subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True
        )
    except OSError:
        return None
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None
