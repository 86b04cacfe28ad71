"""The follower: shows trainings in MLflow while they run. One process beside the workflow, started by `reproduce`.

Stages write files and know nothing of it. It looks at the files every few seconds, at low priority, and imports MLflow
once, when there is something to write. Whatever goes wrong is a line in its log: the next look, and the sync at the end
of `reproduce`, make up for it. It ends with the process that started it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tesserae.tracking import sync as tracking
from tesserae.tracking.live import Trainings, unfinished
from tesserae.tracking.store import Busy, Store

EVERY = 5.0  # seconds between two looks at the curves
SYNC_EVERY = 60.0  # seconds between two exports of what was finished
PAUSE_AFTER_ERROR = 60.0


def follow(
    root: Path,
    scale: str,
    uri: str | None = None,
    *,
    every: float = EVERY,
    sync_every: float = SYNC_EVERY,
    until: Callable[[], bool],
) -> None:
    """Export curves, and what is finished, until `until()` (asked ten times a second) says so. Raises nothing."""
    curves = Curves(root, scale, uri)
    synced, said = time.monotonic(), ""
    while not until():
        pause = every
        try:
            curves.look()
            if time.monotonic() - synced >= sync_every:
                if not tracking.up_to_date(root, scale, uri, curves=False):
                    tracking.sync(root, scale, uri, patience=0, say=_log, stop=until)
                synced = time.monotonic()
        except Busy:
            pass  # with the next look
        except Exception as error:  # tracking may never cost a result, nor end before the workflow does
            if said != (said := f"{type(error).__name__}: {error}"):
                _log(said)
            pause = max(every, PAUSE_AFTER_ERROR)
        resume = time.monotonic() + pause
        while time.monotonic() < resume and not until():
            time.sleep(min(0.1, every))


class Curves:
    """What one follower knows of the curves that grow at a scale."""

    def __init__(self, root: Path, scale: str, uri: str | None = None):
        self.root, self.scale = root, scale
        self.store = Store(root, uri)
        self.trainings = Trainings(root)
        self._lengths: dict[tuple[str, str], int] = {}

    def look(self) -> None:
        """Bring what has grown to the store; without lock or MLflow when nothing has.

        Raises StoreError if the store cannot be used, Busy if another process is writing to it.
        """
        lengths = {name: training.length() for name, training in unfinished(self.root, self.scale).items()}
        grown = {name for name, length in lengths.items() if length not in (0, self._lengths.get(name))}
        if not grown:
            return
        with self.store.writing(0) as alone, self.store.explained():
            if not alone:
                self.trainings.forget()
            client = self.store.client()
            now = unfinished(self.root, self.scale)  # again: only while nobody else writes, what it says holds
            wanted = {name: now[name] for name in sorted(grown & now.keys())}
            names = {training.experiment for training in wanted.values()}
            experiments = tracking.experiments(client, self.store, self.scale, names)
            try:
                for training in wanted.values():
                    self.trainings.append(client, experiments[training.experiment], training)
            except Exception:
                self.trainings.forget()  # a run may have been deleted under our hands
                raise
        self._lengths |= lengths


def start_follower(root: Path, scale: str) -> subprocess.Popen:
    """Start a follower as a process that ends with this one; it writes to .tesserae/follow-<scale>.log."""
    log = root / ".tesserae" / f"follow-{scale}.log"
    log.parent.mkdir(exist_ok=True)
    with open(log, "w", encoding="utf-8") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "tesserae.tracking.follow", str(root), scale, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=root,
        )


def stop(follower: subprocess.Popen, patience: float = 15.0) -> None:
    """End a follower after the run that it is writing, or after `patience` seconds: a sync goes on there."""
    follower.terminate()
    try:
        follower.wait(patience)
    except subprocess.TimeoutExpired:
        follower.kill()
        follower.wait()


def _log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _serve(root: Path, scale: str, starter: int) -> None:
    """Follow until asked to stop, or until the process `starter` is gone."""
    requested = False

    def ask(*_: object) -> None:
        nonlocal requested
        requested = True

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: for the workflow, whose end is ours
    with contextlib.suppress(OSError):
        os.nice(5)  # a stage that computes goes first
    follow(root, scale, until=lambda: requested or os.getppid() != starter)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
