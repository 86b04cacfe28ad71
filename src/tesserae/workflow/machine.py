"""What this machine has for jobs: cores that this process may use, memory that is free, GPUs.

Inside a container, or a session with limits, that is less than what the machine is built of.
"""

import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than its control group's quota of time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([bound, *map(math.floor, _quotas())]))


def free_mb() -> int:
    """Memory that processes can still take, in MB, without swapping or meeting a limit of their control group."""
    return int(min([psutil.virtual_memory().available, *_rooms()]) / 1e6)


def has_gpu() -> bool:
    """Whether CUDA would find a GPU; asks its driver's tool, since torch takes seconds to import."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        return False
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, encoding="utf-8", errors="replace", timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


# ---- limits of control groups (Linux), of the first version and the second --------------------------------------


def _quotas() -> Iterator[float]:
    """Cores' worth of time that each group above this process grants."""
    for folder in _groups("cpu"):
        limit = _words(folder / "cpu.max")
        if len(limit) == 2 and limit[0] != "max":
            yield int(limit[0]) / int(limit[1])
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if period and quota is not None and quota > 0:
            yield quota / period


def _rooms() -> Iterator[int]:
    """Bytes that each group above this process still grants. Cached files give way, so they do not count as used."""
    for folder in _groups("memory"):
        for most, used, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, now = _number(folder / most), _number(folder / used)
            if limit is not None and now is not None:
                stated = _words(folder / "memory.stat")
                counts = dict(zip(stated[::2], stated[1::2], strict=False))
                yield max(0, limit - now + int(counts.get(cached, 0)))


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the groups that limit this process for a controller, from its own up to the topmost.

    Where a container hides the groups above it, its own stands at the top of the tree.
    """
    try:
        lines = MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = CONTROL_GROUPS / controllers
        own = top / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder == top or top in folder.parents)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _number(file: Path) -> int | None:
    """A file's only number; None if there is no such file, or no limit in it (`max`)."""
    words = _words(file)
    return int(words[0]) if len(words) == 1 and words[0].lstrip("-").isdigit() else None
