"""Stage `metrics`: FID, inception score, precision and recall of one set of samples."""

import numpy as np

from tesserae.lineage import fingerprint
from tesserae.lineage.work import Work
from tesserae.metrics.fidelity import Statistics, fid, precision_recall
from tesserae.stages.common import pick_device, read_json, write_json
from tesserae.stages.scoring import score


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json (values, how they were measured, what was selected) and preview.npy (K, S, S, 3) uint8."""
    spec, folder, reference = work.spec, work.inputs["samples"], work.inputs["reference"]
    index, images = read_json(folder / "index.json"), np.load(folder / "samples.npy", mmap_mode="r")[0]
    scored = score(images, spec, pick_device(work.device))
    precision, recall = precision_recall(
        scored.features, np.load(reference / "val_features.npy"), neighbourhood=spec["neighbourhood"]
    )
    values = {
        "fid": fid(scored.statistics, Statistics.load(reference / "train.npz")),
        "is": scored.inception.mean,
        "precision": precision,
        "recall": recall,
    }
    policy = {
        "extractor": spec["extractor"],
        "layer": spec["layer"],
        "reference": f"{reference.name} train",
        "precision_recall_reference": f"{reference.name} val",
        "neighbourhood": spec["neighbourhood"],
        "splits": spec["splits"],
        "labels": "cycled",
        "weights": "averaged",
        **{key: index[key] for key in ("samples", "quantisation", "sampler", "seed", "selection")},
    }
    # What a search selects differs from cell to cell by design; how it selects must not.
    chosen = {key: index[key] for key in ("guidance", "temperature") if index[key] is not None}
    write_json(
        work.out / "metrics.json",
        {
            "values": values,
            "deviation": {"is": scored.inception.std},
            "measure": {**policy, **chosen},
            "measure_id": fingerprint.digest(policy),
            "selection": index["selection"] and {**chosen, **index["selection"]},
        },
    )
    np.save(work.out / "preview.npy", images[: spec["shown"]])
    return values


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("metrics")
