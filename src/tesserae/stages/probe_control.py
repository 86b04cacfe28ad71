"""Stage `probe_control`: what a probe on a tokenizer's tokens has to beat, asked and trained alike.

The same probe on closed-form tokens of as many bits (patches as k-means centres) or values (principal components of
patches): what the pixels say at that rate. A probe on shuffled labels would only say chance again, which stands beside
every number as a control of its own.
"""

from typing import Any

import numpy as np
import torch

from tesserae.controls.patches import Centres, cut, fit_centres, fit_components, kept, nearest
from tesserae.data.cache import open_cache
from tesserae.data.targets import open_targets
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.probing import Features, chance_of, measure_of, probed
from tesserae.stages.shared.progress import slices

NUMBERS = ("accuracy", "held_out")


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json with those numbers of the stage `probe` that have something to beat: accuracy, held_out."""
    control = work.spec["control"]
    if control["kind"] == "chance":
        targets = open_targets(work.inputs["targets"])
        values = dict.fromkeys(NUMBERS, chance_of(targets))
    else:
        found = probed(work, features_of(work)).values
        values = {name: found[name] for name in NUMBERS}
    return write_numbers(work, values, measure_of(work, described(control), "none"))


def features_of(work: Work) -> dict[str, Features]:
    """Closed-form tokens of both splits, fitted on images of training; standardised over them as one set of values."""
    control, device = work.spec["control"], pick_device(work.device)
    folder = work.inputs.get("scenes", work.inputs.get("dataset"))
    images = {split: open_cache(folder, split).images for split in ("train", "val")}
    grid = control["grid"]
    if control["kind"] == "centres":
        coder = fit_centres(images["train"], grid, control["centres"], work.spec["training"]["seed"], device)
        codes = {split: _codes(work, some, grid, coder, device) for split, some in images.items()}
        table = scaled(coder.centres.cpu())
        return {
            split: Features(len(some), lambda rows, some=some: (table[some[rows]], None))
            for split, some in codes.items()
        }
    found = fit_components(images["train"], grid, control["components"], device)
    kept = {
        split: torch.cat(
            [
                ((cut(some[part], grid, device) - found.mean) @ found.basis).half().cpu()
                for part in slices(len(some), 256, f"{work.title}: {split}")
            ]
        )
        for split, some in images.items()
    }
    deviation = kept["train"].float().flatten(0, 1).std(dim=0).clamp(min=1e-6)
    return {
        split: Features(len(some), lambda rows, some=some: (some[rows].float() / deviation, None))
        for split, some in kept.items()
    }


def scaled(centres: torch.Tensor) -> torch.Tensor:
    """Centres (V, D) about 0, with a mean square of 1."""
    centred = centres - centres.mean(dim=0)
    return centred / centred.square().mean().sqrt().clamp(min=1e-6)


def _codes(work: Work, images: np.ndarray, grid: int, coder: Centres, device: torch.device) -> torch.Tensor:
    """int32 (N, P): the centre nearest to each patch."""
    parts = slices(len(images), 256, f"{work.title}: encoded")
    return torch.cat([nearest(cut(images[part], grid, device), coder.centres).int().cpu() for part in parts])


def described(control: dict[str, Any]) -> str:
    """What stands for an image, in words."""
    if control["kind"] == "chance":
        return "nothing: what is right by chance"
    return f"the same probe on {kept(control)}"


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("probe_control")
