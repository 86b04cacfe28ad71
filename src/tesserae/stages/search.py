"""Stage `search`: FID and IS at every point of a sweep, and which point is the best: with guidance, without, of all."""

import numpy as np

from tesserae.lineage.measures.images import Images
from tesserae.lineage.work import Work
from tesserae.metrics.fidelity import Statistics, fid
from tesserae.stages.shared.common import pick_device, same_whole
from tesserae.stages.shared.files import write_json
from tesserae.stages.shared.scoring import score

STATISTIC = "fid"  # the lowest is selected


def run(work: Work) -> dict[str, float]:
    """Writes search.json: the whole sweep, and the selection of each kind of column."""
    spec, folders = work.spec, work.shards("search_samples")
    parts = [np.load(folder / "samples.npy", mmap_mode="r") for folder in folders]
    index = same_whole(folders, [part.shape[1] for part in parts])
    reference = Statistics.load(work.inputs["reference"] / "train.npz")
    points = []
    for number, point in enumerate(index["points"]):
        samples = np.concatenate([part[number] for part in parts])
        scored = score(samples, spec, pick_device(work.device))
        points.append({**point, "fid": fid(scored.statistics, reference), "is": scored.inception.mean})
    guided = [point for point in points if point["guidance"] != 1.0]
    unguided = [point for point in points if point["guidance"] == 1.0]
    measure = Images(
        extractor=spec["extractor"],
        layer=spec["layer"],
        reference=f"{work.inputs['reference'].name} train",
        splits=spec["splits"],
        **{key: index[key] for key in ("samples", "rounding", "labels", "sampler", "seed")},
    )
    best = {
        name: min(some, key=lambda point: point[STATISTIC])
        for name, some in (("cfg", guided), ("nocfg", unguided), ("best", points))
        if some
    }
    selected = {name: {key: point[key] for key in ("guidance", "temperature")} for name, point in best.items()}
    candidates = {
        "cfg": [point["guidance"] for point in guided],
        "nocfg": [point["temperature"] for point in unguided if point["temperature"] is not None],
        "best": [point["guidance"] for point in points],
    }
    write_json(
        work.out / "search.json",
        {
            "samples": index["samples"],
            "statistic": STATISTIC,
            "measure": measure.record(),
            "measure_id": measure.identity,
            "points": points,
            "selected": selected,
            "candidates": candidates,
        },
    )
    return {f"{name}_{key}": value for name, point in best.items() for key, value in point.items() if value is not None}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("search")
