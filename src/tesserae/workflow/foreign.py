"""Published weights are looked for before anything runs."""

import os
from collections.abc import Iterable
from pathlib import Path

from tesserae.config.errors import ConfigError
from tesserae.lineage.foreign import FOLDER_VARIABLE, weights_file
from tesserae.workflow.graph import Job


def published_weights(job: Job) -> Path | None:
    """The file of published weights that a job takes, if it does; ConfigError with the remedy if it is not there."""
    if job.weights is None:
        return None
    path, folder = weights_file(job.weights), os.environ.get(FOLDER_VARIABLE)
    if path is None:
        raise ConfigError(
            job.origins.get("official.file") or job.id,
            "",
            f"{job.weights} is not in the folder {folder}" if folder else f"{FOLDER_VARIABLE} is not set",
            f"put {job.weights} there and set {FOLDER_VARIABLE} to its folder, or train: `source: training`",
        )
    return path


def check(jobs: Iterable[Job]) -> None:
    """ConfigError for the first of `jobs` whose published weights are not there."""
    for job in jobs:
        published_weights(job)
