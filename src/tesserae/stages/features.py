"""Stage `features`: a part of the samples through the extractor of a measure."""

import numpy as np

from tesserae.lineage.work import Work
from tesserae.metrics.features import default_layer, extract
from tesserae.stages.shared.common import pick_device


def run(work: Work) -> dict[str, int]:
    """Writes features.npy (N, D) and logits.npy (N, C), both float32, and preview.npy (K, S, S, 3) uint8."""
    spec = work.spec
    images = np.load(work.inputs["samples"] / "samples.npy", mmap_mode="r")[0]
    layer, classes = spec["layer"], default_layer(spec["extractor"], "isc")
    found = extract(
        images,
        spec["extractor"],
        [layer, classes],
        batch_size=spec["batch"],
        device=pick_device(work.device),
        side=spec.get("measured_at"),
    )
    np.save(work.out / "features.npy", found[layer].numpy())
    np.save(work.out / "logits.npy", found[classes].numpy())
    np.save(work.out / "preview.npy", images[: spec["shown"]])
    return {"images": len(images)}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("features")
