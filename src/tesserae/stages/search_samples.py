"""Stage `search_samples`: images at every candidate of guidance and, without guidance, of temperature."""

from tesserae.lineage.work import Work
from tesserae.stages.common import write_json
from tesserae.stages.sampling import SEARCH, draw_all, labels_of, open_drawer, seeds_of


def run(work: Work) -> dict[str, int]:
    """Writes samples.npy (P, N, S, S, 3) uint8 and index.json with the P points."""
    spec, count = work.spec, work.spec["search_samples"]
    temperatures = spec["search"].get("temperature", [None])  # None: the sampler knows no temperature
    neutral = None if temperatures == [None] else 1.0
    points = [{"guidance": guidance, "temperature": neutral} for guidance in spec["search"]["guidance"]]
    points += [{"guidance": 1.0, "temperature": temperature} for temperature in temperatures]
    labels = labels_of(count, spec["classes"])
    draw_all(
        open_drawer(work),
        work.out / "samples.npy",
        labels,
        seeds_of(spec["seed"], SEARCH, count),
        points,
        spec["batch"],
        spec["quantisation"],
        work.title,
    )
    write_json(
        work.out / "index.json",
        {
            "points": points,
            "samples": count,
            "sampler": spec["sampler"],
            "quantisation": spec["quantisation"],
            "seed": spec["seed"],
        },
    )
    return {"points": len(points), "samples": count}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("search_samples")
