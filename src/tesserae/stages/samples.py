"""Stage `samples`: the images behind a table's numbers, at the guidance and temperature that the search selected."""

import numpy as np

from tesserae.lineage.work import Work
from tesserae.stages.common import read_json, write_json
from tesserae.stages.sampling import FINAL, draw_all, labels_of, open_drawer, seeds_of


def run(work: Work) -> dict[str, float]:
    """Writes samples.npy (1, N, S, S, 3) uint8, labels.npy (N,) and index.json with how they were drawn."""
    spec, count = work.spec, work.spec["samples"]
    search = read_json(work.inputs["search"] / "search.json")
    point = search["selected"][spec["selected"]]
    labels = labels_of(count, spec["classes"])
    draw_all(
        open_drawer(work),
        work.out / "samples.npy",
        labels,
        seeds_of(spec["seed"], FINAL, count),
        [point],
        spec["batch"],
        spec["quantisation"],
        work.title,
    )
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
            "quantisation": spec["quantisation"],
            "seed": spec["seed"],
            "selection": selection if len(selection["candidates"]) > 1 else None,
        },
    )
    return {key: value for key, value in point.items() if value is not None}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("samples")
