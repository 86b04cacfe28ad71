"""Stage `samples`: the images behind a table's numbers, at the guidance and temperature that the search selected."""

import numpy as np

from tesserae.lineage.work import Work
from tesserae.stages.shared.files import read_json, write_json
from tesserae.stages.shared.sampling import FINAL, draw_all


def run(work: Work) -> dict[str, float]:
    """Writes samples.npy (1, N, S, S, 3) uint8, labels.npy (N,) and index.json with how all samples are drawn.

    N is this job's part of them.
    """
    spec, count = work.spec, work.spec["samples"]
    search = read_json(work.inputs["search"] / "search.json")
    point = search["selected"][spec["selected"]]
    labels = draw_all(work, [point], count=count, stream=FINAL)
    np.save(work.out / "labels.npy", labels)
    selection = {
        "statistic": search["statistic"],
        "samples": search["samples"],
        "candidates": search["candidates"][spec["selected"]],
    }
    write_json(
        work.out / "index.json",
        {
            **point,
            "samples": count,
            "sampler": spec["sampler"],
            "rounding": spec["rounding"],
            "labels": spec["labels"],
            "seed": spec["seed"],
            "selection": selection if len(selection["candidates"]) > 1 else None,
        },
    )
    return {key: value for key, value in point.items() if value is not None}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("samples")
