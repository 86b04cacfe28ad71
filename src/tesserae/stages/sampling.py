"""Labels and seeds in, uint8 images out: what the two sampling stages share. Each sample has its own random stream."""

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from tesserae.data.transforms import to_uint8
from tesserae.lineage.work import Work
from tesserae.stages.common import pick_device, slices
from tesserae.training import weights

FINAL, SEARCH = 0, 1  # streams of random numbers: a search must not see the samples that are reported


class Drawer(NamedTuple):
    """A generator with the decoder of its tokens."""

    sampler: Any
    settings: dict[str, Any]
    generator: torch.nn.Module
    tokenizer: torch.nn.Module
    mean: torch.Tensor
    std: torch.Tensor
    device: torch.device

    @torch.inference_mode()
    def draw(
        self, labels: np.ndarray, seeds: list[int], guidance: float, temperature: float | None, quantisation: str
    ) -> np.ndarray:
        """Images uint8 (B, S, S, 3) for labels (B,)."""
        chosen = {} if temperature is None else {"temperature": temperature}
        tokens = self.sampler.sample(
            self.generator,
            torch.from_numpy(labels).to(self.device),
            seeds=seeds,
            guidance=guidance,
            **self.settings,
            **chosen,
        )
        return to_uint8(self.tokenizer.decode(tokens * self.std + self.mean), mode=quantisation).cpu().numpy()


def open_drawer(work: Work) -> Drawer:
    """The models and the sampler that a sampling stage's spec and inputs name."""
    device = pick_device(work.device)
    settings = dict(work.spec["sampler"])
    sampler = importlib.import_module(settings.pop("module"))
    statistics = np.load(work.inputs["tokens"] / "statistics.npz")
    mean, std = (torch.from_numpy(statistics[name]).to(device) for name in ("mean", "std"))
    models = [weights.load(work.inputs[role] / "weights.safetensors").to(device) for role in ("generator", "tokenizer")]
    return Drawer(sampler, settings, *models, mean, std, device)


def labels_of(count: int, classes: int) -> np.ndarray:
    """Class labels cycled 0 ... classes - 1, so that every class is equally often there (l-DeTok, official code)."""
    return np.arange(count, dtype=np.int64) % classes


def seeds_of(seed: int, stream: int, count: int) -> list[int]:
    """One seed per sample; streams do not overlap."""
    return np.random.SeedSequence([seed, stream]).generate_state(count, np.uint64).astype(np.int64).tolist()


def draw_all(
    drawer: Drawer,
    file: Path,
    labels: np.ndarray,
    seeds: list[int],
    points: list[dict[str, Any]],
    batch: int,
    quantisation: str,
    title: str,
) -> tuple[int, ...]:
    """Draw every label at every point (guidance, temperature) into a .npy of (P, N, S, S, 3) uint8; its shape."""
    images = None
    for number, point in enumerate(points):
        for part in slices(len(labels), batch, f"{title} {number + 1}/{len(points)}"):
            drawn = drawer.draw(labels[part], seeds[part], point["guidance"], point["temperature"], quantisation)
            if images is None:
                shape = (len(points), len(labels), *drawn.shape[1:])
                images = np.lib.format.open_memmap(file, "w+", np.uint8, shape)
            images[number, part] = drawn
    images.flush()
    return images.shape
