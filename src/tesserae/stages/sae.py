"""Stage `sae`: train a sparse autoencoder on cached features, and measure it on images that it did not see."""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from tesserae.lineage.measures import features as measures
from tesserae.lineage.work import Work
from tesserae.metrics import sparse
from tesserae.stages.shared.feature_shards import Features, open_features
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.training import new_network, run_training

HELD_OUT = 50  # DECISION: every 50th image is for measuring; the paper holds none out
MEDIAN_TOKENS = 32_768  # DECISION (D16): tokens whose geometric median the decoder's bias starts from


def run(work: Work) -> dict[str, float]:
    """Writes weights.safetensors, curves.jsonl and metrics.json (with `histogram`, of how often latents fire)."""
    spec, training = work.spec, work.spec["training"]
    features = open_features(work.shards("semantic_features"))
    held, seen = held_out(len(features))
    model = new_network(work)
    model.init_bias(some_tokens(features, seen, training["seed"]))
    trained = run_training(work, model, seen, lambda chosen, rng: {"features": features.at(chosen)})
    if not trained.numbers:  # this process helped; the first one measures
        return {}
    model.load_state_dict(trained.weights)
    sums = measure(model.eval(), features, held, training["batch"], work.title, model.b_enc.device)
    values = sparse.numbers(sums)
    measured = measures.Features(
        **{name: spec[name] for name in ("encoder", "feature", "side")},
        shape="{} x {}".format(*features.parts[0].shape[1:]),
        samples=len(held),
        held_out=f"one of {HELD_OUT}",
        weights="averaged",
    )
    histogram = sparse.firing_histogram(sums.fired, sums.tokens)
    return write_numbers(work, values, measured, histogram=histogram)


def held_out(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images to measure on, from the last one back, and of the others: int64, ascending."""
    held = np.arange(count - 1, -1, -HELD_OUT)[::-1].copy()
    return held, np.setdiff1d(np.arange(count), held)


def some_tokens(features: Features, seen: np.ndarray, seed: int) -> Tensor:
    """About MEDIAN_TOKENS tokens (T, F) of images drawn from `seen`."""
    patches = features.parts[0].shape[1]
    chosen = np.random.default_rng(seed).permutation(seen)[: math.ceil(MEDIAN_TOKENS / patches)]
    return features.at(np.sort(chosen)).flatten(0, 1)[:MEDIAN_TOKENS].float()


@torch.inference_mode()
def measure(
    model: torch.nn.Module, features: Features, chosen: np.ndarray, batch: int, title: str, device: torch.device
) -> sparse.Sums:
    """The sums of metrics/sparse.py over the images `chosen`."""

    def of(some: slice) -> sparse.Sums:
        tokens = features.at(chosen[some]).to(device).flatten(0, 1).float()
        codes = model.encode(tokens)
        return sparse.sums_of(tokens, model.decode(codes), *codes, len(model.b_enc))

    return functools.reduce(sparse.add, map(of, slices(len(chosen), batch, f"{title}: held out")))


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("sae")
