"""The systems under test: what is installed, how a worker is started, how long it may take to recover."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.environments import CELERY, OURS, PEER, RQ, STREAQ, Environment

ADAPTERS = Path(__file__).resolve().parent / "adapters"
SLOTS = 4  # jobs that one node runs at once
LEASE = 5  # seconds; the lease, idle timeout or visibility timeout of whoever lets it be set
CALL_SECONDS = 120


class PeerError(RuntimeError):
    """A client of a system failed; the text ends with what it wrote."""


@dataclass(frozen=True)
class Peer:
    """``worker`` is the command of one process of a node; its first word is looked up in the environment.

    ``late``: seconds after the last fault within which a job that it held may still run again;
    ``patience``: seconds after the last fault at which a job that has not ended counts as stuck.
    """

    name: str
    environment: Environment
    module: str
    worker: tuple[str, ...]
    processes: int = 1
    late: float = 3 * LEASE
    patience: float = 90

    def command(self, worker: str, url: str) -> list[str]:
        first, *rest = (word.format(worker=worker, url=url) for word in self.worker)
        return [str(self.environment.python.parent / first), *rest]

    def surroundings(self, url: str, journal: Path, worker: str) -> dict[str, str]:
        """Environment variables for a process of this system, cleared of what could tilt the run."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "ARDIQ_", "DJANGO_", "CELERY_", "RQ_", "FAULTS_"))
        }
        return {
            **kept,
            "PYTHONPATH": str(ADAPTERS),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "FAULTS_URL": url,
            "FAULTS_JOURNAL": str(journal),
            "FAULTS_WORKER": worker,
            "FAULTS_CONCURRENCY": str(SLOTS),
            "FAULTS_LEASE": str(LEASE),
        }

    def call(self, url: str, journal: Path, function: str, *given: Any) -> Any:
        """Call a function of the adapter in a process of its own. Raises PeerError when it fails."""
        done = subprocess.run(
            [
                str(self.environment.python),
                str(ADAPTERS / "client.py"),
                self.module,
                function,
                json.dumps(given),
            ],
            cwd=journal.parent,
            env=self.surroundings(url, journal, "client"),
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
        )
        if done.returncode:
            raise PeerError(f"{self.name}: {function}: {done.stderr[-3000:]}")
        return json.loads(done.stdout.splitlines()[-1])


OURS_MANAGE = str(ADAPTERS / "ours_side.py")
# RQ gives a job of a dead worker back a fixed 60 s after the job's last heartbeat was due, and fails one
# that was taken but not started after a minute in which it was seen. Workers look between two jobs, or when
# they have waited for one for their TTL less 15 s; these options put the looks 5 s apart.
RQ_LOOKS = ("--maintenance-interval", "5", "--job-monitoring-interval", "5", "--worker-ttl", "20")

PEERS = {
    peer.name: peer
    for peer in (
        Peer("ours", OURS, "ours_side", ("python", OURS_MANAGE, "ardiq_worker", "--no-reload")),
        Peer("ardiq", PEER, "ardiq_side", ("ardiq", "run", "ardiq_side:app", "--quiet")),
        Peer("streaq", STREAQ, "streaq_side", ("streaq", "run", "streaq_side:worker")),
        Peer(
            "rq",
            RQ,
            "rq_side",
            ("rq", "worker", "--url", "{url}", *RQ_LOOKS),
            processes=SLOTS,
            late=85,
            patience=180,
        ),
        Peer(
            "celery",
            CELERY,
            "celery_side",
            ("celery", "-A", "celery_side", "worker", "-n", "{worker}@%h", "-c", str(SLOTS), "-l", "INFO"),
        ),
    )
}
