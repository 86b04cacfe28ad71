"""The real data set that a dataset job reads, as it is now; and where it is not at hand, as it was.

It is part of the job's identity (lineage/images.py). On a machine without the images what was made from them still
counts: then the artifact's own manifest, or the index of what was shared, says which they were.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tesserae.config.errors import ConfigError
from tesserae.config.project import Project
from tesserae.lineage import images
from tesserae.lineage import manifest as manifests
from tesserae.workflow.graph.job import Job


def folder(project: Project, job: Job) -> Path | None:
    """Where a job's data set should lie; None for a job without one, or if `data.root` is not set."""
    root = project.settings.data.root
    return None if root is None or job.data is None else project.root / Path(root).expanduser() / job.data


def check(project: Project, jobs: Iterable[Job]) -> None:
    """ConfigError that names every real data set which `jobs` read and of which nothing is here."""
    read = [(job, folder(project, job)) for job in jobs if job.data is not None]
    missing = {job.data: place for job, place in read if place is None or not place.is_dir()}
    if missing:
        root = project.settings.data.root
        places = ", ".join(str(place or name) for name, place in missing.items())
        raise ConfigError(
            Path("config/config.yaml"),
            "data.root",
            f"a real data set is to be read, and there is no folder {places}",
            f"data.root (now {root or 'not set'}) is the folder above what config/datasets.yaml calls `root`: "
            f"{', '.join(missing)}; `tesserae data list` says which sets are there",
        )


def now(project: Project, job: Job) -> images.Set | None:
    """What lies there now; None where nothing does."""
    place = folder(project, job)
    memory = project.root / ".tesserae" / "data" / f"{Path(job.data or '').name}.hashes.json"
    return images.identity(place, memory) if place else None


def digest(project: Project, job: Job, made: Path, look: bool = True) -> str | None:
    """What stands for the images in a job's identity; None where nobody knows them.

    made: the artifact's folder below the project's. look: at the images, as far as they are here, before what is
    recorded of them.
    """
    if job.data is None:
        return None
    found = now(project, job) if look else None
    known = found["sha256"] if found else _recorded(project, job, made)
    return known if known or look else digest(project, job, made)


def _recorded(project: Project, job: Job, made: Path) -> str | None:
    manifest = project.root / made / manifests.NAME
    index = project.root / "lineage" / f"{project.scale.scale}.json"
    for file, entry in ((manifest, lambda record: record), (index, lambda record: record["artifacts"][job.id])):
        try:
            recorded = entry(json.loads(file.read_text(encoding="utf-8"))).get("data")
        except (FileNotFoundError, ValueError, KeyError, AttributeError):
            continue
        if recorded:
            return recorded["sha256"]
    return None
