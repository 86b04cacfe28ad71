"""Plans that were worked out before, kept under all that decides them: the text of the configuration, and the meaning
of the code that plans. Every job plans anew what it is part of, and a plan of hundreds of jobs takes half a second.

Only what was certainly worked out from these texts is kept: nothing if a file of the configuration was touched
meanwhile, or if code is younger than this process, which may have imported what it said before.
"""

import contextlib
import gc
import hashlib
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pydantic

from tesserae.config.project import Project, read_project
from tesserae.lineage import fingerprint
from tesserae.lineage.hashes import remember
from tesserae.workflow.graph.job import Job
from tesserae.workflow.graph.whole import jobs

PLANNING = ("tesserae.config.project", "tesserae.workflow.graph.whole")
CONFIGURATION = Path("config")  # all that is read to plan lies below it
SETTLED = 2.0  # seconds; psutil knows the start of a process to one
KEPT = 24  # plans, of 1 MB each


def planned(root: Path, scale: str | None, forecast: bool = True) -> tuple[Project, dict[str, Job]]:
    """The project in `root` and all its jobs; ConfigError as `read_project` and `jobs`.

    `forecast`: with what another scale would cost, where the scale asks for that.
    """
    before = _stamps(root)
    key = fingerprint.digest([scale, _texts(root, before), _code(), sys.version, pydantic.VERSION])
    for whole in (True,) if forecast else (False, True):
        found = _read(_file(key, whole))
        if found and (whole is forecast or not found[0].scale.forecast):
            return replace(found[0], root=root), found[1]
    project = read_project(root, scale)
    whole = forecast or not project.scale.forecast
    if not whole:
        project = replace(project, scale=project.scale.model_copy(update={"forecast": None}))
    found = project, jobs(project)
    if before == _stamps(root) and _inside(project) and _settled():
        _write(_file(key, whole), found)
    return found


def _file(key: str, whole: bool) -> Path:
    return fingerprint.cache_folder() / "plans" / f"{key}-{'whole' if whole else 'without-forecast'}"


def _stamps(root: Path) -> list[tuple]:
    """Path below the project folder, size and times of every file of the configuration."""
    files = sorted(path for path in (root / CONFIGURATION).rglob("*") if path.is_file())
    stats = [(file, file.stat()) for file in files]
    return [
        (str(file.relative_to(root)), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for file, stat in stats
    ]


def _texts(root: Path, stamps: list[tuple]) -> list[tuple[str, str]]:
    return [(path, hashlib.sha256((root / path).read_bytes()).hexdigest()) for path, *_ in stamps]


def _code() -> list[tuple[str, str]]:
    return [(name, fingerprint.scan(name).digest) for name in fingerprint.closure(PLANNING, plumbing=True)]


def _settled() -> bool:
    """Whether the code that plans is older than this process."""
    began = psutil.Process().create_time() - SETTLED
    files = map(fingerprint.module_file, fingerprint.closure(PLANNING, plumbing=True))
    return all(file.stat().st_ctime < began for file in files)


def _inside(project: Project) -> bool:
    """Whether papers name no file that lies elsewhere, which the key says nothing of."""
    named = [Path(file) for paper in project.papers.values() for file in (paper.published, paper.claims) if file]
    return all(CONFIGURATION in file.parents and ".." not in file.parts for file in named)


def _read(file: Path) -> tuple[Project, dict[str, Job]] | None:
    try:
        content = file.read_bytes()
    except OSError:
        return None
    with contextlib.suppress(OSError):  # another's, perhaps
        os.utime(file)  # the ones that nobody asked for longest go first
    collects = gc.isenabled()
    gc.disable()  # collecting among so many new objects takes twice as long as to make them
    try:
        return pickle.loads(content)
    except Exception:  # a cache: whatever is wrong with it, plan anew
        return None
    finally:
        if collects:
            gc.enable()


def _write(file: Path, found: tuple[Project, dict[str, Job]]) -> None:
    remember(file, pickle.dumps(found, pickle.HIGHEST_PROTOCOL))
    fingerprint.save_cache()  # else the next one analyses the code again, before it finds the plan
    with contextlib.suppress(OSError):
        kept = sorted(file.parent.glob("[!.]*"), key=lambda one: one.stat().st_mtime)
        for old in kept[:-KEPT]:
            old.unlink(missing_ok=True)
