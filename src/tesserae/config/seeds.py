"""What the trainings with several seeds are called. The seed stays the last part of a name."""

import re
from collections.abc import Sequence


def of_seed(name: str, seed: int) -> str:
    """The name of what the training with the `seed`-th seed (from 1) leaves."""
    return name if seed == 1 else f"{name}.seed{seed}"


def seed_of(name: str) -> tuple[str, int]:
    """The name of the first seed's, and the seed: what `of_seed` was given."""
    found = re.fullmatch(r"(.+)\.seed(\d+)(-\d+of\d+)?", name)  # a part's number comes last of all
    return (found[1] + (found[3] or ""), int(found[2])) if found else (name, 1)


def of_seeds(artifact: str, seeds: Sequence[int]) -> list[str]:
    """The ids of an artifact that is made once for each of the seeds."""
    return [of_seed(artifact, seed) for seed in seeds]
