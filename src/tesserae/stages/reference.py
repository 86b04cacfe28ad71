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
            images = images[np.linspace(0, len(images) - 1, spec["reference_samples"]).astype(int)]
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


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("reference")
