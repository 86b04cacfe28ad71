"""What jobs cost, for commands that tell of it: hours of GPUs, or of this machine's cores, as `tesserae plan` has them.

Imports stay inside the functions, so that `tesserae --help` answers at once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

GPU = "h100"
PUBLISHED = Path("config/published/detok.csv")  # the hours that costs are calibrated on
PAPER = "paper"  # the scale of the trainings that took them


def hours(planned: Any, jobs: Mapping[str, Any]) -> Mapping[str, float]:
    """Hours of each job, 0 of those that are made; ValueError if nothing says how long one takes.

    jobs: with all that they are made from.
    """
    from tesserae.costs import forecast, measured
    from tesserae.costs.describe import describe
    from tesserae.workflow.plan import open_plan

    requests = {job.stage: planned.request(job.stage) for job in jobs.values()}
    root = planned.project.root
    if not on_gpus(planned):
        timed, _ = measured.read(root)
        return measured.hours_of(jobs, requests, scale=planned.scale, timed=timed)
    published = planned if planned.scale == PAPER else open_plan(root, PAPER)
    described = describe(jobs, requests, published=published.jobs, scale=planned.scale, gpu=GPU, gpus=1)
    return forecast.hours_of(described, root / PUBLISHED)


def on_gpus(planned: Any) -> bool:
    return any(planned.request(job.stage).gpus for job in planned.jobs.values())


def unit(planned: Any) -> str:
    return "GPU-hours" if on_gpus(planned) else "CPU-hours"
