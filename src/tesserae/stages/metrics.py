"""Stage `metrics`: FID, inception score, precision and recall of one set of samples."""

import numpy as np
import torch

from tesserae.lineage.measures.base import CHOSEN
from tesserae.lineage.measures.images import Images
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import same_whole
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.scoring import as_samples, of_samples, scored


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json (values, how they were measured, what was selected) and preview.npy (K, S, S, 3) uint8.

    Raises ValueError if the parts of the samples are not the whole, or not drawn alike.
    """
    spec, reference = work.spec, work.inputs["reference"]
    parts = [np.load(folder / "features.npy") for folder in work.shards("features")]
    index = same_whole(work.shards("samples"), list(map(len, parts)))
    features = np.concatenate(parts)
    logits, preview = (
        np.concatenate([np.load(folder / name) for folder in work.shards("features")])
        for name in ("logits.npy", "preview.npy")
    )
    found = scored(torch.from_numpy(features), torch.from_numpy(logits), spec["splits"])
    numbers = of_samples(found, reference, spec["neighbourhood"])
    chosen = {key: index[key] for key in CHOSEN if index[key] is not None}
    measure = Images(
        **as_samples(spec, reference),
        weights="averaged",
        **{key: index[key] for key in ("samples", "rounding", "labels", "sampler", "seed", "selection")},
        **chosen,
    )
    np.save(work.out / "preview.npy", preview[: spec["shown"]])
    selection = index["selection"] and {**chosen, **index["selection"]}
    return write_numbers(work, numbers.values, measure, deviation=numbers.deviation, selection=selection)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("metrics")
