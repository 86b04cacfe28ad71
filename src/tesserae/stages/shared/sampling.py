"""Labels and seeds in, tokens or uint8 images out: what sampling stages share. Each sample has its own randomness."""

import importlib
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tesserae.data.transforms import to_uint8
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device, shard_of
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.token_shards import standardisation
from tesserae.training import weights

FINAL, SEARCH, LABELS, SPREAD = range(
    4
)  # streams of random numbers: a search must not see the samples that are reported


class Drawer(NamedTuple):
    """A generator with the decoder of its tokens; `mean` and `std` of tokens that are standardised, not of codes."""

    sampler: Any
    settings: dict[str, Any]
    generator: torch.nn.Module
    tokenizer: torch.nn.Module
    mean: Tensor | None
    std: Tensor | None
    device: torch.device

    def tokens(self, labels: Tensor, seeds: list[int], **point: Any) -> Tensor:
        """As the tokenizer decodes them, for labels (B,). `point`: what the settings leave open, such as guidance."""
        tokens = self.sampler.sample(self.generator, labels, seeds=seeds, **self.settings, **point)
        return tokens if self.mean is None else tokens * self.std + self.mean

    @torch.inference_mode()
    def draw(
        self, labels: np.ndarray, seeds: list[int], guidance: float, temperature: float | None, rounding: str
    ) -> np.ndarray:
        """Images uint8 (B, S, S, 3) for labels (B,)."""
        point = {"guidance": guidance} | ({} if temperature is None else {"temperature": temperature})
        tokens = self.tokens(torch.from_numpy(labels).to(self.device), seeds, **point)
        return to_uint8(self.tokenizer.decode(tokens), mode=rounding).cpu().numpy()


def open_drawer(work: Work, sampler: dict[str, Any], owner: str = "") -> Drawer:
    """The models among a job's inputs, and the sampler of its spec: `module` and how it draws.

    `owner` comes before the roles of the inputs, "own_" for own_generator, where a job has several of each.
    """
    device = pick_device(work.device)
    settings = dict(sampler)
    module = importlib.import_module(settings.pop("module"))
    models = [
        weights.load(work.inputs[f"{owner}{part}"] / "weights.safetensors").to(device)
        for part in ("generator", "tokenizer")
    ]
    mean = std = None
    if shards := work.shards(f"{owner}tokens"):
        mean, std = (found.to(device) for found in standardisation(shards))
    return Drawer(module, settings, *models, mean, std, device)


def labels_of(count: int, classes: int, how: str, seed: int) -> np.ndarray:
    """Class labels, int64 (count,).

    "cycled": 0 ... classes - 1 in turn, so that every class is equally often there (l-DeTok, official code); "random":
    drawn uniformly (GigaTok's official code, which ConceptTok follows).
    """
    if how == "cycled":
        return np.arange(count, dtype=np.int64) % classes
    if how == "random":
        return np.random.default_rng([seed, LABELS]).integers(classes, size=count)
    raise ValueError(f"labels are cycled or random, not {how!r}")


def seeds_of(seed: int, stream: int, count: int) -> list[int]:
    """One seed per sample; streams do not overlap."""
    return np.random.SeedSequence([seed, stream]).generate_state(count, np.uint64).astype(np.int64).tolist()


def draw_all(work: Work, points: list[dict[str, Any]], *, count: int, stream: int) -> np.ndarray:
    """Draw this job's part of `count` samples at each of P points (guidance, temperature); their labels, int64 (N,).

    Writes samples.npy (P, N, S, S, 3) uint8. Label and seed of a sample follow from its place among all, so that no
    sample depends on parts or batches.
    """
    spec, drawer = work.spec, open_drawer(work, work.spec["sampler"])
    mine = shard_of(count, spec)
    labels = labels_of(count, spec["classes"], spec["labels"], spec["seed"])[mine.start : mine.stop]
    seeds = seeds_of(spec["seed"], stream, count)[mine.start : mine.stop]
    images = None
    for number, point in enumerate(points):
        for some in slices(len(labels), spec["batch"], f"{work.title} {number + 1}/{len(points)}"):
            decoded = drawer.draw(labels[some], seeds[some], point["guidance"], point["temperature"], spec["rounding"])
            if images is None:
                shape = (len(points), len(labels), *decoded.shape[1:])
                images = np.lib.format.open_memmap(work.out / "samples.npy", "w+", np.uint8, shape)
            images[number, some] = decoded
    images.flush()
    return labels
