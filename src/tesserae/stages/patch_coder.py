"""Stage `patch_coder`: a closed-form tokenizer, fitted once to the images that trained ones learned from.

Domains are encoded with it as they are with those (`task_control`).
"""

import numpy as np

from tesserae.controls.patches import Centres, Components, fit_centres, fit_components
from tesserae.data.cache import open_cache
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device


def run(work: Work) -> dict[str, float]:
    """Writes coder.npz: `mean` (D,) and `basis` (D, K) of principal components, or `centres` (V, D) of k-means."""
    control, device = work.spec["control"], pick_device(work.device)
    images = open_cache(work.inputs["dataset"], "train").images
    fitted: Components | Centres
    if control["kind"] == "components":
        fitted = fit_components(images, control["grid"], control["components"], device)
        arrays = {"mean": fitted.mean, "basis": fitted.basis}
    else:
        fitted = fit_centres(images, control["grid"], control["centres"], work.spec["seed"], device)
        arrays = {"centres": fitted.centres}
    np.savez(work.out / "coder.npz", **{name: tensor.cpu().numpy() for name, tensor in arrays.items()})
    return {"images": len(images)}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("patch_coder")
