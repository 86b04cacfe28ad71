"""What happens in a run: its log for people, and an event to a line for whoever shows the run while it goes on.

Snakemake's main process writes both, into files: whoever shows the run may end, and the run goes on. In the log, lines
of Snakemake's own begin with the time and a bar. Whatever else is in there (a traceback, a shell's complaint, the last
words of a process that was killed) nobody foresaw, and so it is shown.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

VARIABLE = "TESSERAE_EVENTS"  # environment of Snakemake's main process: the file of the events
KEPT = 20  # logs of a scale
FORGOTTEN = 30 * 86400.0  # seconds after which nobody waits for the next event of a run
FOLDER = Path(".tesserae/logs")
_BAR = " | "
PROFILES = ("Using workflow specific profile ", "Using profile")  # what Snakemake says before it asks for its logger


class Files(NamedTuple):
    """Of one run."""

    log: Path
    events: Path


def begin(root: Path, scale: str) -> Files:
    """Empty files for a run of a scale, its alone; of the logs of earlier ones, the last KEPT stay."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob(f"{scale}-*.log"))[: 1 - KEPT]:
        old.unlink(missing_ok=True)
    for left in folder.glob(f"{scale}-*.events"):  # of runs that were killed, or that go on elsewhere
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > FORGOTTEN:
                left.unlink()
    name = f"{scale}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    files = Files(folder / f"{name}.log", folder / f"{name}.events")
    for file in files:
        file.write_bytes(b"")
    return files


def tell(event: str, **about: Any) -> None:
    """Add an event, if anybody wants to know; never raises: a run goes on, seen or unseen."""
    if file := os.environ.get(VARIABLE):
        line = json.dumps({"event": event, "at": time.time(), **about}, default=str)
        with contextlib.suppress(OSError):
            opened = os.open(file, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(opened, line.encode(errors="backslashreplace") + b"\n")
            finally:
                os.close(opened)


def begun(jobs: list[str], workflow: Any) -> None:
    """Tell which artifacts a run makes; `workflow`: Snakemake's, which knows where, and how many at a time."""
    limits, remote = workflow.resource_settings, not workflow.local_exec
    tell("begun", jobs=jobs, remote=remote, room=limits.nodes if remote else limits.cores)


def parsed(line: str) -> dict[str, Any] | None:
    """An event from its line; None for half a one, of a process that was killed."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def stamped(text: str) -> str:
    """Text of Snakemake's own as it stands in the log."""
    now = time.strftime("%H:%M:%S")
    return "".join(f"{now}{_BAR}{line}\n" for line in text.splitlines())


def foreseen(line: str) -> bool:
    """Whether a line of the log is of Snakemake's own."""
    if line.startswith(PROFILES):
        return True
    return line[8 : 8 + len(_BAR)] == _BAR and line[2:6:3] == "::" and line[:8].replace(":", "").isdigit()


class Lines:
    """The whole lines that are added to a file, from its beginning on."""

    def __init__(self, file: Path):
        self.file, self._at, self._half = file, 0, b""

    def new(self, last: bool = False) -> list[str]:
        """Those that were added since the last call; with `last`, also one that lacks its end."""
        try:
            with open(self.file, "rb") as opened:
                opened.seek(self._at)
                found = opened.read()
        except OSError:  # taken away: there is nothing more to say
            found = b""
        self._at += len(found)
        *lines, self._half = (self._half + found).split(b"\n")
        if last and self._half:
            lines.append(self._half)
            self._half = b""
        return [line.decode(errors="backslashreplace") for line in lines]
