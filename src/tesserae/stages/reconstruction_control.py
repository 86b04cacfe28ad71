"""Stage `reconstruction_control`: rFID, rIS and PSNR of what a tokenizer has to beat, measured as reconstructions are.

A closed-form tokenizer that keeps as much of an image; the mean colour of each image; or the images themselves.
"""

from typing import Any

import numpy as np
import torch

from tesserae.controls.patches import MeanColour, PatchCoder, cut, fit_centres, fit_components, joined, kept
from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.transforms import to_uint8
from tesserae.lineage.measures.images import Images
from tesserae.lineage.work import Work
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.scoring import as_reconstructions, of_reconstructions, save_shown, score


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json (of real images without psnr) and images.npz. Learns from training images alone."""
    spec, device = work.spec, pick_device(work.device)
    images, kind = open_cache(work.inputs["dataset"], "val").images, spec["control"]["kind"]
    if kind == "real":
        rebuilt, ratios = np.array(images), None
    else:
        coder = _fitted(spec, open_cache(work.inputs["dataset"], "train").images, device)
        rebuilt, ratios = _rebuilt(work, images, coder, device)
    numbers = of_reconstructions(score(rebuilt, spec, device), work.inputs["reference"], ratios)
    if kind == "real":  # of its own reference a set has the distance 0, which no jackknife knows
        del numbers.deviation["rfid"]
    measure = Images(
        **as_reconstructions(spec, work.inputs["dataset"], len(images)),
        latents=kept(spec["control"]),
    )
    save_shown(work.out / "images.npz", images, rebuilt, spec["shown"])
    return write_numbers(work, numbers.values, measure, deviation=numbers.deviation)


def _fitted(spec: dict[str, Any], images: np.ndarray, device: torch.device) -> PatchCoder:
    control = spec["control"]
    if control["kind"] == "mean":
        return MeanColour()
    if control["kind"] == "components":
        return fit_components(images, control["grid"], control["components"], device)
    return fit_centres(images, control["grid"], control["centres"], spec["seed"], device)


def _rebuilt(
    work: Work, images: np.ndarray, coder: PatchCoder, device: torch.device
) -> tuple[np.ndarray, torch.Tensor]:
    """Images uint8 (N, S, S, 3) as the coder leaves them, and the PSNR of each, (N,)."""
    spec, grid = work.spec, work.spec["control"]["grid"]
    rebuilt, ratios = np.empty_like(images), []
    for part in slices(len(images), spec["batch"], work.title):
        decoded = joined(coder.rebuilt(cut(images[part], grid, device)), grid)
        ratios.append(psnr(float_images(images[part], device), decoded).cpu())
        rebuilt[part] = to_uint8(decoded, mode=spec["rounding"]).cpu().numpy()
    return rebuilt, torch.cat(ratios)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("reconstruction_control")
