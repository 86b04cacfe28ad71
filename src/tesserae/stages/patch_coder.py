"""Stage `patch_coder`: a closed-form tokenizer, fitted once to the images that trained ones learned from.

Domains are encoded with it as they are with those (`task_control`).
"""

import numpy as np
import torch

from tesserae.controls.patches import Centres, Components, fit_centres, fit_components
from tesserae.data.cache import open_cache
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device


def run(work: Work) -> dict[str, float]:
    """Writes coder.npz: the fields of `Components` or of `Centres` by their names, each an array."""
    control, device = work.spec["control"], pick_device(work.device)
    images = open_cache(work.inputs["dataset"], "train").images
    fitted: Components | Centres
    if control["kind"] == "components":
        fitted = fit_components(images, control["grid"], control["components"], device)
    else:
        fitted = fit_centres(images, control["grid"], control["centres"], work.spec["seed"], device)
    arrays = {name: torch.as_tensor(value).cpu().numpy() for name, value in fitted._asdict().items()}
    np.savez(work.out / "coder.npz", **arrays)
    return {"images": len(images)}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("patch_coder")
