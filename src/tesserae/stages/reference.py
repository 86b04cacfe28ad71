"""Stage `reference`: statistics of real images, computed once and used by every number against them."""

import numpy as np

from tesserae.data.cache import open_cache
from tesserae.lineage.work import Work
from tesserae.metrics.features import extract
from tesserae.metrics.fidelity import statistics
from tesserae.stages.shared.common import pick_device


def run(work: Work) -> dict[str, int]:
    """Writes train.npz (FID of samples), val.npz (FID of reconstructions), val_features.npy (precision, recall)."""
    spec, folder = work.spec, work.inputs["dataset"]
    counts = {}
    for split in ("train", "val"):
        images = open_cache(folder, split).images
        if split == "train" and spec["reference_samples"] is not None:
            images = images[spread(len(images), spec["reference_samples"])]
        features = extract(
            images,
            spec["extractor"],
            [spec["layer"]],
            batch_size=spec["batch"],
            device=pick_device(work.device),
            side=spec.get("measured_at"),
        )[spec["layer"]]
        statistics(features).save(work.out / f"{split}.npz")
        counts[f"{split}_images"] = len(images)
    # Spread over the whole split, so that every class is there.
    chosen = np.linspace(0, len(features) - 1, min(spec["precision_recall_reference"], len(features))).astype(int)
    np.save(work.out / "val_features.npy", np.asarray(features)[chosen])
    return counts


def spread(count: int, wanted: int) -> np.ndarray:
    """Positions of `wanted` of `count` images, spread over all of them; none twice, so ValueError if there are less."""
    if wanted > count:
        raise ValueError(
            f"evaluation.reference_samples is {wanted:,}, but there are {count:,} training images: set it to null "
            "(all of them) in the scale's file, or to a smaller number"
        )
    return np.linspace(0, count - 1, wanted).astype(int)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("reference")
