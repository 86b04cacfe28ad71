"""What the trainings with several seeds are called. The seed stays the last part of a name."""

import re
from collections.abc import Sequence

UNSEEDED = ("sizes/", "settings/", "sae/")  # what no seed changes: it exists once


def of_seed(name: str, seed: int) -> str:
    """The name of what the training with the `seed`-th seed (from 1) leaves."""
    return name if seed == 1 else f"{name}.seed{seed}"


def seed_of(name: str) -> tuple[str, int]:
    """The name of the first seed's, and the seed: what `of_seed` was given."""
    found = re.fullmatch(r"(.+)\.seed(\d+)(-\d+of\d+)?", name)  # a part's number comes last of all
    return (found[1] + (found[3] or ""), int(found[2])) if found else (name, 1)


def of_seeds(artifact: str, seeds: Sequence[int]) -> list[str]:
    """The ids of an artifact for each of the seeds; one id for what no seed changes."""
    return [artifact] if artifact.startswith(UNSEEDED) else [of_seed(artifact, seed) for seed in seeds]
