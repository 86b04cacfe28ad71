"""Where Snakemake takes something for granted that does not hold here.

Outputs: what was kept or shared is a link into the DVC cache, and read-only, so that nobody writes into the cache
through it. Snakemake takes a file without write permission for one that its owner protects, and makes it again for root
alone. But no job writes into an output: it makes a new file that takes the old one's name, and that asks for the
permission of the folder. So the folder's permission decides, for everybody.

Signals: when it is asked to end (SIGTERM), it takes a lock in the midst of whatever it does, and waits for ever if it
was holding that lock: while it deals with a job that was asked to end as well, for one.

Locks: Snakemake looks for them by a pattern that begins with the project's folder, in whose name braces then mean
something: it would search other folders, or fail.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snakemake.io import _IOFile
from snakemake.persistence.file import FilePersistence
from snakemake.scheduling.job_scheduler import JobScheduler

from tesserae.config.errors import ConfigError


def verify_folder(root: Path) -> None:
    """Raise ConfigError unless Snakemake runs in the project folder `root`: elsewhere it would find nothing made."""
    if not Path.cwd().samefile(root):
        raise ConfigError(
            Path.cwd(), "", f"Snakemake runs here, not in the project folder {root}", f"add `--directory {root}`"
        )


def adjust() -> None:
    """From here on, this process's Snakemake judges outputs by their folders, finds its locks by their place, and ends
    when it is asked to.
    """
    _IOFile.protected = _protected
    FilePersistence._read_locks = _read_locks
    JobScheduler.exit_gracefully = _exit_gracefully


async def _protected(self: _IOFile) -> bool:
    return await self.exists_local() and not os.access(Path(self.file).parent, os.W_OK)


_wait_and_exit = JobScheduler.exit_gracefully


def _exit_gracefully(self: JobScheduler, *_: Any) -> None:
    threading.Thread(target=_wait_and_exit, args=(self,), daemon=True).start()  # it gets the lock when it is free


def _read_locks(self: FilePersistence) -> Iterator[tuple[str, str]]:
    for kind in ("input", "output"):
        for file in sorted(Path(self._lockdir).glob(f"[0-9]*.{kind}.lock")):
            yield from ((kind, line.strip()) for line in file.read_text(encoding="utf-8").splitlines())
