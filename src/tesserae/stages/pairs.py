"""Stage `pairs`: similar images of a data set, between whose tokens MC walks (CompTok, Sec. 3.2.1)."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.encoders.pooled import pooled_features
from tesserae.lineage.work import Work
from tesserae.metrics.mode_connectivity import first_of_classes, similar_pairs
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.progress import slices


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes pairs.npz and features.npy.

    pairs.npz, P pairs of validation images, two of each anchor: `first`, `second` int64 (P,); `same_class` bool (P,),
    where the spec says that there are classes: the nearest image of the same class, and that of another one. Else the
    two nearest ones. `cosines` float32 (P,) of their features. The same picture is nobody's neighbour.

    features.npy: float16 (N, F) of all validation images, by the spec's `encoder`.

    ValueError for a set with fewer than two classes where there should be some, or fewer than three images.
    """
    spec, device = work.spec, pick_device(work.device)
    data = open_cache(work.inputs["dataset"], "val")
    found = [
        pooled_features(spec["encoder"], float_images(data.images[part], device)).cpu()
        for part in slices(len(data.images), spec["batch"], work.title)
    ]
    features = torch.cat(found).numpy()
    labels = np.array(data.labels)
    if spec["classes"] and len(np.unique(labels[labels >= 0])) < 2:
        raise ValueError(
            f"{work.inputs['dataset'].name} shows fewer than two classes among its {len(labels)} validation images: MC "
            "needs neighbours of the same and of another class; name another data set for measures.learnability.data"
        )
    anchors = first_of_classes(labels, spec["anchors"])
    pairs = similar_pairs(features, labels if spec["classes"] else None, anchors)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(min=1e-12)
    arrays = {"first": pairs.first, "second": pairs.second}
    arrays["cosines"] = (unit[pairs.first] * unit[pairs.second]).sum(axis=1).astype(np.float32)
    if pairs.same_class is not None:
        arrays["same_class"] = pairs.same_class
    np.savez(work.out / "pairs.npz", **arrays)
    np.save(work.out / "features.npy", features.astype(np.float16))
    return {"pairs": len(pairs.first), "anchors": len(anchors), "cosine": float(arrays["cosines"].mean())}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("pairs")
