"""Stage `neighbours`: which images are nearest by their tokens, and how often they show the same (COMiT, App. D)."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.targets import open_targets
from tesserae.lineage.measures.probe import Probe
from tesserae.lineage.work import Work
from tesserae.metrics.neighbours import agreement, agreement_by_chance, nearest
from tesserae.stages.shared.files import read_json
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.probing import check_same_images, stored

SEARCHED = 512  # images read at a time


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and neighbours.npz.

    metrics.json, in percent: `agreement`, neighbours with the image's own class; `chance`, of any other image.
    neighbours.npz: `images` uint8 (Q, 1 + k, S, S, 3), a query and its neighbours, Q = spec["shown"]; `labels` of them,
    int64 (Q, 1 + k); `nearest` int64 (V, k) of all validation images.
    """
    spec, targets = work.spec, open_targets(work.inputs["targets"])
    features = stored(work.inputs["probe_tokens"], "val")
    check_same_images(work, {"val": features}, targets)
    parts = [np.arange(start, min(start + SEARCHED, features.images)) for start in range(0, features.images, SEARCHED)]
    vectors = torch.cat([features.at(rows)[0].flatten(1) for rows in parts])  # what an image lacks is zero
    found, labels = nearest(vectors, spec["neighbours"]).numpy(), targets.val.answers
    queries = np.linspace(0, len(labels) - 1, min(spec["shown"], len(labels))).astype(int)
    shown = np.concatenate([queries[:, None], found[queries]], axis=1)
    images = open_cache(work.inputs["dataset"], "val").images
    np.savez(
        work.out / "neighbours.npz",
        images=np.stack([images[row] for row in shown]),
        labels=labels[shown],
        nearest=found,
    )
    chance = agreement_by_chance(labels)
    about = read_json(work.inputs["probe_tokens"] / "index.json")
    measure = Probe(
        probe=f"the {spec['neighbours']} nearest images by the cosine of all tokens",
        reference=f"{work.inputs['targets'].name} val",
        samples=len(labels),
        chance=f"{chance:.2f}",
        latents=about["latents"],
        weights="none are trained",
        prompt=about["prompt"],
    )
    return write_numbers(work, {"agreement": agreement(labels, found), "chance": chance}, measure)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("neighbours")
