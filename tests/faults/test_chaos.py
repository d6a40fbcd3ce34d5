"""Everything at once, at random, for a while. ARDIQ_FAULTS_SEED repeats a run, as far as machines allow."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter

import pytest

from ardiq import BrokerError
from tests.faults.trial import MakeTrial, Trial, networks, servers, trial
from tests.workers import Process, until

__all__ = ["networks", "servers", "trial"]

SEED = int(os.environ.get("ARDIQ_FAULTS_SEED", "20260101"))
SECONDS = 60
JOBS = 1_500
LEASE = 6.0  # seconds; no pause, restart or cut takes as long, only a frozen worker does
OPTIONS = {"LEASE_MS": int(LEASE * 1000), "CONCURRENCY": 6, "PREFETCH": 2, "CRASH_LIMIT": 50}


class Storm:
    """Hurts workers, server and network of a trial, and knows which starts may be repeated because of it."""

    def __init__(self, here: Trial, chance: random.Random) -> None:
        self.here, self.chance = here, chance
        self.may_repeat: Counter[str] = Counter()  # id -> starts beyond the first
        self.unsaid = 0  # more of them, of workers that could not commit what they had done
        self.done: Counter[str] = Counter()
        self.frozen: list[tuple[float, Process]] = []
        self.stopping: list[Process] = []

    def strike(self) -> None:
        what = self.chance.choices(
            [self.kill, self.stop, self.freeze, self.drop, self.flush, self.pause, self.restart, self.cut],
            [3, 2, 2, 3, 2, 2, 2, 3],
        )[0]
        what()
        self.done[what.__name__] += 1

    # -- workers ----------------------------------------------------------------------------------

    def _one(self) -> Process | None:
        """One that works, if another one does, too."""
        frozen = [process for _, process in self.frozen]
        able = [one for one in self.here.processes if one not in frozen and "Stop it with" in one.text]
        return self.chance.choice(able) if len(able) > 1 else None

    def _replace(self, process: Process) -> None:
        self.here.processes.remove(process)
        self.here.processes.append(self.here.field.spawn(**OPTIONS))

    def _excuse(self, process: Process) -> None:
        """What a worker holds that has just been killed or frozen may start again."""
        keys, client = self.here.field.keys, self.here.field.client
        pid = str(process.popen.pid)
        for worker in client.zrange(keys.workers, 0, -1):
            name = client.hget(keys.worker(worker.decode()), "name") or b""
            if name.decode().rpartition("-")[2] == pid:
                self.may_repeat.update(id.decode() for id in client.hkeys(keys.held(worker.decode())))

    def kill(self) -> None:
        if process := self._one():
            process.kill()
            self._excuse(process)
            self._replace(process)

    def stop(self) -> None:
        if process := self._one():
            process.signal(signal.SIGTERM)
            self.stopping.append(process)
            self._replace(process)

    def freeze(self) -> None:
        if process := self._one():
            process.signal(signal.SIGSTOP)
            # What was on its way when it froze may still arrive.
            time.sleep(0.05)
            self._excuse(process)
            self.frozen.append((time.monotonic() + self.chance.choice((1.0, LEASE + 2)), process))

    def thaw(self, all_of_them: bool = False) -> None:
        for pair in list(self.frozen):
            if all_of_them or time.monotonic() > pair[0]:
                pair[1].signal(signal.SIGCONT)
                self.frozen.remove(pair)

    def reckon(self) -> None:
        """Every worker that was told to stop has ended; one that could not say so has left what it held."""
        for process in self.stopping:
            code = process.ends(30)
            assert code in (0, 75), (code, process.text)
            self.unsaid += OPTIONS["CONCURRENCY"] + OPTIONS["PREFETCH"] if code else 0

    def unexcused(self) -> int:
        """Repeated starts that no kill and no freezing explains."""
        starts = self.here.field.starts()
        return sum(max(0, times - 1 - self.may_repeat[id]) for id, times in starts.items())

    # -- server and network -------------------------------------------------------------------------

    def drop(self) -> None:
        self.here.server.drop_all()

    def flush(self) -> None:
        self.here.server.client.script_flush()

    def pause(self) -> None:
        self.here.server.pause(self.chance.uniform(0.1, 1.5))

    def restart(self) -> None:
        if self.chance.random() < 0.5:
            self.here.server.kill()
        self.here.server.restart(self.chance.uniform(0, 0.7))

    def cut(self) -> None:
        network = self.here.network
        match self.chance.randrange(5):
            case 0:
                network.break_all()
            case 1:
                network.lose_replies(self.chance.choice(("claim", "settle", "renew", "reconcile")), 1)
            case 2:
                network.cut_requests(self.chance.choice(("claim", "settle")), self.chance.randrange(500))
            case 3:
                network.delay, network.cut = self.chance.uniform(0, 0.1), 0.01
            case 4:
                network.delay, network.cut = 0.0, 0.0


def produce(here: Trial, chance: random.Random, count: int) -> None:
    """Enqueue some jobs of all kinds; those that were not acknowledged do not count."""
    field, app = here.field, here.field.app
    calls = []
    for _ in range(count):
        options = {"priority": chance.choice(("low", "default", "high"))}
        if chance.random() < 0.2:
            options["delay_ms"] = chance.randrange(1, 4_000)
        kind = chance.choices(("nap", "doze", "sour"), (6, 3, 1))[0]
        argument = time.time() + 1 if kind == "sour" else chance.choice((0.0, 0.05, 0.1, 0.3, 1.0))
        calls.append(app.ref(kind).options(**options).prepare(argument))
    with contextlib.suppress(BrokerError):
        field.ids += [job.id for job in app.enqueue_many_sync(calls)]


@pytest.mark.soak
@pytest.mark.fault("2", "everything at random for a minute")
def test_chaos(trial: MakeTrial) -> None:
    """Nothing is lost, nothing stuck; started again is at most what killed and frozen workers held."""
    print(f"ARDIQ_FAULTS_SEED={SEED}")
    here = trial(aof="always", network=True)
    chance = random.Random(SEED)
    storm = Storm(here, chance)
    here.processes = [here.field.spawn(**OPTIONS) for _ in range(3)]
    until(lambda: len(here.field.workers.registered()) == 3, 30)
    end = time.monotonic() + SECONDS
    while (left := end - time.monotonic()) > 0:
        begin = time.monotonic()
        produced = JOBS * (SECONDS - left) / SECONDS
        if len(here.field.ids) < produced:
            produce(here, chance, min(100, int(produced) - len(here.field.ids) + 1))
        storm.thaw()
        storm.strike()
        here.alive()
        time.sleep(max(0, chance.uniform(0.3, 2.0) - (time.monotonic() - begin)))
    here.network.delay, here.network.cut = 0.0, 0.0
    storm.thaw(all_of_them=True)
    # Some of them have only just been started.
    here.works_again(time.monotonic(), within=25)
    storm.reckon()
    here.end(twice=storm.may_repeat.total() + storm.unsaid, seconds=180)
    assert storm.unexcused() <= storm.unsaid, here.repeated()
    happened = ", ".join(f"{count} {name}" for name, count in sorted(storm.done.items()))
    here.report.note = f"seed {SEED}, {len(here.field.ids)} jobs: {happened}"
