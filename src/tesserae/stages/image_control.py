"""Stage `image_control`: validation images, or their mean colours, measured as if a generator had drawn them."""

import numpy as np
import torch

from tesserae.controls.patches import MeanColour, cut, joined
from tesserae.data.cache import open_cache
from tesserae.data.transforms import to_uint8
from tesserae.lineage.measures.images import Images
from tesserae.lineage.work import Work
from tesserae.metrics.fidelity import precision_recall
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.scoring import as_samples, of_samples, score

MEAN = {"control": "mean colours of validation images"}
# The reference of precision and recall is validation images themselves: those of real images are of training images.
REAL = {"control": "validation images; of precision and recall, training images"}


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json: fid, is, precision, recall of as many images as samples are drawn, if there are as many."""
    spec, device, reference = work.spec, pick_device(work.device), work.inputs["reference"]
    kind = spec["control"]["kind"]
    images = _spread(work, "val")
    if kind == "mean":
        images = _mean_colours(work, images, device)
    numbers = of_samples(score(images, spec, device), reference, spec["neighbourhood"])
    values = dict(numbers.values)
    if kind == "real":
        training = score(_spread(work, "train"), spec, device).features
        real = np.load(reference / "val_features.npy")
        values |= precision_recall(training, real, neighbourhood=spec["neighbourhood"])._asdict()
    measure = Images(
        **as_samples(spec, reference),
        samples=len(images),
        rounding=spec["rounding"],
        sampler=MEAN if kind == "mean" else REAL,
    )
    return write_numbers(work, values, measure, deviation=numbers.deviation)


def _spread(work: Work, split: str) -> np.ndarray:
    """As many images of a split as there are samples behind a number, or all; every class is there."""
    images = open_cache(work.inputs["dataset"], split).images
    return images[np.linspace(0, len(images) - 1, min(work.spec["images"], len(images))).astype(int)]


def _mean_colours(work: Work, images: np.ndarray, device: torch.device) -> np.ndarray:
    flat, coder = np.empty_like(images), MeanColour()
    for part in slices(len(images), work.spec["batch"], work.title):
        rebuilt = joined(coder.rebuilt(cut(images[part], 1, device)), 1)
        flat[part] = to_uint8(rebuilt, mode=work.spec["rounding"]).cpu().numpy()
    return flat


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("image_control")
