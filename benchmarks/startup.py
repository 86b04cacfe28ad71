"""What a stage that needs no torch pays before it starts: interpreter, imports, plan, checks.

    python benchmarks/startup.py [--scale smoke]        in a project folder where everything was made

Each line is the median of five fresh interpreters; `python -c pass` is the floor. Stages that need torch are shown for
comparison; in a workflow they start as children of the warm parent, which has it imported.
"""

import argparse
import statistics
import subprocess
import sys
import time

TIMES = 5
CODE = """
import importlib, pathlib, sys
from tesserae.workflow import runner
from tesserae.config.project import read_project
from tesserae.workflow.plan import Plan
plan = Plan(read_project(pathlib.Path.cwd(), {scale!r}))
job = plan.jobs[{job!r}]
runner._verify_start(plan, job, plan.own(job), None)
runner._inputs(plan, job)
importlib.import_module("tesserae.stages.{stage}")
sys.exit(("torch" in sys.modules) != {torch})
"""


def median(code: str) -> float:
    times = []
    for _ in range(TIMES):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    from pathlib import Path

    from tesserae.config.stages import STAGES
    from tesserae.workflow.plan import read_plan

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="smoke")
    scale = parser.parse_args().scale
    print(f"python -c pass: {median('pass'):.2f} s")
    jobs = read_plan(Path.cwd(), scale).jobs
    light = [stage for stage, told in STAGES.items() if not told.torch]
    for stage in (*light, "metrics"):
        name = next(name for name, job in jobs.items() if job.stage == stage)
        code = CODE.format(scale=scale, job=name, stage=stage, torch=stage not in light)
        print(f"{name}: {median(code):.2f} s")


if __name__ == "__main__":
    main()
