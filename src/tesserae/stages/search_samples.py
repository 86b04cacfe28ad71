"""Stage `search_samples`: images at every candidate of guidance and, without guidance, of temperature."""

from tesserae.lineage.work import Work
from tesserae.stages.shared.files import write_json
from tesserae.stages.shared.sampling import SEARCH, draw_all


def run(work: Work) -> dict[str, int]:
    """Writes samples.npy (P, N, S, S, 3) uint8 and index.json with the P points; N is this job's part."""
    spec, count = work.spec, work.spec["search_samples"]
    temperatures = spec["search"].get("temperature", [None])  # None: the sampler knows no temperature
    guided = None if temperatures == [None] else spec["search"].get("guided_temperature", 1.0)
    points = [{"guidance": guidance, "temperature": guided} for guidance in spec["search"]["guidance"]]
    if spec["unguided"]:
        points += [{"guidance": 1.0, "temperature": temperature} for temperature in temperatures]
    draw_all(work, points, count=count, stream=SEARCH)
    write_json(
        work.out / "index.json",
        {
            "points": points,
            "samples": count,
            "sampler": spec["sampler"],
            "rounding": spec["rounding"],
            "labels": spec["labels"],
            "seed": spec["seed"],
        },
    )
    return {"points": len(points), "samples": count}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("search_samples")
