"""Stage `task_control`: what decoded images have to beat at a domain's task, scored as they are.

Originals, and what is left of them by their mean colour or by a closed-form tokenizer of as many numbers or bits, which
learned, as the tokenizer did, from images of another domain; and what is right without looking.
"""

import numpy as np
import torch

from tesserae.controls.patches import Centres, Components, MeanColour, PatchCoder, cut, joined, kept
from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.resizing import resized
from tesserae.data.transforms import to_uint8
from tesserae.lineage.work import Work
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.task_scoring import by_chance, distances, measure_of, open_domain_split, said_of, values_of
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json with the numbers of the stage `task_score`; by chance the task's alone, of originals no
    `psnr`, which is infinite.
    """
    spec, device, control = work.spec, pick_device(work.device), work.spec["control"]
    domain = open_domain_split(work.inputs["domain"], "val")
    if control["kind"] == "chance":
        train = open_domain_split(work.inputs["domain"], "train")
        values = values_of(by_chance(train.answers, domain.answers), domain.answers)
        return write_numbers(work, values, measure_of(work, latents="nothing: what is right without looking"))
    rebuilt, ratios = (np.array(domain.images), None) if control["kind"] == "real" else _rebuilt(work, device)
    network = weights.load(work.inputs["task_network"] / "weights.safetensors").to(device)
    values = values_of(said_of(network, rebuilt, domain.answers, spec["batch"], work.title), domain.answers)
    if ratios is not None:
        values["psnr"] = ratios.mean().item()
    found = distances(rebuilt, work, device)
    if control["kind"] == "real":  # its row is the paper's "Original Image", so it is measured as the others are
        del found.deviation["rfid"]  # of itself a set has the distance 0, which no jackknife knows
        return write_numbers(work, values | found.values, measure_of(work), deviation=found.deviation)
    measure = measure_of(work, latents=kept(control))
    return write_numbers(work, values | found.values, measure, deviation=found.deviation)


def _rebuilt(work: Work, device: torch.device) -> tuple[np.ndarray, torch.Tensor]:
    """Validation images uint8 (N, S, S, 3) as the control leaves them, and the PSNR of each (N,)."""
    spec, control = work.spec, work.spec["control"]
    images, grid = open_cache(work.inputs["domain"], "val").images, control["grid"]
    coder, rebuilt, ratios = _opened(work, device), np.empty_like(images), []
    for part in slices(len(images), spec["batch"], work.title):
        seen = resized(images[part], spec["side"])
        decoded = to_uint8(joined(coder.rebuilt(cut(seen, grid, device)), grid), mode=spec["rounding"])
        rebuilt[part] = resized(decoded.cpu().numpy(), images.shape[1])
        ratios.append(psnr(float_images(images[part], device), float_images(rebuilt[part], device)).cpu())
    return rebuilt, torch.cat(ratios)


def _opened(work: Work, device: torch.device) -> PatchCoder:
    """The control's coder: of a mean colour nothing is fitted."""
    if work.spec["control"]["kind"] == "mean":
        return MeanColour()
    with np.load(work.inputs["patch_coder"] / "coder.npz") as file:
        arrays = {name: torch.from_numpy(file[name]).to(device) for name in file.files}
    if "centres" in arrays:
        return Centres(**arrays)
    return Components(**arrays | {"discarded": float(arrays["discarded"])})


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("task_control")
