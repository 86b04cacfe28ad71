"""What ConceptTok's figures of concepts share: reading, names, and what is said below.

What they draw is what stages left, by tokenizer label, once for each seed, never if a tokenizer was not run: arrays of
examples.npz or clusters.npz; and `numbers`, the metrics.json over its seeds (`reporting.seeds.over_seeds`), None if it
was not run. Pictures are of the first seed.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds
from tesserae.reporting.drawing import FigureError, left_out
from tesserae.reporting.figure_inputs import read

Arrays = Mapping[str, Sequence[Mapping[str, np.ndarray]]]
Numbers = Mapping[str, Mapping[str, Any] | None]

LEAKAGE = "the tokenizer reads the class prompt here as well"


def read_arrays(work: Work, role: str, file: str) -> dict[str, list[Any]]:
    """The arrays of the tokenizer in every row, once for each seed, by its label."""
    return {label: read(work, "tokenizers", role, row, file) for row, label in work.spec["rows"]}


def read_numbers(work: Work, role: str) -> dict[str, dict[str, Any] | None]:
    """And its numbers over all seeds."""
    found = read_arrays(work, role, "metrics.json")
    return {label: seeds.over_seeds(metrics) if metrics else None for label, metrics in found.items()}


def shared_by(
    tokenizers: Arrays, names: Sequence[str]
) -> tuple[dict[str, Mapping[str, np.ndarray]], Mapping[str, Any]]:
    """The first seed of each tokenizer that was run, and the first of these. FigureError if they differ in `names`."""
    found = {label: runs[0] for label, runs in tokenizers.items() if runs}
    if not found:
        raise FigureError("no tokenizer was run")
    label, first = next(iter(found.items()))
    for other, arrays in found.items():
        for name in names:
            if not np.array_equal(arrays[name], first[name]):
                raise FigureError(f"{name} of {other!r} are not those of {label!r}")
    return found, first


def heads_of(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """What concepts are called beside their rows: their number and, below, a name if there is one."""
    pairs = zip(arrays["concepts"].tolist(), arrays["names"].tolist(), strict=True)
    return ["\n".join([f"concept {number}", *textwrap.wrap(name, 24)]) for number, name in pairs]


def rounded(metrics: Mapping[str, Any], name: str) -> str:
    """A number in words, with its deviation over seeds if there are several."""
    spread = f" ± {metrics['sd'][name]:.2f}" if name in metrics["sd"] else ""
    return f"{metrics['values'][name]:.2f}{spread}"


def names_of(arrays: Mapping[str, np.ndarray]) -> str:
    """What the numbers and names of concepts mean, for the note below."""
    low, high = arrays["frequency"].min(), arrays["frequency"].max()
    return (
        "Numbers are of our autoencoder; names are what captions or classes of the shown images have in common. These "
        f"concepts are in the sets of {low:.1%} to {high:.1%} of the training images"
    )


def prompted_among(found: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """Whose pictures and numbers the class prompt has a part in."""
    prompted = [label for label, arrays in found.items() if arrays["prompted"]]
    return [f"{', '.join(prompted)}: {LEAKAGE}"] if prompted else []


def further_notes(reasons: Mapping[str, str], numbers: Numbers) -> list[str]:
    """The last sentences of the note: whose pictures these are, and what is not run."""
    several = any(metrics and metrics["seeds"] > 1 for metrics in numbers.values())
    notes = ["Pictures: first seed"] if several else []
    return (
        notes
        + ["The paper shows pictures and prints no number"]
        + ([f"Not run: {left_out(reasons)}"] if reasons else [])
    )
