"""What the forecast of the scale `paper` costs itself: CPU seconds with nothing counted before, by what is counted.

    python benchmarks/forecasting.py [scale]        default: the scale of config/config.yaml

The scale is the one whose plan holds the forecast. CPU time of this process on one thread, imports of torch included:
on a busy machine it still grows by half, so compare it with another run at the same time.
"""

import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COUNTED = ("training", "size", "coding", "sampling", "features", "semantic", "concepts")


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"TESSERAE_CACHE": cache, "OMP_NUM_THREADS": "1"}
        from tesserae.costs import networks
        from tesserae.costs.forecast import forecast
        from tesserae.workflow.plan import open_plan

        plan = open_plan(ROOT, *sys.argv[1:2])
        seconds: dict[str, list[float]] = defaultdict(list)
        for name in COUNTED:
            setattr(networks, name, timed(getattr(networks, name), seconds[name]))
        for job in (job for job in plan.jobs.values() if job.stage == "forecast"):
            before = time.process_time()
            forecast(job.spec, ROOT / job.sources["published"])
            print(f"{job.id} of {plan.scale}: {time.process_time() - before:.1f} s")
        for name, some in seconds.items():
            print(f"  {name}: {len(some)} networks, {sum(some):.1f} s, at most {max(some, default=0.0):.1f} s")


def timed(count, spent: list[float]):
    def run(*arguments, **settings):
        before = time.process_time()
        try:
            return count(*arguments, **settings)
        finally:
            spent.append(time.process_time() - before)

    return run


if __name__ == "__main__":
    main()
