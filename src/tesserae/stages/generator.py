"""Stage `generator`: train one generator on a token cache, or take its published weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tesserae.contracts import check_generator
from tesserae.lineage.work import Work
from tesserae.quantizers.gaussian import GaussianPosterior
from tesserae.stages.shared.official import take_official
from tesserae.stages.shared.ragged_codes import open_ragged_codes
from tesserae.stages.shared.token_shards import open_codes, open_tokens, standardisation
from tesserae.stages.shared.training import new_network, run_training


def run(work: Work) -> dict[str, float]:
    """Writes weights.safetensors (averaged weights) and curves.jsonl (empty for published weights).

    Tokens are of the image or its mirror image (p = 0.5): posterior samples, standardised by channel (l-DeTok A.2), or
    the codes of a discrete tokenizer, as many as an image has.
    """
    if "official" in work.spec:
        return take_official(work, check_generator)
    ragged = bool(work.shards("ragged_codes"))
    opened = _ragged if ragged else _continuous if work.shards("tokens") else _discrete
    sample_tokens, labels = opened(work)
    model = new_network(work)
    check_generator(model)
    if ragged:
        _count_lengths(model, sample_tokens, labels, work.spec["model"]["classes"])

    def batch_of(chosen: np.ndarray, rng: torch.Generator) -> dict[str, Tensor]:
        mirrored = (torch.rand(len(chosen), generator=rng, device=rng.device) < 0.5).long().cpu().numpy()
        return {"tokens": sample_tokens(chosen, mirrored, rng), "labels": torch.from_numpy(labels[chosen])}

    return run_training(work, model, np.arange(len(labels)), batch_of).numbers


COUNTED = 4096  # images at a time

# (images, which are mirrored, rng) -> tokens (B, N, C) or codes int64 (B, N)
Draw = Callable[[np.ndarray, np.ndarray, torch.Generator], Tensor]


def _continuous(work: Work) -> tuple[Draw, np.ndarray]:
    """How tokens are drawn, and the labels of all images."""
    tokens = open_tokens(work.shards("tokens"))
    mean, std = standardisation(work.shards("tokens"))

    def draw(chosen: np.ndarray, mirrored: np.ndarray, rng: torch.Generator) -> Tensor:
        posterior = GaussianPosterior.from_moments(tokens.at(chosen, mirrored))
        return (posterior.sample(rng) - mean) / std

    return draw, tokens.labels


def _discrete(work: Work) -> tuple[Draw, np.ndarray]:
    codes = open_codes(work.shards("codes"))
    return lambda chosen, mirrored, rng: codes.at(chosen, mirrored).long(), codes.labels


def _ragged(work: Work) -> tuple[Draw, np.ndarray]:
    """Rows hold -1 where an image has no code."""
    codes, length = open_ragged_codes(work.shards("ragged_codes")), work.spec["model"]["token_length"]
    return lambda chosen, mirrored, rng: codes.rows(chosen, mirrored, length), codes.labels


def _count_lengths(model: Any, draw: Draw, labels: np.ndarray, classes: int) -> None:
    """Show the generator how long the sequences of all images and mirror images are, before it sees any of them.

    ValueError for classes without images: no length could be drawn for their samples.
    """
    if missing := sorted({*range(classes)} - {*labels.tolist()}):
        raise ValueError(
            f"no training images of the classes {missing} of {classes}, and lengths of samples are drawn from those of "
            "their class: add images of them, or leave the classes out of the data set"
        )
    unused = torch.Generator()
    for mirrored in (0, 1):
        for some in np.array_split(np.arange(len(labels)), -(-len(labels) // COUNTED)):
            rows = draw(some, np.full(len(some), mirrored), unused)
            model.count_lengths(rows, torch.from_numpy(labels[some]))


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("generator")
