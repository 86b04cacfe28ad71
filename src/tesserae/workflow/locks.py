"""Locks that die with their holder: one for each run of a scale, one for each artifact that is being made.

A lock is a file that its holder keeps locked (flock) and that names it: host, process, since when, and what for. The
kernel lets go when the process ends, however it ends; a file that is there and not locked was left by a process that
was killed. Children that a holder starts do not inherit it.

Across machines it holds as far as the file system locks across them (NFS version 4, or 3 with its lock manager; Lustre
mounted with `flock`). Where that is in doubt, the host in the file says who is meant.
"""

import contextlib
import fcntl
import json
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tesserae.lineage.manifest import now

PATIENCE = 2.0  # seconds in which whoever has just locked a file writes its name into it


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock, or held it when it was killed."""

    host: str
    pid: int
    started: str  # with the pid, one process and no later one of the same number
    since: str  # when it took the lock: ISO 8601, UTC
    about: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        since = datetime.fromisoformat(self.since).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return f"process {self.pid} on {self.host}, since {since}"

    @property
    def here(self) -> bool:
        """On this host: only here can be said whether it still runs."""
        return self.host == platform.node()

    @property
    def runs(self) -> bool:
        """Whether this very process still runs; False for one of another host."""
        return self.here and _started(self.pid) == self.started

    def stop(self) -> None:
        """Ask it to end, as a scheduler would: a training saves its state."""
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


class Occupied(Exception):
    """Somebody else holds a lock."""

    def __init__(self, holder: Holder | None):
        super().__init__(str(holder or "a process that does not say which"))
        self.holder = holder


def refuse(holder: Holder | None) -> None:
    """For `holding`: raise Occupied where somebody holds the lock."""
    raise Occupied(holder)


def this_process(**about: Any) -> Holder:
    """This process, as the holder of a lock."""
    return Holder(platform.node(), os.getpid(), _started(os.getpid()) or "", now(), about)


@contextlib.contextmanager
def holding(file: Path, holder: Holder, occupied: Callable[[Holder | None], None] = refuse) -> Iterator[Holder | None]:
    """Hold the lock `file` as `holder`; what is yielded says who had it before.

    While somebody else holds it, `occupied` is called once with that holder (None: it does not say who it is); if
    that returns, this waits. Yields whoever was waited for or was killed while holding it; None if the lock was free.
    """
    opened, before = _lock(file, occupied)
    try:
        text = json.dumps(asdict(holder)).encode()
        os.ftruncate(opened, 0)
        os.pwrite(opened, text, 0)
        yield before
    finally:
        file.unlink(missing_ok=True)  # while it is locked: whoever waits for it sees that, and takes the next one
        os.close(opened)


def holder_of(file: Path) -> Holder | None:
    """Who holds the lock, or None if nobody does; never waits for it."""
    try:
        opened = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return read(file)
    finally:
        os.close(opened)


def read(file: Path) -> Holder | None:
    """Who a lock file names, whether or not it still holds it; None if nobody."""
    try:
        return Holder(**json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _lock(file: Path, occupied: Callable[[Holder | None], None]) -> tuple[int, Holder | None]:
    """An open, locked descriptor of the file that is at its place now, and who held it before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    waited = None
    while True:
        opened = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waited is None:
                    waited = _named(file)
                    occupied(waited)
                fcntl.flock(opened, fcntl.LOCK_EX)
            if _same(opened, file):
                return opened, waited or read(file)
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)  # its holder took it away with it


def _named(file: Path) -> Holder | None:
    """The name in a locked file; its holder may be about to write it."""
    deadline = time.monotonic() + PATIENCE
    while (holder := read(file)) is None and file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holder


def _same(opened: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), os.stat(file))
    except FileNotFoundError:
        return False


def _started(pid: int) -> str | None:
    """When a process of this host began, in whatever way the system says it; None if there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:  # no Linux
        answer = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, encoding="utf-8", errors="replace"
        )
        return answer.stdout.strip() or None
    try:
        state, *_ = fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else f"{boot} {fields[19]}"
