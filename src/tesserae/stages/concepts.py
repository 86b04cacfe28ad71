"""Stage `concepts`: the concepts that a sparse autoencoder finds in each image of a data set."""

import numpy as np
import torch
from torch import Tensor

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.ragged import write_ragged
from tesserae.encoders.semantic import patch_features
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.progress import slices
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes {train,val}_indices.npy and {train,val}_offsets.npy (data/ragged.py), counts.npy and class_counts.npy.

    Rows of `train` are its M images as they are, then mirrored (2 M rows); those of `val` as they are. A row has up to
    `concepts` indices, strongest first. counts int64 (d_c,): train images, as they are, that have each concept;
    class_counts int64 (classes, d_c): the same by class.
    """
    # DECISION (D3): found once, on the two pictures that a training at this image size can see, not in each step.
    spec, device = work.spec, pick_device(work.device)
    model = weights.load(work.inputs["sae"] / "weights.safetensors").to(device)

    def sets(images: Tensor) -> np.ndarray:
        found = patch_features(spec["encoder"], images, spec["feature"], spec["side"])
        return model.concept_set(found, spec["concepts"]).cpu().numpy()

    for split, views in (("train", 2), ("val", 1)):
        data = open_cache(work.inputs["dataset"], split)
        count = len(data.images)
        padded = np.full((views, count, spec["concepts"]), -1, np.int32)
        for some in slices(count, spec["batch"], f"{work.title}: {split}"):
            images = float_images(data.images[some], device)
            for view in range(views):
                padded[view, some] = sets(images.flip(-1) if view else images)
        write_ragged(work.out, split, padded.reshape(views * count, spec["concepts"]))
        if split == "train":
            plain, labels, classes = padded[0], data.labels, len(data.class_names)
    image, _ = there = np.nonzero(plain >= 0)
    pairs = labels[image] * len(model.b_enc) + plain[there]  # class and concept as one number
    by_class = np.bincount(pairs, minlength=classes * len(model.b_enc)).reshape(classes, -1)
    counts = by_class.sum(0)
    np.save(work.out / "class_counts.npy", by_class)
    np.save(work.out / "counts.npy", counts)
    return {
        "images": len(plain),
        "concepts_per_image": len(image) / len(plain),
        "concepts_in_use": int((counts > 0).sum()),
        "most_frequent": float(counts.max() / len(plain)),
    }


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("concepts")
