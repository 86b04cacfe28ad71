"""Stage `phrases`: a vector of a frozen text encoder for each name and predicate of relations (COMiT, App. B.2)."""

import numpy as np

from tesserae.data.targets import open_targets
from tesserae.encoders.phrases import phrase_features
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device


def run(work: Work) -> dict[str, int]:
    """Writes phrases.npy, float32 (names + predicates, W): names first. ValueError if two phrases become one."""
    targets = open_targets(work.inputs["targets"])
    texts = [*targets.names, *targets.predicates]
    if not targets.predicates:
        raise ValueError(f"{work.inputs['targets']} is of {targets.task}: there is nothing to read")
    features = phrase_features(work.spec["encoder"], texts, device=pick_device(work.device)).cpu().numpy()
    if len(np.unique(features, axis=0)) < len({*texts}):
        raise ValueError(f"{work.spec['encoder']} does not tell {len({*texts})} phrases apart")
    np.save(work.out / "phrases.npy", features.astype(np.float32))
    return {"phrases": len(texts), "width": features.shape[1]}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("phrases")
