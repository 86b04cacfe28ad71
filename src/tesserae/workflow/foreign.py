"""Published weights are looked for before anything runs."""

import os
from collections.abc import Iterable
from pathlib import Path

from tesserae.config.errors import ConfigError
from tesserae.lineage.foreign import FOLDER_VARIABLE, weights_file
from tesserae.workflow.graph.job import Job


def published_weights(job: Job) -> Path | None:
    """The file of published weights that a job takes, if it does; ConfigError with the remedy if it is not there."""
    check([job])
    return job.weights and weights_file(job.weights)


def check(jobs: Iterable[Job]) -> None:
    """ConfigError that names all published weights which `jobs` take and which are not there."""
    missing = [job for job in jobs if job.weights and weights_file(job.weights) is None]
    if missing:
        folder = os.environ.get(FOLDER_VARIABLE)
        files = ", ".join(sorted({job.weights for job in missing}))
        raise ConfigError(
            missing[0].origins.get("official.file") or missing[0].id,
            "",
            f"not in the folder {folder}: {files}" if folder else f"{FOLDER_VARIABLE} is not set, to find {files}",
            f"put what is missing into a folder that {FOLDER_VARIABLE} names (docs/weights.md says where it is "
            "published), or train: `source: training`",
        )
