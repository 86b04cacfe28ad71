"""The validation images as codes of a job's tokenizer, and how good are images decoded from such codes after a change.

Shapes: M validation images of side S, N codes of each.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.transforms import to_uint8
from tesserae.lineage.measures.images import Images
from tesserae.lineage.work import Work
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.scoring import Numbers, as_reconstructions, of_reconstructions, score
from tesserae.training import weights


class Recoding:
    """Of one job, whose spec is that of `reconstruction`; codes wait on the CPU. For tokenizers without prompts."""

    def __init__(self, work: Work) -> None:
        self.work, self.device = work, pick_device(work.device)
        self.images = open_cache(work.inputs["dataset"], "val").images
        self.model: Any = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(self.device)

    def coded(self, encode: Callable[[Tensor], Tensor], title: str = "encoded") -> Tensor:
        """All images through `encode`, (B, 3, S, S) -> (B, N): int32 (M, N)."""
        parts = slices(len(self.images), self.work.spec["batch"], f"{self.work.title}: {title}")
        return torch.cat([encode(float_images(self.images[part], self.device)).int().cpu() for part in parts])

    def score(self, codes: Tensor, title: str) -> Numbers:
        """rFID, rIS and PSNR of what is decoded from codes (M, N)."""
        return self.measured(lambda part: self.model.decode(codes[part].long().to(self.device)), title)

    def measured(self, decoded_of: Callable[[slice], Tensor], title: str) -> Numbers:
        """The same of what the images of a slice are decoded to, (B, 3, S, S)."""
        spec, rebuilt, ratios = self.work.spec, np.empty_like(self.images), []
        for part in slices(len(self.images), spec["batch"], f"{self.work.title}: {title}"):
            decoded = decoded_of(part)
            ratios.append(psnr(float_images(self.images[part], self.device), decoded).cpu())
            rebuilt[part] = to_uint8(decoded, mode=spec["rounding"]).cpu().numpy()
        return of_reconstructions(score(rebuilt, spec, self.device), self.work.inputs["reference"], torch.cat(ratios))

    def measure(self, **more: Any) -> Images:
        """How these numbers are obtained, as of reconstructions."""
        shared = as_reconstructions(self.work.spec, self.work.inputs["dataset"], len(self.images))
        return Images(**shared, weights="averaged", latents="codes", **more)
