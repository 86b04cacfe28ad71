"""Stage `prompts`: text features of one prompt for each class, computed once and looked up by label in training."""

import numpy as np
import torch

from tesserae.data.cache import read_index
from tesserae.encoders.text import text_features
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.files import write_json
from tesserae.stages.shared.progress import slices

CONSTANT = "thing"  # stands in every image's prompt in one of the leakage controls


def run(work: Work) -> dict[str, int]:
    """Writes features.npy (C + 1, T, W) float16, its last row that of the constant prompt, and prompts.json, the texts.

    C classes of the data set, T = spec["tokens"]. Raises ValueError for a set without classes, and if two prompts that
    differ become one: T is too small for them then.
    """
    spec = work.spec
    names = read_index(work.inputs["dataset"])["class_names"]
    if not names:
        raise ValueError(f"{work.inputs['dataset']}: a set without classes has no prompts")
    prompts = [spec["template"].format(name) for name in (*names, CONSTANT)]
    device = pick_device(work.device)
    features = torch.cat(
        [
            text_features(spec["encoder"], prompts[part], tokens=spec["tokens"], device=device).half().cpu()
            for part in slices(len(prompts), spec["batch"], "prompts")
        ]
    ).numpy()
    if len({row.tobytes() for row in features}) < len(set(prompts)):
        raise ValueError(f"{spec['tokens']} tokens cut prompts down to the same words: set more")
    np.save(work.out / "features.npy", features)
    write_json(work.out / "prompts.json", prompts)
    return {"prompts": len(prompts)}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("prompts")
