"""What a figure depends on: processor, memory, system, server, versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from harness.environments import PROJECT
from harness.server import Server
from harness.sides import Side


def facts(server: Server, sides: list[Side]) -> dict[str, str]:
    """For people and for the JSON file. Nothing in it names the host, its user or a path."""
    about = server.info("server")
    memory = server.info("memory")
    name = "Valkey" if "valkey_version" in about else "Redis"
    version = about.get("valkey_version", about["redis_version"])
    found = {
        "taken": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{_cpu_model()}, {os.cpu_count()} cores, {len(os.sched_getaffinity(0))} used",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "load": "{:.2f} {:.2f} {:.2f} before the run".format(*os.getloadavg()),
        "system": f"{_system()}, {platform.machine()}",
        "server": f"{name} {version} ({memory['mem_allocator']}), loopback TCP, no persistence",
        "commit": _commit(),
    }
    for side in sides:
        found[side.name] = ", ".join(f"{key} {value}" for key, value in side.environment.versions().items())
    return found


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return match[1].strip() if match else platform.processor() or "unknown"


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return f"{platform.system()} {platform.release()}"


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True)
        return done.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (
        " with changes" if git("status", "--porcelain", "ardiq") else ""
    )
