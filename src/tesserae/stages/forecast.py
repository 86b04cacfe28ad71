"""Stage `forecast`: what a scale that is not run here would cost, as numbers and as a chart."""

import json

from tesserae.costs.forecast import forecast
from tesserae.lineage.work import Work
from tesserae.reporting.forecast import gantt
from tesserae.reporting.style import save


def run(work: Work) -> dict[str, float]:
    """Writes forecast.json, gantt.png and gantt.svg from the described plan in the spec (costs/describe.py)."""
    found = forecast(work.spec, work.sources["published"])
    (work.out / "forecast.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    save(gantt(found), work.out / "gantt", ("png", "svg"))
    return {name: found["total"][name] for name in ("jobs", "gpu_hours", "wall_hours", "peak_disk")}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("forecast")
