"""Stage `generation_control`: FID, IS, precision and recall of what a generator has to beat, on the same tokens.

A normal distribution of a class's tokens, or the frequencies of its codes at each place, decoded by the tokenizer
that decodes the generator's samples, and measured as these are.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tesserae.controls.classwise import deviations, draw_marginals, draw_ragged_marginals, fit_gaussian
from tesserae.data.transforms import to_uint8
from tesserae.lineage.measures.images import Images
from tesserae.lineage.work import Work
from tesserae.quantizers.gaussian import GaussianPosterior
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.ragged_codes import RaggedCodes, open_ragged_codes
from tesserae.stages.shared.sampling import FINAL, labels_of, seeds_of
from tesserae.stages.shared.scoring import as_samples, of_samples, score
from tesserae.stages.shared.token_shards import Tokens, open_codes, open_tokens
from tesserae.training import weights

GAUSSIAN = {"control": "class-conditional Gaussian of the tokens, covariance shrunk towards that of all classes"}
MARGINALS = {"control": "class-conditional frequencies of the codes at each place"}
RAGGED_MARGINALS = {
    "control": "class-conditional frequencies of the codes at each place, in the places of an image of the class"
}
SHARED = 4  # images behind the covariance of all classes, for each value of an image's tokens

# (a class, a seed for each sample) -> tokens (B, N, C) or codes int64 (B, N)
Draw = Callable[[int, list[int]], Tensor]


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and preview.npy (K, S, S, 3) uint8."""
    spec, device, reference = work.spec, pick_device(work.device), work.inputs["reference"]
    count, model = spec["samples"], weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    labels = labels_of(count, spec["classes"], spec["labels"], spec["seed"])
    seeds = np.array(seeds_of(spec["seed"], FINAL, count))
    draw, sampler = _control(work, model)
    tokens = _drawn(draw, labels, seeds)
    images = None
    for part in slices(count, spec["batch"], work.title):
        decoded = to_uint8(model.decode(tokens[part].to(device)), mode=spec["rounding"]).cpu().numpy()
        if images is None:
            images = np.empty((count, *decoded.shape[1:]), np.uint8)
        images[part] = decoded
    numbers = of_samples(score(images, spec, device), reference, spec["neighbourhood"])
    measure = Images(
        **as_samples(spec, reference),
        weights="averaged",
        samples=count,
        rounding=spec["rounding"],
        labels=spec["labels"],
        sampler=sampler,
        seed=spec["seed"],
    )
    np.save(work.out / "preview.npy", images[: spec["shown"]])
    return write_numbers(work, numbers.values, measure, deviation=numbers.deviation)


def _control(work: Work, tokenizer: Any) -> tuple[Draw, dict[str, str]]:
    """What draws the control of the tokens that a job is given, and what it is."""
    if folders := work.shards("tokens"):
        return _gaussian(open_tokens(folders)), GAUSSIAN
    if folders := work.shards("codes"):
        return _marginals(open_codes(folders)), MARGINALS
    return _ragged_marginals(open_ragged_codes(work.shards("ragged_codes")), tokenizer.tokens), RAGGED_MARGINALS


def _drawn(draw: Draw, labels: np.ndarray, seeds: np.ndarray) -> Tensor:
    """Tokens of all samples in their order, drawn class by class."""
    tokens = None
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        found = draw(int(label), seeds[places].tolist())
        if tokens is None:
            tokens = found.new_empty((len(labels), *found.shape[1:]))
        tokens[torch.from_numpy(places)] = found
    return tokens


def _gaussian(tokens: Tokens) -> Draw:
    """Of the tokens that a generator learns: posteriors of images and of mirror images."""
    values = tokens.values[0].shape[2] * tokens.values[0].shape[3] // 2
    classes = np.unique(tokens.labels)
    each = max(1, -(-SHARED * values // (2 * len(classes))))  # images of a class
    shared = torch.cat([deviations(_posterior(tokens, label, each).mean.flatten(1)) for label in classes])

    def draw(label: int, seeds: list[int]) -> Tensor:
        posterior = _posterior(tokens, label)
        fitted = fit_gaussian(posterior.mean.flatten(1), posterior.logvar.exp().flatten(1), shared)
        return fitted.draw(seeds).unflatten(1, posterior.mean.shape[1:])

    return draw


def _posterior(tokens: Tokens, label: int, most: int | None = None) -> GaussianPosterior:
    """Of a class's images, or of so many spread evenly, and of their mirror images."""
    return GaussianPosterior.from_moments(tokens.at(*_both(_of_class(tokens, label, most))))


def _marginals(codes: Tokens) -> Draw:
    return lambda label, seeds: draw_marginals(codes.at(*_both(_of_class(codes, label))), seeds)


def _ragged_marginals(codes: RaggedCodes, length: int) -> Draw:
    return lambda label, seeds: draw_ragged_marginals(codes.rows(*_both(_of_class(codes, label)), length), seeds)


def _of_class(tokens: Tokens | RaggedCodes, label: int, most: int | None = None) -> np.ndarray:
    """Places of a class's images. ValueError if it has none: nothing can be known of it."""
    found = np.flatnonzero(tokens.labels == label)
    if not len(found):
        raise ValueError(f"class {label} has no training image, so that its tokens have no distribution")
    return found if most is None else found[np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)]


def _both(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each image as it is and mirrored, as `Tokens.at` is asked for them."""
    return np.repeat(chosen, 2), np.tile([0, 1], len(chosen))


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("generation_control")
