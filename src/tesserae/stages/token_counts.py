"""Stage `token_counts`: how many tokens images take, what those cost, and whether images with more to say take more."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tesserae import bits
from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.lineage.measures.lengths import Lengths
from tesserae.lineage.work import Work
from tesserae.metrics.codebook import perplexity, usage
from tesserae.metrics.lengths import jpeg_bytes, rank_correlation
from tesserae.metrics.places import edge_shares
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.side_inputs import open_prompts
from tesserae.stages.shared.tokenizers import (
    codebooks_of,
    decode,
    encode,
    filters_patches,
    grid_of,
    is_discrete,
    kept_of,
    lengths_of,
)
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and lengths.npy, int64 (M,), of the M validation images.

    metrics.json: mean, standard deviation, smallest and largest number of tokens; `ratio`, how many times as many
    patches the image has at the side at which it is measured, of the spec's `patch_size`; where lengths differ their
    rank correlation with the size of the image as a JPEG file, and with the error of its reconstruction (minus PSNR).

    Of codes also the bits of an image on average, all that a decoder has to be told, and their parts; share and
    perplexity of each codebook in use; the bits of as many codes as an image can have, and R(D0) of its pixels as
    independent Gaussians, D0 being the error of these reconstructions. Of a tokenizer that filters patches the rank
    correlation of their number with the sum of all scores, and how many percent of them lie at the grid's edges.
    """
    spec, device = work.spec, pick_device(work.device)
    data, prompts = open_cache(work.inputs["dataset"], "val"), open_prompts(work)
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    lengths, ratios, sizes, contents = [], [], [], []
    seen = _Seen(model) if is_discrete(model) else None
    for part in slices(len(data.images), spec["batch"], work.title):
        original, text = float_images(data.images[part], device), None
        if prompts is not None:
            text = prompts.of(torch.from_numpy(np.array(data.labels[part]))).to(device)
        tokens = encode(model, original, text)
        lengths.append(lengths_of(model, tokens).cpu().numpy())
        ratios.append(psnr(original, decode(model, tokens, text)).cpu().numpy())
        sizes.append(jpeg_bytes(data.images[part]))
        if seen is not None:
            seen.add(tokens)
        if filters_patches(model):
            contents.append(model.scores(original).sum(dim=1).cpu().numpy())
    count, ratio = np.concatenate(lengths), np.concatenate(ratios)
    np.save(work.out / "lengths.npy", count)
    values = {"tokens": count.mean(), "tokens_sd": count.std(), "fewest": count.min(), "most": count.max()}
    side = spec.get("measured_at", data.images.shape[1])
    values |= {
        "ratio": (side // spec["patch_size"]) ** 2 / count.mean(),
        "content_correlation": rank_correlation(count, np.concatenate(sizes)),
        "error_correlation": rank_correlation(count, -ratio),
    }
    if contents:
        values["score_correlation"] = rank_correlation(count, np.concatenate(contents))
    if seen is not None:
        distortion = np.power(10, -ratio / 10).mean()  # squared error in [0, 1], as are pixels below
        values |= bits_of(model, count) | seen.numbers()
        if distortion > 0:
            values["gaussian_bits"] = bits.of_gaussians(data.images[0].size, _variance(data.images), distortion)
    measure = Lengths(
        reference=f"{work.inputs['dataset'].name} val",
        samples=len(count),
        weights="averaged",
        prompt="none" if prompts is None else "given",
    )
    return write_numbers(work, {name: float(x) for name, x in values.items() if x is not None}, measure)


def bits_of(model: Any, lengths: np.ndarray) -> dict[str, float]:
    """Bits of an image on average over those with so many codes (M,), their parts, and `most_bits` that codes can have.

    `length_bits` and `place_bits` are there only where images differ in how many they have, and where a place tells
    something.
    """
    parts = {"code_bits": bits.of_codes(lengths.mean(), model.vocabulary)}
    if lengths.min() < model.tokens:
        places = model.places if filters_patches(model) else 0
        parts["length_bits"] = bits.of_length(places or model.tokens)
        if places:
            each, images = np.unique(lengths - (model.tokens - places), return_counts=True)
            placed = np.array([bits.of_places(places, int(taken)) for taken in each])
            parts["place_bits"] = float((placed * images).sum() / images.sum())
    return {"bits": sum(parts.values()), **parts, "most_bits": bits.of_codes(model.tokens, model.vocabulary)}


def _variance(images: np.ndarray) -> float:
    """Of all values of images uint8 (M, H, W, 3), read as value / 255."""
    counts = np.zeros(256, np.int64)
    for image in images:
        counts += np.bincount(image.ravel(), minlength=256)
    levels = np.arange(256) / 255
    mean = (counts * levels).sum() / counts.sum()
    return float((counts * (levels - mean) ** 2).sum() / counts.sum())


class _Seen:
    """Of a tokenizer of codes: how often each code of each codebook occurs, and each patch of a grid is kept."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.counts = {name: np.zeros(model.vocabulary, np.int64) for name in codebooks_of(model)}
        self.kept = np.zeros((grid_of(model), grid_of(model)), np.int64) if filters_patches(model) else None

    def add(self, codes: Tensor) -> None:
        """Of rows (B, N)."""
        for name, part in codebooks_of(self.model).items():
            there = codes[:, part][codes[:, part] >= 0].cpu().numpy()
            self.counts[name] += np.bincount(there, minlength=self.model.vocabulary)
        if self.kept is not None:
            self.kept += kept_of(self.model, codes).sum(dim=0).cpu().numpy().reshape(self.kept.shape)

    def numbers(self) -> dict[str, float]:
        """Usage, in percent, and perplexity by codebook, and the shares of kept patches at the edges."""
        found = {}
        for name, counts in self.counts.items():
            before = f"{name}_" if name else ""
            found |= {f"{before}usage": 100 * usage(counts), f"{before}perplexity": perplexity(counts)}
        return found if self.kept is None else found | edge_shares(self.kept)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("token_counts")
