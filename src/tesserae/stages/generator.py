"""Stage `generator`: train one generator on a token cache, or take its published weights."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tesserae.contracts import check_generator
from tesserae.lineage.work import Work
from tesserae.quantizers.gaussian import GaussianPosterior
from tesserae.stages.shared.official import take_official
from tesserae.stages.shared.token_shards import open_codes, open_tokens, standardisation
from tesserae.stages.shared.training import new_network, run_training


def run(work: Work) -> dict[str, float]:
    """Writes weights.safetensors (averaged weights) and curves.jsonl (empty for published weights).

    Tokens are of the image or its mirror image (p = 0.5): posterior samples, standardised by channel (l-DeTok A.2), or
    the codes of a discrete tokenizer.
    """
    if "official" in work.spec:
        return take_official(work, check_generator)
    sample_tokens, labels = _continuous(work) if work.shards("tokens") else _discrete(work)
    model = new_network(work)
    check_generator(model)

    def batch_of(chosen: np.ndarray, rng: torch.Generator) -> dict[str, Tensor]:
        mirrored = (torch.rand(len(chosen), generator=rng, device=rng.device) < 0.5).long().cpu().numpy()
        return {"tokens": sample_tokens(chosen, mirrored, rng), "labels": torch.from_numpy(labels[chosen])}

    return run_training(work, model, np.arange(len(labels)), batch_of).numbers


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


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("generator")
